"""Who answers: checkpoints, their heads, prompts, answers, processors, families, and the embedded model."""

from savs_moved import names

__getattr__ = names(__name__)
