"""What methods cost on the same draw: seconds to learn and to answer, and the bytes that an answer reads."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import pandas as pd

from savs_analyze.draws.task import Task
from savs_analyze.methods.learners import learn
from savs_analyze.methods.settings import Setting
from savs_analyze.votes.batch import Batch
from savs_analyze.votes.voting import allowed_classes

MOST_TESTED = 1000
COLUMNS = ["setting", "shots", "learn_seconds", "answer_milliseconds", "heads_read", "bytes_read"]


def costs(task: Task, settings: Sequence[Setting], shots: int) -> pd.DataFrame:
    """Return of every setting that learns, each alone on the first draw, what it costs.

    Seconds are of the processor; an answer's milliseconds and bytes are those of one sample. Reading is not timed.
    """
    vectors, draw = task.vectors, task.draw(shots, seed=0)
    context, tested = task.context(draw, named=True), draw.test[:MOST_TESTED]
    allowed = allowed_classes(vectors.store.samples.options[tested], len(task.classes))
    rows = []
    for setting in settings:
        if not setting.method.learns or (setting.method.needs and context.class_vectors is None):
            continue
        started = time.process_time()
        [fitted] = learn([setting.method], context)
        learnt = time.process_time()
        heads = np.unique(fitted.heads)
        batch = Batch(heads, vectors.read(tested, heads.tolist()), allowed)
        asked = time.process_time()
        fitted.votes(batch)
        answered = time.process_time() - asked
        values = learnt - started, 1000 * answered / len(tested), len(heads), len(heads) * vectors.plan.row_bytes
        rows.append(dict(zip(COLUMNS, (setting.column(), shots, *values), strict=True)))
    return pd.DataFrame(rows, columns=COLUMNS)
