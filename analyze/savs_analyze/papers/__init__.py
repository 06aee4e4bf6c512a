"""Both papers: their published numbers beside ours, and their studies as sweeps."""
