"""How far a sweep is, on stderr."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class CellProgress:
    """A bar over the cells of a sweep."""

    def __init__(self) -> None:
        columns = (
            TextColumn("cells"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        self.bar = Progress(*columns, console=Console(stderr=True))
        self.task = self.bar.add_task("cells", total=None)

    def __enter__(self) -> CellProgress:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.stop()

    def update(self, done: int, total: int) -> None:
        """Show how far it is; the bar begins with the first cell, so that what is asked wrongly shows none."""
        self.bar.start()
        self.bar.update(self.task, completed=done, total=total)
