"""How the kept heads decide together."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int


def majority_vote(predictions: Int[np.ndarray, "sample head"], classes: int) -> Int[np.ndarray, " sample"]:
    """Return the class that most heads predict (SAVs, arXiv 2412.00142: majority vote). Heads come best first.

    Between classes with equally many votes, the one that the best head among their voters predicts wins.
    """
    votes = (predictions[:, :, None] == np.arange(classes)).sum(axis=1)
    support = np.take_along_axis(votes, predictions, axis=1)
    leader = support.argmax(axis=1)
    return predictions[np.arange(len(predictions)), leader]
