"""Where a store lies: a folder, memory, a bucket; groups, files and byte ranges in it."""

from savs_moved import names

__getattr__ = names(__name__)
