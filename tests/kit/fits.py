"""Planted features and tight fits, for the tests of the lasso."""

import numpy as np

from savs_analyze.lasso.estimator import SparseGroupLogisticRegression

HEADS, DIM = 12, 8
GROUPS = np.arange(HEADS * DIM) // DIM
TIGHT = 1e-9


def planted(classes, samples=60, seed=0, heads=HEADS, dim=DIM, informative=3, strength=1.0):
    """Return X [sample, head * dim] and y: heads with means and scales of their own, the first ones informative."""
    generator = np.random.default_rng(seed)
    labels = np.arange(samples) % classes
    vectors = generator.normal(size=(samples, heads, dim)) + 3 * generator.normal(size=(heads, dim))
    vectors[:, :informative] += strength * generator.normal(size=(classes, informative, dim))[labels]
    vectors *= 10 ** generator.uniform(-0.5, 0.5, heads)[:, None]
    return vectors.reshape(samples, -1), labels


def fitted(features, labels, alpha=0.02, tol=TIGHT, **settings):
    model = SparseGroupLogisticRegression(alpha=alpha, tol=tol, **({"head_dim": DIM} | settings))
    return model.fit(features, labels)


def flat(problem, classes, **shape):
    vectors, labels = problem(0, classes=classes, **shape)
    return vectors.reshape(len(vectors), -1), labels
