"""Where samples come from: archives and their sources, rows, the user's JSON lines."""
