"""What people look at: tables for readers, figures, and one HTML page, all from findings."""

from savs_moved import names

__getattr__ = names(__name__)
