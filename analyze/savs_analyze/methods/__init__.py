"""What can be asked for by name: recipes, their settings, how each kind learns and votes, one estimator."""

from savs_moved import names

__getattr__ = names(__name__)
