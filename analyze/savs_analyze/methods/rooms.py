"""Rooms for others: metrics, methods and their parts from installed distributions, files, and Python sessions.

Nothing that a store or a folder of results names is ever imported: records come from entry points and from the files
that the user includes.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

from savs_analyze.measure.metrics import METRICS
from savs_analyze.methods.recipes import METHODS, Recipe
from savs_analyze.parts.criterion import CRITERIA, Criterion
from savs_analyze.parts.transform import TRANSFORMS, TransformRule
from savs_analyze.registry import HERE, SESSION, Origin, Registry
from savs_analyze.votes.similarity import KERNELS, Kernel
from savs_analyze.votes.vote import VOTES, Vote
from savs_metrics import Metric

# What may be added, and the group of entry points that adds it.
# Methods come last: they are tried when they are added, and may use any of the others.
ROOMS: dict[type, tuple[str, Registry[Any]]] = {
    Metric: ("savs.metrics", METRICS),
    Kernel: ("savs.similarities", KERNELS),
    TransformRule: ("savs.transforms", TRANSFORMS),
    Criterion: ("savs.criteria", CRITERIA),
    Vote: ("savs.votes", VOTES),
    Recipe: ("savs.methods", METHODS),
}


@dataclass(frozen=True)
class Included:
    """A file of the user's with its text, which travels to other processes and machines."""

    path: str
    source: str

    @classmethod
    def read(cls, path: str | Path) -> Included:
        """Raises ValueError where the file is no text."""
        try:
            return cls(str(path), Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"--include {path} cannot be read: {error}") from error

    @property
    def origin(self) -> Origin:
        return Origin(self.path, hashlib.sha256(self.source.encode()).hexdigest())


def register(*records: object, origin: Origin | None = None) -> None:
    """Add records of metrics, methods, similarities, transforms, criteria or votes: all of them, or none.

    Without an origin they are of the running Python: they may be registered anew, and their results are never taken
    over by another one. Raises TypeError for anything else, ValueError where a name is taken, a method cannot be
    made, or a metric cannot score.
    """
    of = origin or Origin(SESSION, uuid4().hex)
    order = list(ROOMS)
    if other := [record for record in records if type(record) not in ROOMS]:
        raise TypeError(f"{other[0]!r} cannot be added; what can: {', '.join(kind.__name__ for kind in order)}")
    added: list[tuple[Registry[Any], str]] = []
    try:
        for record in sorted(records, key=lambda record: order.index(type(record))):
            registry = ROOMS[type(record)][1]
            is_new = record.name not in registry  # type: ignore[attr-defined]
            registry.register(record, of)
            added += [(registry, record.name)] if is_new else []  # type: ignore[attr-defined]
            _try(record)
    except Exception:
        for registry, name in added:
            registry.remove(name)
        raise


def _try(record: object) -> None:
    if isinstance(record, Metric):
        try:
            record.check()
        except Exception as error:
            raise ValueError(f"the metric {record.name!r} cannot score: {type(error).__name__}: {error}") from error
    if isinstance(record, Recipe):
        try:
            record.make(**record.defaults)
        except Exception as error:
            raise ValueError(f"the method {record.name!r} cannot be made: {type(error).__name__}: {error}") from error


def include(files: Iterable[Included]) -> None:
    """Run files and add every record that stands in them at module level; one that is included already is left.

    Raises ValueError with file and line where a file cannot be run, holds no record, or holds a name that is taken.
    """
    for file in files:
        if file.origin.sha256 in {one.sha256 for _, registry in ROOMS.values() for one in registry.origins}:
            continue
        found = [value for value in vars(_run(file)).values() if type(value) in ROOMS and not _is_known(value)]
        if not found:
            raise ValueError(f"--include {file.path} holds no method, similarity, transform, criterion, vote or metric")
        try:
            register(*found, origin=file.origin)
        except ValueError as error:
            raise ValueError(f"--include {file.path}: {error}") from error


def add_rooms(files: Iterable[str | Path]) -> None:
    """Add what is installed, and what stands in files of the user's; raises as `include`."""
    add_installed()
    include([Included.read(path) for path in files])


def _run(file: Included) -> ModuleType:
    module = ModuleType(f"savs_included_{file.origin.sha256[:12]}")
    sys.modules[module.__name__] = module  # dataclasses look their module up
    try:
        exec(compile(file.source, file.path, "exec"), vars(module))  # noqa: S102  the user's own file, asked for by name
    except (Exception, SystemExit) as error:
        raise ValueError(f"--include {file.path}{_line(error, file.path)}: {type(error).__name__}: {error}") from error
    return module


def _line(error: BaseException, path: str) -> str:
    """Return the line of a file at which an error arose, the innermost one."""
    lines = [error.lineno] if isinstance(error, SyntaxError) else []
    trace = error.__traceback__
    while trace:
        lines += [trace.tb_lineno] if trace.tb_frame.f_code.co_filename == path else []
        trace = trace.tb_next
    return f", line {lines[-1]}" if lines else ""


def _is_known(record: Any) -> bool:
    return ROOMS[type(record)][1].get(record.name) is record


@cache
def add_installed() -> None:
    """Add what installed distributions offer; one that fails is told on stderr, and its names stay unknown."""
    for kind, (group, _) in ROOMS.items():
        for point in entry_points(group=group):
            try:
                found = point.load()
                register(*(found if isinstance(found, list | tuple) else [found]), origin=_origin(point))
            except Exception as error:
                print(
                    f"{group}: {point.name} of {_distribution(point)} is left out, as it fails "
                    f"({kind.__name__}): {type(error).__name__}: {error}",
                    file=sys.stderr,
                )


def _origin(point: EntryPoint) -> Origin:
    spec = find_spec(point.module)
    source = Path(spec.origin).read_bytes() if spec and spec.origin else b""
    return Origin(_distribution(point), hashlib.sha256(source).hexdigest())


def _distribution(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value


def from_outside() -> Iterator[tuple[str, str, Origin]]:
    """Yield (kind, name, origin) of every record that is not this project's."""
    for _, registry in ROOMS.values():
        for name in registry:
            if (origin := registry.origin(name)) != HERE:
                yield registry.kind, name, origin


def check_travels(origins: Iterable[Origin]) -> None:
    """Raise ValueError where a record is known in this process only."""
    if any(origin.source == SESSION for origin in origins):
        raise ValueError(
            "what is registered in Python is known to this process only: put it into a file to include, or use one job"
        )
