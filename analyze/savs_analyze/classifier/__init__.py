"""A deployed classifier: what it answers, how sure it may be, and the file that holds it. From arrays alone."""

from savs_moved import names

__getattr__ = names(__name__)
