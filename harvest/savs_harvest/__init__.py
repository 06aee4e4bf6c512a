"""Who answers: a frozen vision-language model reads every sample once, all head outputs are kept."""

# Padded tokens that a batch may hold.
TOKEN_BUDGET = 8192
