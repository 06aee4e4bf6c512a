"""Systems side by side: whatever answers a benchmark's samples, heads, encoders, prompts in context, tuned weights.

A system is a model of a store and a method. Models that differ only in the seed of their examples in context, or in the
draw that they were tuned on, are one system, of which these are repeats.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from savs_analyze.findings.comparisons import CLOSE, Line, Paired, line_of, mean_name, side_by_side, tests
from savs_analyze.findings.summary import Measurement, mean_of_tasks, numbers
from savs_analyze.measure.crossed import noise
from savs_analyze.measure.metrics import METRICS
from savs_analyze.methods.recipes import SAID, ZERO_SHOT
from savs_analyze.methods.settings import Setting
from savs_analyze.runs.results import CellResult
from savs_stores import ModelVectors
from savs_stores.format.fingerprint import fingerprint
from savs_stores.format.provenance import ENVIRONMENT, RUN
from savs_stores.format.schema import HEAD_KINDS

SEEDS, DRAWS = "seeds", "draws"
# Of an identity, what a model is before anything is put in front of it, merged into it, or asked of it in words.
OF_WEIGHTS = ("model", "revision", "weights", "configs", "dtype")
EMBEDDING = HEAD_KINDS.index("embedding")
# What the study runs on an encoder; on heads it is the first four. More heads than one of an encoder's two are no mean.
ON_HEADS = (ZERO_SHOT, SAID, "savs", "kernel-ridge")
ON_ENCODERS = (*ON_HEADS, "cross-modal", "tip-adapter", "clap", "gaussian-text", "linear-probe-all")
VQASCORE = {"P(Yes)": "VQAScore", "P(Yes) / (P(Yes) + P(No))": "VQAScore, Yes against No"}
KEYS = ["benchmark", "metric", "task"]
COLUMNS = [*KEYS, "system", "model", "asked", "method", "setting", "shots", "in_context", "tuned", "repeats", "of"]
COLUMNS += ["draws", "n", "value", "low", "high", "best", "close", "seconds", "memory", "memory_of", "devices"]
COMPARED = [*KEYS, "system", "other", "difference", "low", "high", "level", "draws", "n", "p", "holm", "verdict"]


@dataclass(frozen=True)
class Group:
    """What a store says of one of its models: its identity, and samples and provenance of every shard."""

    benchmark: str
    name: str
    identity: Mapping[str, Any]
    encoder: bool = False
    shards: Sequence[tuple[int, Mapping[str, Any]]] = ()

    @classmethod
    def of(cls, vectors: ModelVectors) -> Group:
        samples = [len(vectors.plan.rows(shard)) for shard in range(vectors.plan.shards)]
        made = list(zip(samples, vectors.shard_provenance, strict=True))
        return cls(vectors.store.benchmark.name, vectors.name, vectors.identity, is_encoder(vectors), made)

    @property
    def in_context(self) -> Mapping[str, int]:
        return self.identity.get("in_context") or {}

    @property
    def tuned_on(self) -> Mapping[str, Any]:
        return self.identity.get("tuned_on") or {}

    @property
    def asked(self) -> str:
        """How a model is asked that answers in words or by captions, "" where its heads or logits are kept."""
        return str(self.identity.get("system") or "")

    @property
    def plain(self) -> bool:
        return not (self.in_context or self.tuned_on or self.asked)

    @property
    def weights(self) -> list[Any]:
        return [self.identity.get(name) for name in OF_WEIGHTS]

    @property
    def repeat(self) -> tuple[str, int]:
        """What is drawn anew in groups that are one system, and which of these this is."""
        if self.tuned_on:
            return DRAWS, int(self.tuned_on.get("draw", 0))
        return (SEEDS, int(self.in_context.get("seed", 0))) if self.in_context else ("", 0)

    @property
    def key(self) -> str:
        """What groups of one system have in common: all of the identity but the seed, or the draw and its weights."""
        same = dict(self.identity)
        if self.in_context:
            same["in_context"] = {name: value for name, value in self.in_context.items() if name != "seed"}
        if self.tuned_on:
            same |= {"adapter": None, "tuned_on": [self.tuned_on.get("benchmark"), self.tuned_on.get("shots")]}
        return fingerprint(same)


@dataclass(frozen=True)
class System:
    """A row of the table, without its method: in words, and which of its `repeats` ("seeds", "draws") a group is."""

    words: str
    model: str
    repeats: str = ""
    repeat: int = 0
    of: int = 1


@dataclass(frozen=True)
class Cost:
    """What a sample costs: median seconds over shards, the most memory in bytes and whose, and on which devices."""

    seconds: float
    memory: int | None = None
    memory_of: str = ""
    devices: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Row:
    """What is known of a system on one benchmark: its results, a cell and a place in it each, by task."""

    system: str
    model: str
    method: str
    setting: str
    shots: int
    groups: list[Group] = field(default_factory=list)
    repeats: str = ""
    told: dict[str, list[tuple[CellResult, int]]] = field(default_factory=dict)

    @property
    def by_itself(self) -> bool:
        return self.method == ZERO_SHOT and self.groups[0].plain


def is_encoder(vectors: ModelVectors) -> bool:
    return bool((vectors.heads.kind == EMBEDDING).any())


def is_asked(vectors: ModelVectors, setting: Setting) -> bool:
    """Tell whether a system's row needs this setting: with examples in context, or tuned, a model answers by itself.

    An encoder's vectors have the methods of encoders as well, and SAVs of one head, the nearest mean.
    """
    group = Group(vectors.store.benchmark.name, vectors.name, vectors.identity)
    heads = dict(setting.parameters).get("k", 0)
    if not group.plain:
        return not setting.method.learns
    if is_encoder(vectors):
        return setting.name in ON_ENCODERS and (heads == 1) == (setting.name == "savs")
    return setting.name in ON_HEADS and heads != 1


def systems_of(groups: Sequence[Group]) -> dict[tuple[str, str], System]:
    """Return the system of every group, by its benchmark and name.

    Which groups are one system follows from their identities, in each benchmark. Two that would be called the same, or
    are the same repeat, are told apart by the names of their groups.
    """
    found: dict[tuple[str, str], System] = {}
    for benchmark in dict.fromkeys(group.benchmark for group in groups):
        here = [group for group in groups if group.benchmark == benchmark]
        families = _families(here)
        called = [(_words(family[0], here), family[0].asked) for family in families]
        for known, family in zip(called, families, strict=True):
            name = f"{known[0]} ({family[0].name})" if called.count(known) > 1 else known[0]
            for place, group in enumerate(sorted(family, key=lambda group: group.repeat)):
                repeats, number = group.repeat
                # A draw is that of the methods that learn; seeds are drawn beside nothing else, so they are counted.
                repeat = number if repeats == DRAWS else place
                found[benchmark, group.name] = System(name, _base(group, here), repeats, repeat, len(family))
    return found


def _families(groups: Sequence[Group]) -> list[list[Group]]:
    """Return the groups that are repeats of one system; what is the same repeat twice is no family."""
    alike: dict[str, list[Group]] = {}
    for group in groups:
        alike.setdefault(group.key if group.repeat[0] else group.name, []).append(group)
    families = []
    for family in alike.values():
        distinct = len({group.repeat for group in family}) == len(family)
        families += [family] if distinct else [[group] for group in family]
    return families


def _base(group: Group, groups: Sequence[Group]) -> str:
    """Return the name of the plain model that a group is a variant of, its own where there is none."""
    if group.plain:
        return group.name
    same = [one.name for one in groups if one.plain and one.weights == group.weights and any(one.weights)]
    return min(same, key=len) if same else group.name


def _words(group: Group, groups: Sequence[Group]) -> str:
    """Return what a group is called: its model, and what is in front of its questions or merged into its weights."""
    words = [_base(group, groups)]
    if group.tuned_on:
        on = str(group.tuned_on.get("benchmark", ""))
        words.append("LoRA" if on in ("", group.benchmark) else f"LoRA of {on}")
    if group.in_context:
        words.append(f"{group.in_context['shots']} in context")
    if group.asked in ("generated", "endpoint"):
        return ", ".join(words)
    return ", ".join([*words, VQASCORE.get(str(group.identity.get("score")), "VQAScore")] if group.asked else words)


def _with_method(system: System, group: Group, method: str, column: str) -> str:
    """Return the words of a system with those of its method, which a model that answers in one way does not need."""
    if method == SAID:
        return f"{system.words}, written answers"
    if method == ZERO_SHOT and (group.in_context or group.tuned_on or group.asked == "vqascore"):
        return system.words
    return f"{system.words}, {column.replace(', ', ' ')}"


def cost_of(shards: Iterable[tuple[int, Mapping[str, Any]]]) -> Cost | None:
    """Return what a sample cost, by what shards say of how they were made; None where none says it."""
    shards = list(shards)
    runs = [(count, made[RUN]) for count, made in shards if made.get(RUN, {}).get("seconds") is not None and count]
    if not runs:
        return None
    memories = [run.get("peak_memory") or {} for _, run in runs]
    whose = next((name for name in ("device", "host") if any(name in memory for memory in memories)), "")
    most = max((int(memory[whose]) for memory in memories if whose in memory), default=None)
    devices = {str(made[ENVIRONMENT]["device"]) for _, made in shards if made.get(ENVIRONMENT, {}).get("device")}
    seconds = float(np.median([run["seconds"] / count for count, run in runs]))
    return Cost(seconds, most, whose, tuple(sorted(devices)))


def summarize_systems(cells: Iterable[CellResult], groups: Sequence[Group], compared: pd.DataFrame) -> pd.DataFrame:
    """Return a row a benchmark and system: the first metric on the samples that all systems of it were tested on.

    `value` is the mean over draws, or over the repeats of a system, `low` and `high` are of other samples and, where
    there are several, other draws or repeats; of several tasks it is their unweighted mean. `close` is what `compared`
    does not distinguish from the best. Costs are those of the model's run. Raises ValueError where no sample is common.
    """
    found = []
    for (benchmark, metric), rows in _by_benchmark(cells, groups).items():
        rows = [row for row in rows if len(row.told) == max(len(one.told) for one in rows)]
        task = _task_of(rows)
        close = _close(compared[compared["benchmark"] == benchmark], _best(rows, metric))
        of_benchmark = [_summarized(row, _common(rows), metric) for row in rows]
        best = max(row["value"] for row in of_benchmark)
        keys = {"benchmark": benchmark, "metric": metric, "task": task}
        found += [keys | row | {"best": row["value"] == best, "close": row["system"] in close} for row in of_benchmark]
    return pd.DataFrame(found, columns=COLUMNS)


def compare_systems(cells: Iterable[CellResult], groups: Sequence[Group], reference: str = "") -> pd.DataFrame:
    """Return tested differences between systems on the same samples: of the best, and of the reference, and all others.

    Numbers and verdicts are as in `findings.comparisons`, holm is of all pairs of systems of a benchmark. What learns,
    and what is repeated, varies over draws, of which those count that all systems of a test have; a model that answers
    by itself, and a system of one repeat, stays. The reference is the first model's own zero-shot answer where none is
    named. Raises ValueError for a reference that there is not.
    """
    found = []
    by_benchmark = _by_benchmark(cells, groups)
    names = [row.system for rows in by_benchmark.values() for row in rows]
    if reference and reference not in names:
        raise ValueError(
            f"there is no system {reference!r} to compare with; there are: {'; '.join(sorted(set(names)))}"
        )
    for (benchmark, metric), rows in by_benchmark.items():
        against = reference or next((row.system for row in rows if row.by_itself), rows[0].system)
        rows = [row for row in rows if len(row.told) == max(len(one.told) for one in rows)]
        keys = {"benchmark": benchmark, "metric": metric, "task": _task_of(rows)}
        kept = {_best(rows, metric), against}
        seeded = {row.system for row in rows if row.repeats == SEEDS and len(row.groups) > 1}
        # Seeds are of other draws than supports: few of them say nothing of how methods vary that learn.
        for some in ([row for row in rows if row.system not in seeded], rows if seeded else []):
            for row in _tested(some, metric, kept, len(rows)):
                pair = {row["setting"], row["other"]}
                if kept & pair and bool(seeded & pair) == (some is rows):
                    found.append(keys | row)
    return pd.DataFrame(found).rename(columns={"setting": "system"}).reindex(columns=COMPARED)


def _tested(rows: Sequence[_Row], metric: str, kept: Iterable[str], among: int) -> list[dict[str, Any]]:
    """Return tested pairs of these systems, those of the `kept` among them, corrected for all pairs `among` so many."""
    if len(rows) < 2:
        return []
    lines = [_line(rows, task, metric) for task in rows[0].told]
    known = [line for line in lines if line is not None]
    if len(known) < len(lines):
        return []
    draws = {"draws": min(len(line.values) for line in known)}
    return [draws | row for row in tests(known, list(kept), among)]


def _best(rows: Sequence[_Row], metric: str) -> str:
    """Return the system of the largest value, as the table has it."""
    common = _common(rows)
    values = [np.mean([_measured(row, task, units, metric).value for task, units in common.items()]) for row in rows]
    return rows[int(np.argmax(values))].system


def _close(compared: pd.DataFrame, best: str) -> set[str]:
    """Return what is not distinguishable from the best."""
    near = compared[compared["verdict"].isin(CLOSE)]
    pairs = [{system, other} for system, other in zip(near["system"], near["other"], strict=True)]
    return {name for pair in pairs if best in pair for name in pair - {best}}


def _task_of(rows: Sequence[_Row]) -> str:
    tasks = list(rows[0].told)
    return tasks[0] if len(tasks) == 1 else mean_name(len(tasks))


def _by_benchmark(cells: Iterable[CellResult], groups: Sequence[Group]) -> dict[tuple[str, str], list[_Row]]:
    """Return the systems of every (benchmark, first metric), by name, whatever the order of stores and cells."""
    systems = systems_of(groups)
    of = {(group.benchmark, group.name): group for group in groups}
    found: dict[tuple[str, str], dict[str, _Row]] = {}
    cells = [cell for cell in cells if (cell.facts.benchmark, cell.facts.model) in of]
    several = len({cell.facts.shots for cell in cells if cell.facts.shots}) > 1
    for cell in cells:
        facts = cell.facts
        key = facts.benchmark, facts.model
        system, group = systems[key], of[key]
        for place, column in enumerate(facts.columns):
            name = _with_method(system, group, facts.method, column)
            name += f", {facts.shots} shots" if several and facts.shots else ""
            rows = found.setdefault((facts.benchmark, METRICS[facts.metric].first), {})
            repeats = system.repeats or (DRAWS if facts.shots else "")
            row = rows.setdefault(name, _Row(name, system.model, facts.method, column, facts.shots, repeats=repeats))
            row.groups.extend([group] if group not in row.groups else [])
            row.told.setdefault(facts.task, []).append((_as_repeat(cell, system), place))
    return {key: [rows[name] for name in sorted(rows)] for key, rows in sorted(found.items())}


def _as_repeat(cell: CellResult, system: System) -> CellResult:
    """Return the cell as the draw that its group is a repeat of; of one repeat nothing is drawn."""
    if cell.facts.shots or system.of == 1:
        return cell
    return replace(cell, facts=replace(cell.facts, shots=1, draw=system.repeat))


def _line(rows: Sequence[_Row], task: str, metric: str) -> Line | None:
    """Return systems side by side, None where there are fewer than two or no draw is of all of them."""
    told = [(row.system, cell, place) for row in rows for cell, place in row.told[task]]
    settings, draws = side_by_side(told, metric)
    if len(settings) < 2 or not draws:
        return None
    return line_of(settings, draws, {system for system, cell, _ in told if not cell.facts.shots})


def _common(rows: Sequence[_Row]) -> dict[str, Int[np.ndarray, " unit"]]:
    """Return of every task the units that each system tested in any of its draws."""
    found = {}
    for task in rows[0].told:
        tested = [
            reduce(np.union1d, [cell.units(place).unit for cell, place in row.told[task]])
            for row in rows
            if task in row.told
        ]
        found[task] = reduce(np.intersect1d, tested)
        if not len(found[task]):
            names = ", ".join(row.system for row in rows)
            raise ValueError(f"{task}: no sample was tested by all of {names}: leave systems out with --model")
    return found


def _summarized(row: _Row, common: Mapping[str, Int[np.ndarray, " unit"]], metric: str) -> dict[str, Any]:
    """Return the row of a system: its value on common units, and what it cost."""
    measured = [_measured(row, task, units, metric) for task, units in common.items()]
    found = measured[0] if len(measured) == 1 else mean_of_tasks(measured)
    cost = cost_of([shard for group in row.groups for shard in group.shards])
    first = row.groups[0]
    told = {
        "system": row.system,
        "model": row.model,
        "asked": first.asked,
        "method": row.method,
        "setting": row.setting,
        "shots": row.shots,
        "in_context": int(first.in_context.get("shots", 0)),
        "tuned": str(first.tuned_on.get("benchmark", "")),
        "repeats": row.repeats,
        "of": len(row.groups),
        "draws": min(len(one.values) for one in measured),
    }
    costs = {"seconds": np.nan, "memory": None, "memory_of": "", "devices": ""}
    if cost:
        devices = ", ".join(cost.devices)
        costs = {"seconds": cost.seconds, "memory": cost.memory, "memory_of": cost.memory_of, "devices": devices}
    return told | numbers(found, metric) | costs


def _measured(row: _Row, task: str, units: Int[np.ndarray, " unit"], metric: str) -> Measurement:
    """Return what a system is worth on these units of a task, with its noise over samples and draws."""
    draws = []
    for cell, place in row.told[task]:
        tested = cell.units(place)
        kept = np.isin(tested.unit, units)
        draws.append(Paired(tested.unit[kept], tested.cluster[kept], tested.scores[metric][kept, None]))
    line = line_of([row.system], draws)
    return Measurement(line.values[:, 0], noise(line.values, line.influences), line.n)
