"""Patch embeddings as products of matrices.

The vision towers of Qwen's families hand patches one by one to a three-dimensional convolution. It is the same sum,
but several times slower on a CPU, and some versions of cuDNN have no fast bfloat16 kernel for it at all.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import linear


class PatchProduct(nn.Conv3d):
    """A convolution that is one product wherever its input is as large as its kernel."""

    def forward(self, patches: Tensor) -> Tensor:
        """Return [patch, channel, 1, 1, 1] of patches [patch, channel, time, height, width]."""
        if tuple(patches.shape[2:]) != tuple(self.kernel_size):
            return super().forward(patches)
        return linear(patches.flatten(1), self.weight.flatten(1), self.bias)[..., None, None, None]


def use_patch_products(model: nn.Module) -> None:
    """Let every plain three-dimensional convolution of a model compute single patches by a product."""
    for module in model.modules():
        if type(module) is nn.Conv3d and module.groups == 1 and module.padding == (0, 0, 0):
            module.__class__ = PatchProduct
            if hasattr(module, "_old_forward"):  # of a module whose weights accelerate moves, it calls this one
                module._old_forward = PatchProduct.forward.__get__(module)
