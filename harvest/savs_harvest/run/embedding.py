"""What is to be run with an encoder: the texts that name classes as embeddings, and what is told of texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from savs_benchmarks import Benchmark, Sample
from savs_harvest.asking.class_templates import template_of
from savs_harvest.asking.class_texts import class_texts
from savs_harvest.asking.index import Index
from savs_harvest.batches.embedding import NamedClasses
from savs_harvest.models.encoders import LoadedEncoder, lines_of
from savs_harvest.run.settings import Settings
from savs_harvest.run.work import Work
from savs_stores.format.fingerprint import fingerprint
from savs_stores.terminal import counted

SEVERAL = "of samples with several pictures, the picture's head is the mean of their unit embeddings"
# How much of a fingerprint tells texts apart.
SHORT = 12


def embedding_work(
    model: LoadedEncoder, settings: Settings, benchmark: Benchmark, samples: Sequence[Sample], index: Index
) -> Work:
    """Return what is to be run, with the embeddings that zero-shot compares pictures with."""
    asked = Work(model, settings, benchmark, samples, index, {})
    texts = texts_of_classes(asked)
    told = [*_cut_words(model, samples, texts), *([SEVERAL] if any(len(each.images) > 1 for each in samples) else [])]
    answers = named_classes(model, benchmark, texts) if settings.logits else {}
    return replace(asked, model=replace(model, remarks=(*model.remarks, *told)), answers=answers)


def texts_of_classes(work: Work) -> dict[str, dict[str, str]]:
    """Return of every task the text of every class: to an encoder a line a template, none where it reads no texts."""
    if not isinstance(work.model, LoadedEncoder):
        return class_texts(work.benchmark, work.samples, work.settings.class_prompt)
    if not work.model.reads_texts:
        return {}
    return class_texts(work.benchmark, work.samples, work.settings.class_prompt, template_of(work.benchmark.name))


def named_classes(
    model: LoadedEncoder, benchmark: Benchmark, texts: Mapping[str, Mapping[str, str]]
) -> dict[str, NamedClasses]:
    """Return the embeddings of the classes of every task in which all of them have a text."""
    found = {}
    for task, of_task in texts.items():
        if set(of_task) == set(benchmark.tasks[task]):
            vectors = torch.stack([model.of_lines(of_task[name]) for name in benchmark.tasks[task]])
            found[task] = NamedClasses(vectors, f"similarity to texts {fingerprint(of_task)[:SHORT]}")
    return found


def text_heads(model: LoadedEncoder, texts: Sequence[str]) -> np.ndarray:
    """Return the embeddings of texts [text, head, dim], in the picture's place as in the text's: they are compared."""
    vectors = np.stack([model.of_lines(text).cpu().numpy() for text in texts])
    return np.repeat(vectors[:, None], 2, axis=1)


def _cut_words(
    model: LoadedEncoder, samples: Sequence[Sample], texts: Mapping[str, Mapping[str, str]]
) -> Iterator[str]:
    """Yield how many questions, and how many texts of classes, are longer than the encoder reads."""
    if not model.reads_texts:
        return
    lines = [line for of_task in texts.values() for text in of_task.values() for line in lines_of(text)]
    read = {("question", ""): [sample.question for sample in samples], ("text of a class", "texts of classes"): lines}
    for names, words in read.items():
        cut = {text: model.processor.is_cut(text) for text in set(words)}
        if number := sum(cut[text] for text in words):
            yield f"{counted(number, *names)} cut to {model.processor.positions} tokens, all that the encoder reads"
