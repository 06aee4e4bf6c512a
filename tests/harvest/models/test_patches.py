"""Patches embedded by a product are those of the convolution."""

import pytest
import torch
from torch import nn

from savs_harvest.models.patches import PatchProduct, use_patch_products

KERNEL = (2, 4, 4)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [KERNEL, (4, 8, 8)], ids=["a-patch", "a-picture"])
@pytest.mark.parametrize("stride", [KERNEL, (1, 1, 1)])
def test_a_convolution_gives_the_same_as_before(shape, bias, stride):
    torch.manual_seed(0)
    plain = nn.Conv3d(3, 5, KERNEL, stride=stride, bias=bias)
    patches = torch.randn(7, 3, *shape)
    expected = plain(patches)
    use_patch_products(nn.ModuleList([plain]))
    assert type(plain) is PatchProduct
    torch.testing.assert_close(plain(patches), expected)


@pytest.mark.parametrize("other", [{"padding": 1}, {"groups": 3}], ids=str)
def test_other_convolutions_stay_what_they_are(other):
    module = nn.Conv3d(3, 6, KERNEL, **other)
    use_patch_products(module)
    assert type(module) is nn.Conv3d


def test_a_loaded_model_embeds_patches_by_products(load):
    kinds = {name: type(module) for name, module in load("qwen2vl").model.named_modules()}
    assert kinds["model.visual.patch_embed.proj"] is PatchProduct
