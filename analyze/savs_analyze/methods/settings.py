"""Methods with their hyperparameters: what a user may ask for, and how it is written in cells and tables."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any

from savs_analyze.lasso.penalty import SCALINGS, SOLVERS
from savs_analyze.methods.method import Method
from savs_analyze.methods.protocols import Protocol, find_protocol
from savs_analyze.methods.recipes import METHODS, displayed
from savs_analyze.registry import HERE, Origin

COUNTED = {"k": "heads", "layers": "layers"}
KNOBS = ("C", "alpha", "share")  # always said: they decide everything
# The protocol of results that say only that there was one.
BEFORE = "papers"
WHOLE_NUMBERS = ("k", "text_k", "layers", "neighbours")


@dataclass(frozen=True)
class Setting:
    """A method with its hyperparameters, and how it is run: by `protocol`, in `arithmetic`; "" is our way.

    `heads` are those of other tasks, as (layer, place in it), for the method that takes them.
    """

    name: str
    parameters: tuple[tuple[str, int | float], ...] = ()
    restricted: bool = False
    protocol: str = ""
    solver: str = ""
    scaling: str = ""
    arithmetic: str = ""
    heads: tuple[tuple[int, int], ...] = ()

    @property
    def code(self) -> Protocol | None:
        """What a paper's code does, None where the method is run in our way."""
        return find_protocol(self.protocol).computed_in(self.arithmetic) if self.protocol else None

    @cached_property
    def method(self) -> Method:
        method = METHODS[self.name].make(**dict(self.parameters))
        method = method.following(self.code) if self.code else method
        method = method.on_heads(self.heads) if self.heads else method
        return method.solved_by(self.solver, self.scaling).among_printed(self.restricted)

    @property
    def is_known(self) -> bool:
        """Whether the method is here, with these hyperparameters."""
        return self.name in METHODS and set(METHODS[self.name].defaults) == {name for name, _ in self.parameters}

    @property
    def origins(self) -> list[Origin]:
        """Where the method and its parts are from, as far as that is outside; empty where it is not known here."""
        if not self.is_known:
            return []
        found = {METHODS.origin(self.name), *self.method.origins} - {HERE}
        return sorted(found, key=lambda origin: (origin.source, origin.sha256))

    @cached_property
    def same_as(self) -> str:
        """The simplest named method that provably predicts the same with the same k; empty where it is itself."""
        if not self.is_known or self.heads:  # of a method that is not included now, or like no other
            return ""
        canonical, mine = self.method.canonical, dict(self.parameters)
        for name, recipe in METHODS.items():
            if name == self.name or not set(recipe.defaults) <= set(mine):
                continue
            other = replace(self, name=name, parameters=tuple((key, mine[key]) for key in recipe.defaults)).method
            if other.canonical == canonical and other.simplicity < self.method.simplicity:
                return name
        return ""

    def column(self) -> str:
        """Return the name with the number of heads and the hyperparameters that are not the default, for tables."""
        defaults = METHODS[self.name].defaults if self.name in METHODS else {}
        words = [displayed(self.name)]
        for name, value in self.parameters:
            if name in COUNTED:
                words.append(f"{value} {COUNTED[name] if value != 1 else COUNTED[name][:-1]}")
            elif value != defaults.get(name) or name in KNOBS:
                words.append(f"{name}={value:.6g}")
        words += [f"{len(self.heads)} heads of other tasks"] if self.heads else []
        words += [f"by {self.solver}"] if self.solver not in ("", SOLVERS[0]) else []
        words += [self.scaling] if self.scaling not in ("", SCALINGS[0]) else []
        words += ["printed options"] if self.restricted else []
        words += [self.code.way] if self.code else []
        return ", ".join(words + ([self.arithmetic] if self.arithmetic else []))

    def to_json(self) -> dict[str, Any]:
        """Return the setting as cells have it, and are named after it: what is not said is as it was before."""
        said = {"protocol": self.protocol, "arithmetic": self.arithmetic}
        return {
            "name": self.name,
            "parameters": dict(self.parameters),
            "restricted": self.restricted,
            "papers_order": bool(self.protocol),
            "solver": self.solver,
            "scaling": self.scaling,
            **{key: value for key, value in said.items() if value not in ("", BEFORE)},
            **({"heads": [list(head) for head in self.heads]} if self.heads else {}),
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Setting:
        """Return the setting that was written so. Raises ValueError for a protocol that there is not."""
        rest = {name: value for name, value in found.items() if name != "papers_order"}
        setting = cls(
            **{
                "protocol": BEFORE if found["papers_order"] else "",
                **rest,
                "parameters": tuple(found["parameters"].items()),
                "heads": tuple((int(layer), int(place)) for layer, place in found.get("heads", ())),
            }
        )
        _ = setting.code
        return setting


def make_setting(
    name: str,
    restricted: bool = False,
    protocol: str = "",
    solver: str = "",
    scaling: str = "",
    arithmetic: str = "",
    **parameters: int | float,
) -> Setting:
    """Return a setting; hyperparameters that are not given have their defaults.

    `solver` and `scaling` concern the lasso and its relatives; other methods have none. `protocol` and `arithmetic` are
    those of a paper's code, for methods that it has an order of heads of its own for.

    Raises ValueError suggesting the nearest method or protocol, and naming the hyperparameters that one has.
    """
    if name not in METHODS:
        close = difflib.get_close_matches(name, METHODS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"there is no method {name!r}{hint} (savs-analyze methods lists them)")
    defaults = METHODS[name].defaults
    if unknown := set(parameters) - set(defaults):
        raise ValueError(
            f"{name} has no {', '.join(sorted(unknown))}; it has {', '.join(defaults) or 'nothing to set'}"
        )
    merged = {**defaults, **parameters}
    for key, value in merged.items():
        if not math.isfinite(value) or (key in WHOLE_NUMBERS and value != int(value)):
            raise ValueError(f"{key} must be a {'whole' if key in WHOLE_NUMBERS else 'finite'} number, got {value}")
    values = tuple((key, int(merged[key]) if key in WHOLE_NUMBERS else float(merged[key])) for key in defaults)
    setting = Setting(name, values, restricted)
    method = setting.method  # a value out of range shows here, a wrong solver or scaling in the next line
    chosen = (method.following(find_protocol(protocol)) if protocol else method).solved_by(solver, scaling)
    solver, scaling = chosen.solving
    if arithmetic and not protocol:
        raise ValueError(f"{arithmetic} is how the papers' code computes: it needs a protocol, savs or extension")
    # The papers' code has an order of its own for the heads that it keeps.
    if protocol and method.ranks:
        setting = replace(setting, protocol=protocol, arithmetic=arithmetic)
        _ = setting.code  # an arithmetic that there is not shows here
    return replace(setting, solver=solver, scaling=scaling)


def expand_settings(
    names: Sequence[str],
    grid: Mapping[str, Sequence[int] | Sequence[float]],
    restricted: bool = False,
    protocol: str = "",
    solver: str = "",
    scaling: str = "",
    arithmetic: str = "",
) -> list[Setting]:
    """Return every method with every combination of the grid's values of its own hyperparameters.

    Raises ValueError for a hyperparameter, a solver, a scaling or an arithmetic that none of the methods has.
    """
    solves = any(any(make_setting(name).method.solving) for name in names)  # unknown names first
    if (solver or scaling) and not solves:
        raise ValueError(f"no method here has a {'solver' if solver else 'scaling'}: {', '.join(names)}")
    if unused := set(grid) - {key for name in names for key in METHODS[name].defaults}:
        raise ValueError(f"no method here has {', '.join(sorted(unused))}: {', '.join(names)}")
    settings = []
    for name in names:
        keys = [key for key in METHODS[name].defaults if key in grid]
        for values in product(*(grid[key] for key in keys)):
            chosen = dict(zip(keys, values, strict=True))
            settings.append(make_setting(name, restricted, protocol, solver, scaling, arithmetic, **chosen))
    if arithmetic and not any(setting.arithmetic for setting in settings):
        raise ValueError(
            f"no method here computes in {arithmetic}: {', '.join(names)}; only those that keep the best heads as the "
            "papers do, like savs, can"
        )
    return list(dict.fromkeys(settings))
