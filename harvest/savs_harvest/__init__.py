"""Who answers: a frozen vision-language model reads every sample once, all head outputs are kept."""
