"""Who answers: checkpoints, their heads, prompts, answers, processors, families, and the embedded model."""
