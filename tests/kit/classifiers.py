"""Labelled vectors that a classifier is fitted to in a moment."""

import numpy as np

from savs_analyze.methods.context import Context


def planted_context(classes, seed=0, samples=12, heads=(3, 4), dim=8):
    """Return samples of every class whose heads tell them apart, the later ones better; `heads` are [layer, head]."""
    generator = np.random.default_rng(100 + seed)
    layers, per_layer = heads
    means = np.random.default_rng(7).normal(size=(classes, layers * per_layer, dim))
    labels = np.tile(np.arange(classes), samples)
    noise = np.linspace(3, 1, layers * per_layer)[:, None] * generator.normal(
        size=(len(labels), layers * per_layer, dim)
    )
    layer = np.repeat(np.arange(layers), per_layer)
    return Context((means[labels] + noise).astype(np.float16), labels, classes, layer)
