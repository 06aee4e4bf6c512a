"""What stands for nothing in a table or a JSON file, and numbers that stand for words."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

# Their comparisons have no truth value: pandas.NA, numpy.ma.masked.
NO_TRUTH = ("NAType", "MaskedConstant")


def is_absent(value: Any) -> bool:
    """Tell whether a value stands for none: None, NaN, NaT, pandas' NA, a null of Arrow. Texts never do."""
    if value is None or type(value).__name__ in NO_TRUTH or getattr(value, "is_valid", True) is False:
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):  # an array
        return False


def as_word(value: Any) -> Any:
    """Return a whole number as its digits, also one that a column with gaps made a float: 3.0 is "3"."""
    number = as_whole(value)
    return value if number is None else str(number)


def as_whole(value: Any) -> int | None:
    """Return a number without a fraction as what it is, None where a value is none."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    if isinstance(value, Integral):
        return int(value)
    return int(float(value)) if float(value).is_integer() else None
