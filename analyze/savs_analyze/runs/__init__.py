"""From stores to a folder of results: cells, one pass over the vectors, files that resume and are checked."""
