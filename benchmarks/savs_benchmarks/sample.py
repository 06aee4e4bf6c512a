"""What is asked: a sample is one prompt with a label, a benchmark is a named collection of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from savs_benchmarks.absent import as_whole, as_word, is_absent
from savs_benchmarks.errors import BenchmarkError, Fault
from savs_benchmarks.pictures.pictures import Picture
from savs_metrics import METRICS as OURS
from savs_metrics import Metric

Split = Literal["pool", "test", "either"]

SPLITS: tuple[Split, ...] = ("pool", "test", "either")
# Those of this project, and those that rooms add.
METRICS: dict[str, Metric] = {metric.name: metric for metric in OURS}
DEFAULT_TASK = "all"


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Sample:
    """One prompt (images, if any, then text) with its label.

    `group` names the samples that are scored together and `slot` says which of them this is: for
    `question-image-group`, slot = 2 * question + image, each 0 or 1; for `pair`, 0 or 1.
    `options` are the classes printed in the prompt, where a prompt prints only some of them.
    Values may come from a table: what is absent there (None, NaN, NA) is absent here, an empty group too, and
    whole numbers become words.
    """

    sample_id: str
    images: tuple[Picture, ...]
    question: str
    label: str
    split: Split
    task: str = DEFAULT_TASK
    group: str | None = None
    slot: int | None = None
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        for name, default in (("split", "either"), ("task", DEFAULT_TASK), ("group", None), ("options", ())):
            if is_absent(getattr(self, name)):
                set_field(self, name, default)
        for name in ("sample_id", "label", "task", "group"):
            value = getattr(self, name)
            set_field(self, name, "" if is_absent(value) and name != "group" else as_word(value))
        if isinstance(self.group, str) and not self.group.strip():
            set_field(self, "group", None)
        number = as_whole(self.slot)
        set_field(self, "slot", number if number is not None else None if is_absent(self.slot) else self.slot)
        if isinstance(self.options, Iterable) and not isinstance(self.options, str):
            set_field(self, "options", tuple(map(as_word, self.options)))


@dataclass(frozen=True)
class Wording:
    """A question of every picture and an ending; where it `lists_classes`, the task's stand between, one a line."""

    question: str
    ending: str
    lists_classes: bool = False

    def text(self, classes: Iterable[str]) -> str:
        return "\n".join([self.question, *(classes if self.lists_classes else ()), self.ending])


@dataclass(frozen=True)
class Benchmark:
    """A named collection of samples, with what a reader must know before trusting a number on it.

    `tasks` maps each task to its classes, sorted. `answers` maps a class to the words a model would
    answer it with (the class itself where absent, "" where there are no such words); they give the
    zero-shot prediction. `prompt` is the wording of the question, with `{...}` where a sample fills
    something in; in the tasks of `varying`, two samples rarely ask the same. `split` says how the samples
    were divided into pool and test, `published` how many of each there should be. `own` are a user's own data:
    labels may be missing ("") there, and `remarks` say what was passed over. Samples with `near_duplicates` of
    others' pictures are kept on one side of every draw. `folder` is where the names of its pictures begin, if anywhere.
    `wordings` are other ways to put the question, by name; `wording` is the one that it is put in, "" for its own.
    """

    name: str
    summary: str
    source: str
    revision: str
    licence: str
    metric: str
    tasks: Mapping[str, tuple[str, ...]]
    prompt: str
    samples: Callable[[], Iterable[Sample]]
    answers: Mapping[str, str] = field(default_factory=dict)
    varying: tuple[str, ...] = ()
    split: str = ""
    published: Mapping[Split, int] = field(default_factory=dict)
    own: bool = False
    near_duplicates: bool = False
    remarks: tuple[str, ...] = ()
    folder: Path | None = None
    wordings: Mapping[str, Wording] = field(default_factory=dict)
    wording: str = ""

    def answer(self, label: str) -> str:
        """Return the words that a model would answer this class with."""
        return self.answers.get(label, label)


