"""One file a kind of method: how it learns from a support, and how it votes."""
