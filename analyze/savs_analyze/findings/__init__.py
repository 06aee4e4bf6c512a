"""What a folder of results tells: summaries, chosen settings, comparisons, stability."""