def check(benchmark: Benchmark) -> list[Sample]:
    """Return the benchmark's samples after checking all that the store relies on.

    Raises `BenchmarkError` naming every fault: unsorted classes, duplicate ids, labels or options
    that are no class of their task, empty questions, incomplete groups.
    """
    samples = list(benchmark.samples())
    faults = [*_header_faults(benchmark), *_sample_faults(benchmark, samples)]
    metric = METRICS.get(benchmark.metric)
    if metric and metric.slots > 1:
        faults += _group_faults(samples, metric.slots)
    if faults:
        raise BenchmarkError(f"benchmark {benchmark.name!r} cannot be used", faults)
    return samples


def _header_faults(benchmark: Benchmark) -> Iterable[str]:
    for name in ("name", "summary", "source", "revision", "licence", "prompt"):
        if not getattr(benchmark, name):
            yield f"its {name} is empty"
    if benchmark.metric not in METRICS:
        yield f"its metric {benchmark.metric!r} is none of {', '.join(METRICS)}"
    for task, classes in benchmark.tasks.items():
        if list(classes) != sorted(set(classes)):
            yield f"the classes of task {task!r} are not sorted and distinct: {list(classes)}"
        if len(classes) < 2 and not (benchmark.own and not classes):
            yield f"task {task!r} has fewer than two classes: {list(classes)}"


def _sample_faults(benchmark: Benchmark, samples: list[Sample]) -> Iterable[str]:
    if not samples:
        yield "it has no samples"
    for sample_id, count in Counter(str(sample.sample_id) for sample in samples).items():
        if count > 1 and sample_id:
            yield Fault(f"sample id {sample_id!r}", f"occurs {count} times", "occurs more than once", " ")
    tasks = {task: set(classes) for task, classes in benchmark.tasks.items()}
    for number, sample in enumerate(samples):
        place = f"sample {sample.sample_id!r}" if sample.sample_id else f"sample {number} (counted from 0)"
        for reason in _reasons(sample, tasks, benchmark.own):
            yield Fault(place, reason)


def _reasons(sample: Sample, tasks: Mapping[str, set[str]], own: bool) -> Iterable[str]:
    """Yield what is wrong with a sample; of a user's `own`, labels may be missing."""
    words = {name: getattr(sample, name) for name in ("sample_id", "task", "label", "question")}
    if wrong := [name for name, value in words.items() if not isinstance(value, str)]:
        yield f"{wrong[0]!r} must be a text, got {words[wrong[0]]!r}"
        return
    if not sample.sample_id.strip():
        yield "it has no id"
    if sample.task not in tasks:
        yield f"unknown task {sample.task!r}"
        return
    if not sample.label.strip():
        if not own:
            yield "it has no label"
    elif sample.label not in tasks[sample.task]:
        yield f"{sample.label!r} is no class of task {sample.task!r}"
    if not isinstance(sample.options, tuple) or not all(isinstance(option, str) for option in sample.options):
        yield f"'options' must be texts, got {sample.options!r}"
    else:
        yield from (
            f"{option!r} is no class of task {sample.task!r}"
            for option in sample.options
            if option not in tasks[sample.task]
        )
    if not isinstance(sample.split, str) or sample.split not in SPLITS:
        yield f"split {sample.split!r} is none of {', '.join(SPLITS)}"
    if not (sample.group is None or isinstance(sample.group, str)):
        yield f"'group' must be a text, got {sample.group!r}"
    if sample.slot is not None and sample.slot not in range(4):
        yield f"'slot' must be one of 0, 1, 2, 3, got {sample.slot!r}"
    if not sample.question.strip():
        yield "the question is empty"


def _group_faults(samples: list[Sample], size: int) -> Iterable[str]:
    groups: dict[str | None, list[Sample]] = {}
    for sample in samples:
        if sample.split == "pool" and sample.group is None and sample.slot is None:  # it only teaches
            continue
        if sample.group is None or isinstance(sample.group, str):  # all others are faults of their samples
            groups.setdefault(sample.group, []).append(sample)
    for group, members in groups.items():
        slots = [member.slot for member in members]
        if group is None or len(slots) != size or set(slots) != set(range(size)):
            needed = f"needs each of the slots {', '.join(map(str, range(size)))} once"
            yield Fault(f"group {group!r}", f"{needed}, it has {slots}", needed, " ")
        elif len({(member.task, member.split) for member in members}) > 1:
            yield Fault(f"group {group!r}", "is spread over several tasks or splits", between=" ")
