"""Records by name: those of this project, and those that others add."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, runtime_checkable


@runtime_checkable
class Named(Protocol):
    """Anything with a name of its own."""

    @property
    def name(self) -> str: ...


@dataclass(frozen=True)
class Origin:
    """Where a record is from: a distribution with its version, or a file; and the SHA-256 of its source."""

    source: str
    sha256: str = ""

    def to_json(self) -> dict[str, str]:
        return {"source": self.source, "sha256": self.sha256}


HERE = Origin("savs")
# Records of a session may be registered anew: its author tries things.
SESSION = "a Python session"
Record = TypeVar("Record", bound=Named)


class Registry(Mapping[str, Record], Generic[Record]):
    """Records of one kind, in the order in which they were added; a name is taken once."""

    def __init__(self, kind: str, records: Iterable[Record]) -> None:
        self.kind = kind
        self._records: dict[str, Record] = {}
        self._origins: dict[str, Origin] = {}
        for record in records:
            self.register(record, HERE)

    def register(self, record: Record, origin: Origin) -> None:
        """Add a record; the same one may come again. Raises ValueError where its name is taken."""
        name = record.name
        if (known := self._records.get(name)) is not None:
            holder = self._origins[name]
            if known is record:
                return
            if not holder.source == origin.source == SESSION:
                raise ValueError(f"the {self.kind} {name!r} of {origin.source} is taken: {holder.source} has one")
        self._records[name], self._origins[name] = record, origin

    def remove(self, name: str) -> None:
        """Take back what was registered. Raises KeyError for what is not there."""
        del self._records[name], self._origins[name]

    @property
    def origins(self) -> set[Origin]:
        return set(self._origins.values())

    def origin(self, name: str) -> Origin:
        return self._origins[name]

    def __getitem__(self, name: str) -> Record:
        return self._records[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)
