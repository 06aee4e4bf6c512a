"""The stores that results were made from, found again: what they say of samples, if they still are the same ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from savs_analyze.runs.facts import CellFacts
from savs_analyze.runs.results import Results
from savs_stores import Store, StoreError, open_store

Key = tuple[str, str]  # benchmark and model


@dataclass(frozen=True)
class Sources:
    """The store of every (benchmark, model) that is at hand, and of the others in words why it is not."""

    stores: Mapping[Key, Store] = field(default_factory=dict)
    lacking: Mapping[Key, str] = field(default_factory=dict)

    def of(self, facts: CellFacts) -> Store | None:
        return self.stores.get((facts.benchmark, facts.model))


def place_of_source(source: Mapping[str, Any], folder: Path) -> str:
    """Return where the store of a source lies: as the sweep named it, else as seen from the folder of results."""
    beside = folder / source["from_here"]
    return str(beside) if not Path(source["store"]).exists() and beside.exists() else source["store"]


def find_sources(results: Results, facts: Iterable[CellFacts], named: Sequence[str] = ()) -> Sources:
    """Return the stores of results: those `named` by the user first, then the folders that the sweep read.

    A store is one's own only where its samples are those of the cells. What results from elsewhere name behind a URL is
    not opened: name it. Raises `StoreError` where a named one cannot be opened.
    """
    wanted = {(one.benchmark, one.model): one for one in facts}
    found: dict[Key, Store] = {}
    lacking: dict[Key, str] = {}
    for store in _opened(results, named, lacking):
        for key, one in wanted.items():
            if key in found or one.benchmark != store.benchmark.name or one.model not in store:
                continue
            if one.index_hash in (None, store.index_hash):
                found[key] = store
            else:
                lacking[key] = f"{store.path} holds other samples now"
    words = "its store is not at hand: name it with --store"
    return Sources(found, {key: lacking.get(key, words) for key in wanted if key not in found})


def _opened(results: Results, named: Sequence[str], lacking: dict[Key, str]) -> Iterator[Store]:
    for path in named:
        yield open_store(path, allow_partial=True)
    for source in results.run().get("sources", ()):
        place = place_of_source(source, results.folder)
        if "://" in place or not Path(place).exists():
            continue
        try:
            yield open_store(place, allow_partial=True)
        except (StoreError, OSError) as error:
            lacking |= {key: str(error) for key in _keys_of(results, source)}


def _keys_of(results: Results, source: Mapping[str, Any]) -> Iterator[Key]:
    for key in source["cells"][:1]:
        facts = results.load(key).facts
        yield facts.benchmark, facts.model
