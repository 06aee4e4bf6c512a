"""How far a harvest is, on stderr: samples, speed, bytes, time left."""

from __future__ import annotations

import time
from datetime import timedelta
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from savs_harvest.run.listener import Listener
from savs_stores import ModelWriter
from savs_stores.terminal import counted, printable, size

SECONDS_A_LINE = 30  # where no bar is seen


class SpeedColumn(ProgressColumn):
    """Samples a second and the bytes written so far."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        samples = f"{speed:,.1f} samples/s" if speed else "- samples/s"
        sample_bytes = task.fields["sample_bytes"]
        return Text(f"{samples}, {size(task.completed * sample_bytes)}" if sample_bytes else samples, no_wrap=True)


class HarvestProgress:
    """A progress bar, and one line at the start and at the end for logs that show no bars."""

    def __init__(self, model: str, benchmark: str) -> None:
        self.title = f"{model} on {benchmark}"
        self.console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=12),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
            SpeedColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=self.console,
            transient=False,
        )
        self.task: TaskID | None = None
        self.reading: TaskID | None = None
        self.told = time.monotonic()

    def __enter__(self) -> HarvestProgress:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.task is not None or self.reading is not None:  # stopping a bar that never began prints an empty line
            self.bar.stop()

    @property
    def listener(self) -> Listener:
        return Listener(self.pictures, self.plan, self.advance, self.warn, self.taken)

    def pictures(self, done: int, total: int) -> None:
        """Show on a terminal how many samples' pictures are read; the bar goes when all are."""
        if not self.console.is_interactive:
            return
        if self.reading is None:
            self.reading = self.bar.add_task("reading pictures", total=total, sample_bytes=0)
            self.bar.start()
        self.bar.update(self.reading, completed=done)
        if done == total:
            self.bar.remove_task(self.reading)
            self.bar.stop()

    def plan(self, writer: ModelWriter, shards: list[int]) -> None:
        """Start the bar, once it is known what is left to do."""
        samples = sum(len(writer.plan.rows(shard)) for shard in shards)
        done = writer.plan.shards - len(writer.missing)
        todo = f"{counted(samples, 'sample')} in {counted(len(shards), 'shard')} to do" if shards else "nothing to do"
        line = f"{self.title}: {todo}, {done} of {counted(writer.plan.shards, 'shard')} done"
        self.console.print(line, highlight=False, markup=False)
        if shards:
            sample_bytes = writer.plan.heads * writer.plan.row_bytes
            self.task = self.bar.add_task(self.title, total=samples, sample_bytes=sample_bytes)
            self.bar.start()

    def warn(self, words: str) -> None:
        """Say, before it is too late, what a user should know."""
        self.console.print(f"warning: {printable(words)}", highlight=False, markup=False, soft_wrap=True)

    def taken(self, count: int, total: int) -> None:
        """Say how much of changed data is known."""
        self.console.print(
            f"{self.title}: {count:,} of {counted(total, 'row')} taken over", highlight=False, markup=False
        )

    def advance(self, samples: int) -> None:
        if self.task is None:
            return
        self.bar.advance(self.task, samples)
        if not self.console.is_interactive and time.monotonic() - self.told >= SECONDS_A_LINE:
            self.told = time.monotonic()
            task = self.bar.tasks[self.task]
            left = f", {timedelta(seconds=round(task.time_remaining))} left" if task.time_remaining else ""
            line = f"{self.title}: {task.completed:,.0f} of {counted(int(task.total or 0), 'sample')}{left}"
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)


class AnswerProgress:
    """A bar of answered pictures, and how many are answered where nobody knows how many there are.

    It is `silent` where answers are printed on the same terminal; they go where they are sent, never through the bar.
    """

    def __init__(self, title: str, total: int | None, done: int, silent: bool = False) -> None:
        console = Console(stderr=True)
        counted = "{task.completed:,.0f}" if total is None else "{task.completed:,.0f}/{task.total:,.0f}"
        self.bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=12),
            TextColumn(counted),
            SpeedColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            redirect_stdout=False,
            disable=silent,
        )
        self.task = self.bar.add_task(title, total=total, completed=done, sample_bytes=0)

    def __enter__(self) -> AnswerProgress:
        self.bar.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.stop()

    def advance(self, samples: int) -> None:
        self.bar.advance(self.task, samples)

    def say(self, words: str) -> None:
        """Say, above the bar, what a user should know."""
        self.bar.console.print(printable(words), highlight=False, markup=False, soft_wrap=True)


class TuneProgress:
    """A progress bar of epochs, of all trainings together."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=12),
            TextColumn("epoch {task.completed:,.0f}/{task.total:,.0f}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=Console(stderr=True),
        )
        self.task: TaskID | None = None

    def __enter__(self) -> TuneProgress:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.task is not None:
            self.bar.stop()

    def epochs(self, done: int, total: int) -> None:
        if self.task is None:
            self.bar.start()
            self.task = self.bar.add_task(self.title, total=total)
        self.bar.update(self.task, completed=done)
