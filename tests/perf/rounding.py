"""How far vectors of the same samples differ, and whether what is learnt from them does."""

import numpy as np

from savs_analyze.methods.estimator import SAVClassifier


def cosines(first, second):
    """Return the cosine [sample, head] of vectors [sample, head, dim]; of two zeros it is 1."""
    product = (first * second).sum(-1)
    sizes = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    return np.where(sizes > 0, product / np.where(sizes > 0, sizes, 1), np.all(first == second, axis=-1))


def changed(first, second, labels, kept=20):
    """Return (heads that only one of both selects, predictions that differ, predictions) of SAVs learnt from each.

    The first half of the samples is learnt from, the second is predicted.
    """
    half = len(labels) // 2
    learnt = [learn(vectors[:half], labels[:half], kept) for vectors in (first, second)]
    predicted = [
        model.predict(vectors[half:].reshape(len(labels) - half, -1))
        for model, vectors in zip(learnt, (first, second), strict=True)
    ]
    heads = {*learnt[0].heads_.tolist()} - {*learnt[1].heads_.tolist()}
    return len(heads), int((predicted[0] != predicted[1]).sum()), len(labels) - half


def learn(vectors, labels, kept):
    model = SAVClassifier(min(kept, vectors.shape[1]), head_dim=vectors.shape[2])
    return model.fit(vectors.reshape(len(vectors), -1), labels)


def describe(alone, together, labels):
    """Return what a record says of the difference between samples run alone and run together."""
    found = cosines(alone, together)
    heads, flips, predictions = changed(alone, together, labels)
    return {
        "least": float(found.min()),
        "median": float(np.median(found)),
        "heads": heads,
        "flips": flips,
        "predictions": predictions,
    }
