"""A harvest from start to end: shards of this rank, their provenance, a forecast of time and room."""
