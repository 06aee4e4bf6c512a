"""What a model answers by itself, sample by sample: generated words, or how probable captions are (VQAScore)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int32, UInt8

from savs_harvest.asking.captions import ASKED, NO, YES, Captions
from savs_harvest.asking.preparing import Question, Refused
from savs_harvest.asking.said import RULE, UNREAD, read_answer
from savs_harvest.batches.buffers import Buffers
from savs_harvest.batches.runner import ALONE, FULL, Runner
from savs_harvest.models.answers import Answers, first_words
from savs_harvest.models.licences import find_licence
from savs_harvest.run.listener import Listener
from savs_harvest.run.provenance import Recorder
from savs_harvest.run.ranks import Rank
from savs_harvest.run.report import Report, check_first
from savs_harvest.run.settings import prepared_for
from savs_harvest.run.work import Work
from savs_harvest.run.writing import Keeping, head_table, identity
from savs_stores import ModelWriter, Shard, Status, add_model, answer_table, answered_shard, create_store, owned_shards
from savs_stores.format.fingerprint import fingerprint

SILENT, ONLY = Listener(), Rank()
# Tokens that are generated for an answer, and how they are chosen.
MOST_TOKENS, GREEDY = 16, "greedy, no penalties"
SCORES = {"-vqascore": "P(Yes)", "-yes-ratio": "P(Yes) / (P(Yes) + P(No))"}


@dataclass
class Answered:
    """What became of the samples of a shard: status and length, why one failed, and what is said of those that ran."""

    status: UInt8[np.ndarray, " sample"]
    n_tokens: Int32[np.ndarray, " sample"]
    said: dict[int, Any] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    batches: list[int] = field(default_factory=list)
    halved: int = 0

    @classmethod
    def empty(cls, samples: int) -> Answered:
        return cls(np.full(samples, Status.OK, np.uint8), np.full(samples, -1, np.int32))

    def __len__(self) -> int:
        return len(self.status)

    def refuse(self, place: int, status: Status, reason: str) -> None:
        self.status[place], self.reasons[place] = status, reason


class Unanswered(Exception):
    """A sample that has no answer, with its status and the reason."""

    def __init__(self, status: Status, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class Answering(ABC):
    """A way to answer: the groups of a store that it fills, by the suffixes of their names, and how."""

    suffixes: ClassVar[tuple[str, ...]]

    def __init__(self, work: Work) -> None:
        self.work = work
        self.classes = work.index.info.most_classes

    @abstractmethod
    def described(self, suffix: str) -> dict[str, Any]:
        """Return what decides the answers besides the model and the prompt."""

    @abstractmethod
    def answer(self, row: int) -> tuple[Any, int]:
        """Return what the model answers to a sample, and how long its prompt was. Raises `Unanswered`."""

    @abstractmethod
    def shards(self, rows: range, answered: Answered) -> Sequence[Shard]:
        """Return the shard of every group."""

    def texts(self, answered: Answered) -> dict[str, Any]:
        """Return what is kept in words."""
        return {}

    def inputs(self, question: Question) -> dict[str, torch.Tensor]:
        """Return the model inputs of a question. Raises `Unanswered` where there are none."""
        found = self.work.preparer.inputs(question)
        if isinstance(found, Refused):
            raise Unanswered(found.status, found.reason)
        return found


class Generated(Answering):
    """What the model writes, greedily; a class where one rule reads one in it, see `read_answer`."""

    suffixes = ("-generated",)

    def __init__(self, work: Work, most_tokens: int = MOST_TOKENS) -> None:
        super().__init__(work)
        self.most_tokens = most_tokens

    def described(self, suffix: str) -> dict[str, Any]:
        return {"system": "generated", "most_tokens": self.most_tokens, "decoding": GREEDY, "reading": RULE}

    def answer(self, row: int) -> tuple[str, int]:
        """Return the words, without the tokens that end a turn."""
        model, tokenizer = self.work.model.model, self.work.model.processor.tokenizer
        model.generation_config = self.greedy  # what is not said there is taken from the model's own
        place = self.work.model.device
        inputs = {name: tensor.to(place) for name, tensor in self.inputs(self.work.question(row)).items()}
        length = inputs["input_ids"].shape[1]
        with torch.inference_mode():
            tokens = model.generate(**inputs)[0]
        # Some families give the new tokens alone.
        begun = length if tokens[:length].equal(inputs["input_ids"][0]) else 0
        return tokenizer.decode(tokens[begun:], skip_special_tokens=True).strip(), length

    @cached_property
    def greedy(self) -> Any:
        """Return how tokens are chosen, whatever the checkpoint's own settings of sampling and penalties are."""
        from transformers import GenerationConfig

        tokenizer, own = self.work.model.processor.tokenizer, self.work.model.model.generation_config
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        ends = getattr(own, "eos_token_id", None) or tokenizer.eos_token_id
        return GenerationConfig(do_sample=False, max_new_tokens=self.most_tokens, eos_token_id=ends, pad_token_id=pad)

    def shards(self, rows: range, answered: Answered) -> Sequence[Shard]:
        read = [
            self._read(rows[place], answered.said[place]) if place in answered.said else UNREAD
            for place in range(len(rows))
        ]
        return [answered_shard(read, self.classes, answered.status, answered.n_tokens)]

    def _read(self, row: int, words: str) -> int:
        benchmark, sample = self.work.benchmark, self.work.samples[row]
        return read_answer(words, [benchmark.answer(name) for name in benchmark.tasks[sample.task]])

    def texts(self, answered: Answered) -> dict[str, Any]:
        return {"said": {str(place): words for place, words in answered.said.items()}}


