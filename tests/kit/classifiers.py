"""Labelled vectors that a classifier is fitted to in a moment, and its file with other content."""

import json

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from savs_analyze.classifier import file as files
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


def rewritten(path, out, header=None, arrays=None, **metadata):
    """Write a file anew, with a hash that is right, after changes of header and arrays."""
    with safe_open(path, framework="numpy") as opened:
        found = json.loads(opened.metadata()[files.FORMAT])
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    content = json.loads(found["classifier"])
    (header or (lambda _: None))(content)
    (arrays or (lambda _: None))(tensors)
    found |= {"classifier": json.dumps(content), **metadata}
    found["sha256"] = files._digest(found["classifier"], tensors)
    save_file(tensors, out, {files.FORMAT: json.dumps(found)})
    return out


def setting(*path, value):
    def change(content):
        for key in path[:-1]:
            content = content[key]
        content[path[-1]] = value

    return change
