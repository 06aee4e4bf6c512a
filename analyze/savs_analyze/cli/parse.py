"""What users write in one word: ranges, grids, parts, heads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def parse_range(text: str) -> list[int]:
    """Return the numbers of `20`, `5,10,20` or `first:last:step`, up to the last where a step meets it.

    Raises ValueError showing all forms.
    """
    listed = "," in text
    try:
        numbers = [int(part) for part in text.split("," if listed else ":")]
    except ValueError:
        numbers = []
    if (listed or len(numbers) == 1) and numbers and min(numbers) > 0:
        return list(dict.fromkeys(numbers))
    if len(numbers) == 3 and 0 < numbers[0] <= numbers[1] and numbers[2] > 0:
        return list(range(numbers[0], numbers[1] + 1, numbers[2]))
    raise ValueError(f"{text!r} is no range of whole numbers above 0: write 20, or 5,10,20, or 5:50:5 for 5, 10 ... 50")


def parse_part(text: str) -> tuple[int, int]:
    """Return (1, 4) of `1/4`.

    Raises ValueError showing the form.
    """
    number, _, count = text.partition("/")
    if number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count):
        return int(number), int(count)
    raise ValueError(f"{text!r} is no part: write 1/4 for the first of four")


def parse_grid(text: str) -> tuple[str, list[float]]:
    """Return the name and values of `gamma=0.1,1,10`, `gamma=0.01:100:5log` or `a=0.3:1.5:6lin`.

    Raises ValueError showing the forms.
    """
    name, equals, values = text.partition("=")
    first, _, rest = values.partition(":")
    last, _, form = rest.partition(":")
    try:
        if name and equals and form.endswith(("log", "lin")) and (count := int(form[:-3])) > 0:
            spaced = np.geomspace if form.endswith("log") else np.linspace
            return name, [float(f"{value:.12g}") for value in spaced(float(first), float(last), count)]
        if name and equals and not rest:
            return name, [float(value) for value in values.split(",")]
    except ValueError:
        pass
    raise ValueError(f"{text!r} is no grid: write gamma=0.1,1,10 or gamma=0.01:100:5log or a=0.3:1.5:6lin")


def parse_grids(texts: Sequence[str]) -> dict[str, list[float]]:
    """Return the values of every hyperparameter; what is given twice has the values of both."""
    grid: dict[str, list[float]] = {}
    for name, values in map(parse_grid, texts):
        grid[name] = list(dict.fromkeys([*grid.get(name, ()), *values]))
    return grid


def parse_head(text: str) -> tuple[int, int]:
    """Return the (layer, head in layer) of `20,3`. Raises ValueError showing the form."""
    try:
        layer, head = map(int, text.split(","))
    except ValueError:
        raise ValueError(f"{text!r} is no head: write its layer and its place there, 20,3") from None
    return layer, head
