"""Drawing: matplotlib without pyplot, in one style, saved so that the same results give the same bytes.

The settings of whoever calls are left as they are: their backend, their styles and their open figures.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from savs_analyze.runs.results import refuse_store, replaced
from savs_stores.terminal import check_output, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# SVG ids follow the salt, not chance; a $ in a name begins no formula.
STYLE = {"font.size": 8, "svg.hashsalt": "savs", "svg.fonttype": "none", "text.parse_math": False}
# What a file says of itself, by format: by what it was drawn, not when.
METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": "savs"},
    "pdf": {"CreationDate": None, "Creator": "savs"},
    "png": {"Software": "savs"},
}
# The same in the bytes of a PNG.
PNG_MARK = "Software\0savs"
MARKS = {".svg": "<dc:title>savs</dc:title>", ".pdf": "/Creator (savs)", ".png": PNG_MARK}
DOTS_PER_INCH = 160


@contextmanager
def figure_at(path: Path, width: float, height: float) -> Iterator[Figure]:
    """Yield an empty figure of so many inches; when the block ends, write it as `save_figure` does."""
    with empty_figure(width, height) as figure:
        yield figure
        save_figure(figure, path)


@contextmanager
def empty_figure(width: float, height: float, style: Mapping[str, Any] | None = None) -> Iterator[Figure]:
    """Yield an empty figure of so many inches; what the block does with it follows `STYLE`, and `style` on top."""
    from matplotlib.figure import Figure
    from matplotlib.style import context

    with context(["default", STYLE, dict(style or {})]):
        yield Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure, whole or not at all; the ending of the path says the format.

    Raises ValueError for a path without an ending, and for a format that matplotlib does not write.
    """
    from matplotlib.axis import Axis
    from matplotlib.text import Text

    refuse_store(path)
    if not path.suffix:
        raise ValueError(f"{path} does not end with the format of a figure: write {path}.svg, or .png, or .pdf")
    for text in figure.findobj(Text):  # names may come from anywhere
        text.set_text(shown(text.get_text()))
    for axis in figure.findobj(Axis):  # whose labels are written again when they are drawn
        labels = [label.get_text() for label in axis.get_majorticklabels()]
        if any(shown(label) != label for label in labels):
            axis.set_ticks(axis.get_majorticklocs(), list(map(shown, labels)))
    metadata = METADATA.get(path.suffix.lower().removeprefix("."))
    with replaced(path) as beside:
        figure.savefig(beside, metadata=metadata, dpi=DOTS_PER_INCH)


def check_figure(path: Path) -> None:
    """Raise ValueError where a figure would be in a store, or replace what this program has not drawn."""
    refuse_store(path)
    ending = path.suffix.lower()

    def is_ours(_: bytes) -> bool:  # a PDF says it at its end
        return ending in MARKS and MARKS[ending].encode() in path.read_bytes()

    check_output(path, [ending], is_ours)


def svg_of(figure: Figure) -> str:
    """Return a figure as an SVG file without a background."""
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", transparent=True, metadata=METADATA["svg"])
    return drawn.getvalue()


def panels(figure: Figure, count: int, columns: int) -> list[Axes]:
    """Return so many axes, line by line, in at most so many columns."""
    grid = figure.subplots(-(-count // columns), min(columns, count), squeeze=False)
    for axes in grid.flat[count:]:
        axes.remove()
    return list(grid.flat[:count])
