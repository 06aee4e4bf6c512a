"""Class vectors of a harvest: one text a class runs through the model, as samples do."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from savs_benchmarks.errors import Fault, grouped
from savs_harvest.asking.preparing import Question
from savs_harvest.batches.runner import NEVER_ASKED
from savs_harvest.errors import ModelError
from savs_harvest.models.encoders import LoadedEncoder
from savs_harvest.run.embedding import text_heads, texts_of_classes
from savs_harvest.run.encoding import BLOCK, Block, Encoder
from savs_harvest.run.listener import Listener
from savs_harvest.run.work import Work
from savs_stores import MismatchError, ModelVectors, StoreError, check_class_texts, class_vectors, write_class_vectors

READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


def add_class_vectors(work: Work, vectors: ModelVectors, listener: Listener) -> None:
    """Write the class vectors of all tasks that have names for their classes, where they are not there yet.

    Those that are there stay, unless another prompt is asked for: then `MismatchError` is raised. Whatever else keeps
    them from being made is warned of, and is in no sample's way, but for a full disk.
    """
    settings = work.settings
    if settings.in_context.shots or settings.class_prompt == "":
        return
    texts = texts_of_classes(work)
    if not texts and settings.class_prompt:
        listener.warning("--class-prompt makes nothing: no task has a class with words")
    if not texts:
        return
    try:
        if there := class_vectors(vectors):
            if settings.class_prompt is not None:
                there.check_texts(texts)
            return
        check_class_texts(texts)
        rows = [(name, text) for of_task in texts.values() for name, text in of_task.items()]
        found = _run(work, rows, listener)
        if not np.isnan(found).all():
            write_class_vectors(vectors, texts, found)
    except MismatchError:
        raise
    except (StoreError, ModelError, *NEVER_ASKED) as error:
        listener.warning(f"no class vectors: {error}")
    except OSError as error:
        if error.errno not in READ_ONLY:
            raise
        listener.warning(f"no class vectors: {error}")


def _run(work: Work, rows: Sequence[tuple[str, str]], listener: Listener) -> np.ndarray:
    """Return the vectors of the texts of classes [text, head, dim]; one that does not run has none, and is told."""
    if isinstance(work.model, LoadedEncoder):
        return text_heads(work.model, [text for _, text in rows])
    # Alone in its row, a text has the vectors of a sample alone.
    encoder = Encoder(work.model, replace(work.settings, logits=False, share=False, workers=0))
    blocks = [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]
    found: list[Block] = list(encoder.stream([Question((), text) for _, text in block] for block in blocks))
    faults = (
        Fault(f"class {block[place][0]!r} has no class vector", ran.reason(place))
        for block, ran in zip(blocks, found, strict=True)
        for place in ran.failed
    )
    for line, _ in grouped(faults):
        listener.warning(line)
    return np.concatenate([ran.vectors for ran in found])
