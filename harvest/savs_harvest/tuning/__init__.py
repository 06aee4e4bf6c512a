"""Tuning a model on the support of a draw: what the papers compare their heads with."""
