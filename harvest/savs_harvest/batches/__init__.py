"""How samples run together: plans, layouts, packing, the runner, and what is checked of them at the start."""
