"""What a sweep is: what to ask, on what data, how to run. Made alike by the command line, studies and Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from savs_analyze.draws.validation import QUARTER, Validation
from savs_analyze.methods.recipes import DEFAULT, FIXED, METHODS
from savs_analyze.methods.rooms import Included
from savs_analyze.methods.settings import Setting, expand_settings
from savs_analyze.runs.found_heads import FoundHeads
from savs_stores import ModelVectors

Grid = Mapping[str, Sequence[int] | Sequence[float]]


def every_setting(vectors: ModelVectors, setting: Setting) -> bool:
    return True


@dataclass(frozen=True)
class Ask:
    """Which methods, with which hyperparameters: `heads` are the values of every method's k, `grid` those of others.

    `restricted` predicts among the classes that a prompt prints. `protocol` keeps, lists and votes as a paper's code
    does, `arithmetic` also computes in its numbers; "" is our way. `solver` and `scaling` are those of the lasso and
    its relatives, "" for their own. `include` are files with methods of the user's. `found` are heads of other tasks,
    for the method that takes them.
    """

    methods: Sequence[str] = DEFAULT
    heads: Sequence[int] = (20,)
    grid: Grid = field(default_factory=dict)
    restricted: bool = False
    protocol: str = ""
    solver: str = ""
    scaling: str = ""
    arithmetic: str = ""
    include: Sequence[str | Path] = ()
    found: FoundHeads | None = None

    @property
    def files(self) -> list[Included]:
        """The included files; raises ValueError for one that is no text."""
        return [Included.read(path) for path in self.include]

    @property
    def settings(self) -> list[Setting]:
        """Every method with every combination of its hyperparameters. Raises ValueError for what no method has."""
        takes_heads = any("k" in METHODS[name].defaults for name in self.methods if name in METHODS)
        values = {**({"k": self.heads} if takes_heads else {}), **self.grid}
        settings = expand_settings(
            self.methods, values, self.restricted, self.protocol, self.solver, self.scaling, self.arithmetic
        )
        if (self.found is None) == (FIXED in self.methods):
            raise ValueError(
                f"{FIXED} takes the heads of other tasks, and it alone does: --method {FIXED} --heads FILE "
                "(savs-analyze heads makes the file)"
            )
        return [replace(one, heads=self.found.heads) if self.found and one.name == FIXED else one for one in settings]


@dataclass(frozen=True)
class Data:
    """Which stores, and of them which models ((): all), shots, draws and samples.

    Of several shots, those are left out that a class has too few samples for. `keep_leaks` tests also on images of
    the support, `allow_partial` reads the finished samples of an unfinished store. `wanted` says which settings are run
    on which vectors.
    """

    stores: Sequence[str | Path]
    models: Sequence[str] = ()
    shots: int | Sequence[int] = 20
    draws: int = 5
    validation: Validation = QUARTER
    keep_leaks: bool = False
    allow_partial: bool = False
    wanted: Callable[[ModelVectors, Setting], bool] = every_setting

    @property
    def fewest_shots(self) -> int:
        return self.shots if isinstance(self.shots, int) else min(self.shots)


@dataclass(frozen=True)
class Execution:
    """Where results go, and who computes: `jobs` processes (None: as many as pay) of joblib's `backend`.

    That is loky, or dask at the address `scheduler`. `part` (i, n) runs the i-th of n parts of the sweep.
    """

    out: Path
    jobs: int | None = 1
    backend: str = "loky"
    scheduler: str = ""
    part: tuple[int, int] = (1, 1)
