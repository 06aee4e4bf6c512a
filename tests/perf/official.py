"""The papers' way of taking heads from a model, written plainly: what a harvest is measured against."""

from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from savs_benchmarks import load_picture
from savs_harvest.models.patches import PatchProduct, use_patch_products
from savs_harvest.models.prompts import prepare


def official(loaded, support, test):
    """Return vectors [sample, head, dim] of all samples as the papers' code makes them, one at a time.

    The samples to learn from run three times: for the means of the classes, for the score of every head, and for
    the vectors themselves. Samples are (pictures, question).
    """
    with plain_patches(loaded.model):
        for _ in range(2):
            for sample in support:
                activations(loaded, *sample)
        return np.stack([activations(loaded, *sample) for sample in (*support, *test)])


@contextmanager
def plain_patches(model):
    """Let the model embed patches as transformers does inside the block."""
    for module in model.modules():
        if type(module) is PatchProduct:
            module.__class__ = nn.Conv3d
    try:
        yield
    finally:
        use_patch_products(model)


def activations(loaded, pictures, question):
    """Return the heads [head, dim] of one prompt: input and output of every projection are kept for all tokens."""
    kept = {}
    projections = loaded.projections
    handles = [
        projection.module.register_forward_hook(
            lambda _module, inputs, output, layer=projection.layer: kept.update({layer: (inputs[0], output)})
        )
        for projection in projections
    ]
    with torch.no_grad():
        loaded.model(**single_inputs(loaded, pictures, question))
    for handle in handles:
        handle.remove()
    shape = len(projections), -1, projections[0].heads, projections[0].head_dim
    stacked = torch.vstack([kept[projection.layer][0] for projection in projections]).view(shape)
    return stacked[:, -1].flatten(0, 1).float().cpu().numpy()


def single_inputs(loaded, pictures, question):
    """Return the inputs of one prompt alone, on the model's device and in its type."""
    found = prepare(loaded.processor, [load_picture(picture) for picture in pictures], question)
    dtype = loaded.model.dtype
    return {n: t.to(loaded.device, dtype if t.is_floating_point() else None) for n, t in found.items()}
