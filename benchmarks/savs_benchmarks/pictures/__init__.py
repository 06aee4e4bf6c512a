"""Files of pictures: what cameras write, read right or refused."""

from savs_moved import names

__getattr__ = names(__name__)
