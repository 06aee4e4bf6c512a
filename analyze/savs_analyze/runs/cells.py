"""The plan of a sweep: which cells there are. A cell is one unit of work and of resuming. No I/O."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from savs_analyze.draws.validation import QUARTER, Validation
from savs_analyze.measure.metrics import origins_of
from savs_analyze.methods.method import CLASS_VECTORS
from savs_analyze.methods.settings import Setting
from savs_analyze.registry import Origin

# Written into every cell's name: results computed by other rules are computed again.
RULES = 4
EMPTY: Mapping[str, Sequence[int]] = MappingProxyType({})


@dataclass(frozen=True)
class Cell:
    """One (store, model, task, method, draw), with all hyperparameters inside.

    `fingerprint`, `index_hash` and `records` pin the vectors it is computed from, `metric` how it is scored. `order`
    are the classes as they first appear in the training file, where a method numbers them so; `class_vectors` is the
    hash of those that it compares with.
    """

    benchmark: str
    model: str
    fingerprint: str
    index_hash: str
    records: str
    metric: str
    task: str = ""
    method: str = ""
    settings: tuple[Setting, ...] = ()
    shots: int = 0
    draw: int = 0
    keep_leaks: bool = False
    validation: Validation = QUARTER
    rules: int = RULES
    # Where methods and metrics from outside are from, with the SHA-256 of their source.
    origins: tuple[Origin, ...] = ()
    order: tuple[int, ...] = ()
    class_vectors: str = ""

    @property
    def key(self) -> str:
        """Name of the cell's files: equal exactly when everything that decides its result is equal."""
        content = self.to_json() | {"settings": [_by_pairs(setting) for setting in self.settings]}
        if "origins" in content:  # what the code says counts, not where it lies
            content["origins"] = sorted({origin["sha256"] for origin in content["origins"]})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]

    def to_json(self) -> dict[str, Any]:
        """Return all that decides the result, under names that stay when a field is called something else.

        Every finished cell is named after them.
        """
        return {
            "benchmark": self.benchmark,
            "model": self.model,
            "fingerprint": self.fingerprint,
            "index_hash": self.index_hash,
            "records": self.records,
            "metric": self.metric,
            "task": self.task,
            "method": self.method,
            "settings": [setting.to_json() for setting in self.settings],
            "shots": self.shots,
            "draw": self.draw,
            "keep_leaks": self.keep_leaks,
            "validation": {"share": self.validation.share, "first": self.validation.first},
            "rules": self.rules,
            **({"origins": [origin.to_json() for origin in self.origins]} if self.origins else {}),
            **({"order": list(self.order)} if self.order else {}),
            **({"class_vectors": self.class_vectors} if self.class_vectors else {}),
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Cell:
        """Return the cell that was written so, whatever else is there. Raises KeyError where something lacks."""
        return cls(
            benchmark=found["benchmark"],
            model=found["model"],
            fingerprint=found["fingerprint"],
            index_hash=found["index_hash"],
            records=found["records"],
            metric=found["metric"],
            task=found["task"],
            method=found["method"],
            settings=tuple(map(Setting.from_json, found["settings"])),
            shots=found["shots"],
            draw=found["draw"],
            keep_leaks=found["keep_leaks"],
            validation=Validation(found["validation"]["share"], found["validation"]["first"]),
            rules=found["rules"],
            origins=tuple(Origin(one["source"], one["sha256"]) for one in found.get("origins", ())),
            order=tuple(found.get("order", ())),
            class_vectors=found.get("class_vectors", ""),
        )


def _by_pairs(setting: Setting) -> dict[str, Any]:
    """Return a setting as names of cells hash it: its hyperparameters in their order."""
    return setting.to_json() | {"parameters": [list(pair) for pair in setting.parameters]}


def plan_cells(
    vectors: Cell,
    tasks: Mapping[str, Collection[str]],
    shots: Mapping[str, Sequence[int]],
    draws: int,
    settings: Sequence[Setting],
    orders: Mapping[str, Sequence[int]] = EMPTY,
) -> list[Cell]:
    """Return the cells on one model's vectors, named by `vectors`: every method once a task, number of shots and draw.

    `orders` has the classes of each task as they first appear, for the methods that number them so. `tasks` says of
    each what it has of what methods need: logits, class vectors. What learns nothing has no draws.
    """
    by_name: dict[str, list[Setting]] = {}
    for setting in settings:
        by_name.setdefault(setting.name, []).append(setting)
    cells = []
    for task, has in tasks.items():
        for name, of_name in by_name.items():
            origins = dict.fromkeys(origin for setting in of_name for origin in setting.origins)
            outside = tuple(dict.fromkeys([*origins, *origins_of(vectors.metric)]))
            cell = replace(vectors, task=task, method=name, settings=tuple(of_name), origins=outside)
            if any(setting.method.by_appearance for setting in of_name):
                cell = replace(cell, order=tuple(orders.get(task, ())))
            method = of_name[0].method
            if method.needs and method.needs not in has:
                continue
            cell = replace(cell, class_vectors=cell.class_vectors if method.needs == CLASS_VECTORS else "")
            if not method.learns:
                cells.append(replace(cell, keep_leaks=False))
            else:
                cells += [replace(cell, shots=few, draw=draw) for few in shots[task] for draw in range(draws)]
    return cells


def of_one_draw(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Return the cells that learn from the same support together, those that learn nothing first."""
    together: dict[tuple, list[Cell]] = {}
    for cell in cells:
        learns = cell.settings[0].method.learns
        together.setdefault((learns, cell.task, cell.shots, cell.draw), []).append(cell)
    return [together[key] for key in sorted(together, key=lambda key: key[0])]


def deal(cells: Sequence[Cell], hands: int) -> list[list[Cell]]:
    """Return the cells in so many parts of about the same number of draws; cells of one draw stay together."""
    draws = of_one_draw(cells)
    parts = [[cell for of_draw in draws[hand::hands] for cell in of_draw] for hand in range(hands)]
    return [part for part in parts if part]


def cap_settings(settings: Sequence[Setting], heads: int, layers: int) -> list[Setting]:
    """Return the settings with no more heads and layers than there are, each once."""
    most = {"k": heads, "text_k": heads, "layers": layers}
    capped = [
        replace(setting, parameters=tuple((key, min(value, most.get(key, value))) for key, value in setting.parameters))
        for setting in settings
    ]
    return list(dict.fromkeys(capped))