class CaptionScores(Answering):
    """VQAScore (arXiv 2404.01291): the probability of Yes among all words; and beside No alone, as another system."""

    suffixes = tuple(SCORES)

    def __init__(self, work: Work, captions: Captions) -> None:
        super().__init__(work)
        self.captions = captions
        model, settings = work.model, work.settings
        yes, no = first_words(model.processor, (YES, NO), settings.parity, settings.date)
        self.answers = Answers(((yes,), (no,)))
        self.runner = Runner(model, settings.batching(model.device))

    def described(self, suffix: str) -> dict[str, Any]:
        captions = {sample.sample_id: list(self.captions.of(sample)) for sample in self.work.samples}
        return {"system": "vqascore", "score": SCORES[suffix], "asked": ASKED, "captions": fingerprint(captions)}

    def answer(self, row: int) -> tuple[Float[np.ndarray, "caption 2"], int]:
        """Return the log-probabilities of Yes and No for every caption."""
        sample, model = self.work.samples[row], self.work.model
        if not sample.images:
            raise Unanswered(Status.REJECTED, "rejected: it shows no picture that a caption could be of")
        asked = [Question(sample.images, ASKED.format(caption=words)) for words in self.captions.of(sample)]
        inputs = {place: self.inputs(question) for place, question in enumerate(asked)}
        table = head_table(model)
        buffers = Buffers.empty(model, len(asked), (len(table), table.dim), 2)
        lengths = [self.work.preparer.length(question, self.work.index.sizes[row]) for question in asked]
        pictures = [self.work.pictures(row)] * len(asked)
        for groups in self.runner.batching.plan(model.family, lengths, pictures):
            self.runner.run(groups, inputs, dict.fromkeys(inputs, self.answers), buffers)
        for place, reason in sorted(buffers.reasons.items()):
            raise Unanswered(Status(int(buffers.status[place])), reason)
        return buffers.logits.double().cpu().numpy(), int(buffers.n_tokens.max())

    def shards(self, rows: range, answered: Answered) -> Sequence[Shard]:
        logits = np.full((len(SCORES), len(rows), self.classes), np.nan, dtype=np.float32)
        said = np.full((len(SCORES), len(rows)), UNREAD)
        for place, logs in answered.said.items():
            yes, no = np.exp(logs).T
            for system, shown in enumerate((yes, yes / (yes + no))):
                found = self.captions.logits(self.work.samples[rows[place]], shown)
                logits[system, place, : len(found)] = found
                said[system, place] = found.argmax()
        return [
            answered_shard(best.tolist(), self.classes, answered.status, answered.n_tokens, of_system)
            for best, of_system in zip(said, logits, strict=True)
        ]


def answer_all(
    answering: Answering, store: str | Path, keeping: Keeping, rank: Rank = ONLY, listener: Listener = SILENT
) -> Report:
    """Answer every sample of this rank's unfinished shards, and write them; the same command resumes.

    Samples run one by one: what one is answered depends on no other.
    """
    work = answering.work
    work.check_shots()
    create_store(store, work.index.info, work.index.table, work.index.texts)
    writers = [_writer(answering, store, keeping, suffix) for suffix in answering.suffixes]
    missing = sorted({shard for writer in writers for shard in writer.missing})
    shards = owned_shards(missing, rank.rank, rank.world)
    checks = [f"{found['kind']}: {found['words']}" for found in work.index.info.checks]
    report = Report(remarks=list(work.model.remarks), checks=checks)
    listener.plan(writers[0], shards)
    begins = rank.world == 1 and len(missing) == writers[0].plan.shards
    with prepared_for(work.model, work.settings):
        for shard in shards:
            recorder = Recorder(work.model.device, {"rank": rank.rank, "world": rank.world}, work.model.made_with)
            rows = writers[0].plan.rows(shard)
            answered = _answer_rows(answering, rows, listener)
            report.add(work.samples, rows, answered)
            check_first(shard, answered, report, work.model.device, begins and shard == shards[0])
            made = recorder.provenance(answered) | answering.texts(answered)
            for writer, content in zip(writers, answering.shards(rows, answered), strict=True):
                if shard in writer.missing:
                    writer.write(shard, content, made)
    return report


def _answer_rows(answering: Answering, rows: range, listener: Listener) -> Answered:
    answered = Answered.empty(len(rows))
    for place, row in enumerate(rows):
        try:
            answered.said[place], answered.n_tokens[place] = answering.answer(row)
            answered.batches.append(1)
        except Unanswered as error:
            answered.refuse(place, error.status, error.reason)
        except torch.OutOfMemoryError:
            answered.refuse(place, Status.OUT_OF_MEMORY, ALONE)
        except (RuntimeError, ValueError) as error:
            if isinstance(error, getattr(torch, "AcceleratorError", ())) or "CUDA" in str(error):
                raise
            full = any(words in str(error) for words in FULL)
            answered.refuse(
                place, *((Status.OUT_OF_MEMORY, ALONE) if full else (Status.REJECTED, f"rejected: {error}"))
            )
        listener.samples(1)
    return answered


def _writer(answering: Answering, store: str | Path, keeping: Keeping, suffix: str) -> ModelWriter:
    work = answering.work
    fields = identity(work.model, work.settings) | {"hook": None, "answers": {}} | answering.described(suffix)
    licence = find_licence(work.model.folder)
    made = {
        "command": keeping.command,
        "remarks": list(work.model.remarks),
        **({"licence": licence} if licence else {}),
    }
    name = keeping.name_of(work.model.name, work.settings) + suffix
    return add_model(store, name, fields, answer_table(answering.classes), made, keeping.shard_samples, keeping.codec)
