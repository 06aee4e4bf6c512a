"""The embedded benchmarks: handwritten digits, asked about in four ways."""

from savs_moved import names

__getattr__ = names(__name__)
