"""Whatever answers a benchmark's samples: heads, encoders, prompts in context, tuned weights.

A system is a model of a store and a method. Models that differ only in the seed of their examples in context, or in the
draw that they were tuned on, are one system, of which these are repeats.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from savs_analyze.methods.recipes import SAID, ZERO_SHOT
from savs_analyze.methods.settings import Setting
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


def words_of(system: System, group: Group, method: str, column: str) -> str:
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
