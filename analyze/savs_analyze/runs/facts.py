"""The facts of a finished cell: what was asked, and what was found besides predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, kw_only=True)
class CellFacts:
    """What a cell's file says of it; what is not written there is None or ().

    The first fields are those of the plan's `Cell`, which decide the result. `settings` are JSON, `columns` what tables
    call them; `chooses` says whether its benchmark chooses hyperparameters. Of what learns: the `kept` (layer, head) of
    every setting, the head table as [layers, places], and the rows of the `support`. A cell with a `fault` says why
    there is no result; `without_scores` says why there are none of all classes.
    """

    benchmark: str
    model: str
    fingerprint: str
    index_hash: str | None = None
    records: str | None = None
    metric: str
    task: str
    method: str
    settings: Sequence[dict[str, Any]]
    shots: int
    draw: int
    keep_leaks: bool | None = None
    validation: Mapping[str, Any]
    rules: Any = None
    origins: Sequence[Mapping[str, str]] = ()
    order: Sequence[int] = ()
    class_vectors: str | None = None
    columns: Sequence[str]
    classes: int
    class_names: Sequence[str] | None = None
    chooses: bool
    kept: Sequence[Sequence[Sequence[int]]] = ()
    head_table: Sequence[Sequence[int]] = ()
    support: Sequence[int] = ()
    fault: str | None = None
    without_scores: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what a cell's file says, without what is not there."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in found.items() if value is not None and value != ()}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> CellFacts:
        """Return the facts that were written so; what a later version added is passed over."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in found.items() if name in known})
