"""What is to be asked of a server, before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from savs_benchmarks import Benchmark, PictureError, Sample, check, load_picture
from savs_harvest.asking.index import Index, index_samples
from savs_harvest.endpoint.asker import Asked
from savs_harvest.endpoint.form import Form, png
from savs_harvest.endpoint.limits import CHARACTERS_A_TOKEN, PICTURE_TOKENS, Prices, spent
from savs_harvest.endpoint.record import Record
from savs_stores import Status
from savs_stores.format.fingerprint import canonical
from savs_stores.format.plan import ShardPlan
from savs_stores.terminal import counted, size

# So many requests are made to know how long they all are.
MEASURED = 64


@dataclass(frozen=True)
class Questions:
    """The samples of a benchmark, their index, and those that cannot be asked, as a picture cannot be read."""

    benchmark: Benchmark
    samples: Sequence[Sample]
    index: Index
    unreadable: Mapping[str, tuple[Status, str]]


def find_questions(benchmark: Benchmark) -> Questions:
    """Return what would be asked. Raises `BenchmarkError` where the samples cannot be used."""
    samples = check(benchmark)
    index = index_samples(benchmark, samples)
    hashes = index.table.image_hash
    suspect = [sample for row, sample in enumerate(samples) if not all(hashes[row, : len(sample.images)].tolist())]
    return Questions(benchmark, samples, index, {sample.sample_id: _fault(sample) for sample in suspect})


def _fault(sample: Sample) -> tuple[Status, str]:
    try:
        _pictures(sample)
    except PictureError as error:
        return Status[error.code.upper()], f"{error.code}: {error}"
    raise RuntimeError(f"the pictures of {sample.sample_id} could not be read, and now they can: try again")


def _pictures(sample: Sample) -> list[bytes]:
    return [png(load_picture(image)) for image in sample.images]


@dataclass(frozen=True)
class Plan:
    """Which samples are to be asked, the `rows`, and of which `shards`, in which form."""

    questions: Questions
    form: Form
    layout: ShardPlan
    shards: Sequence[int]
    rows: Sequence[int]

    @property
    def samples(self) -> list[Sample]:
        return [self.questions.samples[row] for row in self.rows]

    def asked(self) -> Iterator[Asked]:
        hashes = self.questions.index.table.image_hash
        for row in self.rows:
            sample = self.questions.samples[row]
            shown = hashes[row, : len(sample.images)].tolist()
            request = self.form.request_hash(sample.question, shown)
            yield Asked(sample.sample_id, sample.question, partial(_pictures, sample), request)

    def request_bytes(self) -> int:
        """Return how long all requests are, as the first ones are."""
        first = self.samples[:MEASURED]
        lengths = [len(canonical(self.form.body(sample.question, _pictures(sample)))) for sample in first]
        return sum(lengths) * len(self.rows) // max(1, len(first))

    def assumed_cost(self, prices: Prices) -> float:
        """Return what the dearest of these requests is taken to cost before one is answered."""
        tokens = [
            len(sample.images) * PICTURE_TOKENS + len(sample.question) // CHARACTERS_A_TOKEN for sample in self.samples
        ]
        return prices.of(max(tokens, default=0), self.form.max_tokens)


def plan_requests(questions: Questions, form: Form, layout: ShardPlan, shards: Sequence[int], record: Record) -> Plan:
    """Return what is left to ask: of the shards that are missing, what has no outcome yet."""
    rows = [
        row
        for shard in shards
        for row in layout.rows(shard)
        if (sample_id := questions.samples[row].sample_id) not in questions.unreadable and not record.is_done(sample_id)
    ]
    return Plan(questions, form, layout, shards, rows)


def plan_lines(plan: Plan, record: Record, limits: Sequence[str], prices: Prices | None) -> Iterator[str]:
    """Yield for people what will be asked, how much that is, what it may cost and on what assumption."""
    total, pictures = len(plan.questions.samples), sum(len(sample.images) for sample in plan.samples)
    done = total - len(plan.rows) - len(plan.questions.unreadable)
    yield f"{counted(total, 'sample')}, {done:,} answered or refused before, {len(plan.rows):,} to ask"
    if plan.questions.unreadable:
        yield f"{counted(len(plan.questions.unreadable), 'sample')} cannot be asked: a picture cannot be read"
    if lost := record.lost + len(record.open):
        words = (
            "1 request was sent whose answer was" if lost == 1 else f"{lost:,} requests were sent whose answers were"
        )
        yield f"{words} lost: {'it' if lost == 1 else 'they'} may have been paid"
    if plan.rows:
        measured = min(MEASURED, len(plan.rows))
        words = f"as the first {measured} are" if measured < len(plan.rows) else "all measured"
        yield f"requests: {counted(pictures, 'picture')}, {size(plan.request_bytes())} in all, {words}"
    yield f"limits: {', '.join(limits)}"
    if prices:
        yield from _cost_lines(plan, record, prices)


def _cost_lines(plan: Plan, record: Record, prices: Prices) -> Iterator[str]:
    usage, spoken = record.usage, spent(record, prices)
    if record.answers:
        yield f"cost so far: {spoken.known:.6g}, of {counted(usage.told, 'answer')} that say what they took"
    if spoken.unknown:
        yield f"cost of {counted(spoken.unknown, 'request')} is not known: counted as the dearest"
    if usage.told:
        each, why = spoken.known / usage.told, "as much each as those answered"
    else:
        each = plan.assumed_cost(prices)
        why = f"with {PICTURE_TOKENS:,} tokens a picture, {CHARACTERS_A_TOKEN} characters a token and "
        why += f"{counted(plan.form.max_tokens, 'token')} an answer, all as the longest"
    yield f"cost to come: about {each * len(plan.rows):.6g}, {why}"
