"""The format: words, tables, plans and hashes; arithmetic on them, no input or output."""
