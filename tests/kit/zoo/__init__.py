"""Every family that transformers maps to pictures and text, as a tiny random checkpoint made by rules."""
