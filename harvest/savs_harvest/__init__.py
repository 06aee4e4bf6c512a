"""Who answers: a frozen vision-language model reads every sample once, all head outputs are kept."""

import savs_moved  # noqa: F401  old import paths go on for one version

# Padded tokens that a batch may hold, by kind of device: a GPU needs many at a time, a CPU only memory for them.
TOKEN_BUDGETS = {"cpu": 1024, "cuda": 16384}

# What every chat template takes for today, whenever and wherever it is rendered.
DATE = "2025-01-01"
