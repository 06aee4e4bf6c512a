"""Class vectors of a harvest: one text a class runs through the model, as samples do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from savs_harvest.asking.class_texts import class_texts
from savs_harvest.asking.preparing import Question
from savs_harvest.run.encoding import BLOCK, Encoder
from savs_harvest.run.listener import Listener
from savs_harvest.run.work import Work
from savs_stores import ModelVectors, class_vectors, write_class_vectors


def add_class_vectors(work: Work, vectors: ModelVectors, listener: Listener) -> None:
    """Write the class vectors of all tasks that have names for their classes, where they are not there yet.

    Those that are there stay, unless another prompt is asked for: then `MismatchError` is raised. A text that does not
    run is warned of, and has no vector.
    """
    settings = work.settings
    texts = class_texts(work.benchmark, work.samples, settings.class_prompt)
    if not texts or settings.in_context.shots:
        return
    if there := class_vectors(vectors):
        if settings.class_prompt is not None:
            there.check_texts(texts)
        return
    # Alone in its row, a text has the vectors of a sample alone.
    encoder = Encoder(work.model, replace(settings, logits=False, share=False, workers=0))
    rows = [(name, text) for of_task in texts.values() for name, text in of_task.items()]
    found = []
    for block in (rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)):
        ran = encoder.run([Question((), text) for _, text in block])
        for place in ran.failed:
            listener.warning(f"class {block[place][0]!r} has no class vector: {ran.reason(place)}")
        found.append(ran.vectors)
    write_class_vectors(vectors, texts, np.concatenate(found))
