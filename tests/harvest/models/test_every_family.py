"""Families that no rule of ours knows: what is found in them, and that what is stored is what the sample gives alone.

The page of all families, `docs/families.md`, is made by the same trial.
"""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.utils import is_torchvision_available

from kit.zoo.build import BY_HAND, EVERY, save
from kit.zoo.expected import HEADS, ONE_PICTURE, UNPACKED, UNSHARED, WANTS_PICTURES, WITH_TORCHVISION
from kit.zoo.trial import EXACT, PAIRS, PICTURES, differs, spec, tried
from savs_harvest.batches.layout_check import load_model
from savs_harvest.models.families import FAMILIES
from savs_harvest.models.processors import load_processor
from savs_harvest.run.settings import Settings

QUICK = ("glm4v_moe", "hunyuan_vl", "granite4_vision", "glm5_next")
EACH = pytest.mark.parametrize(
    "family", [family if family in QUICK else pytest.param(family, marks=pytest.mark.slow) for family in HEADS]
)


@EACH
def test_a_family_without_rules_is_exact_in_every_way_that_is_proven_for_it(family, tmp_path):
    loaded = load_model(spec(save(family, tmp_path / "model")), "cpu")
    assert [(p.layer, p.heads, p.head_dim, p.kind) for p in loaded.projections] == list(HEADS[family])
    assert (loaded.family.shares, loaded.family.packs) == (family not in UNSHARED, family not in UNPACKED)
    rows = PICTURES if family in ONE_PICTURE else [*PICTURES, *PAIRS]
    assert differs(loaded, rows, tmp_path / "together", Settings()) == ""
    if loaded.family.packs:
        assert differs(loaded, rows, tmp_path / "packed", Settings(pack=True)) == ""


@pytest.mark.slow
@pytest.mark.parametrize("family", HEADS)
def test_the_page_says_of_it_what_the_trial_finds(family, tmp_path):
    found = tried(family, tmp_path)
    assert (found["verdict"], found["reason"]) == (EXACT, "")
    ways = found["ways"]
    assert ways["batched"] == ("one by one" if family == "emu3" else EXACT)
    assert ways["layers"] in (EXACT, "whole", "one layer")
    assert ways["words"].startswith("no: ") == (family in WANTS_PICTURES)


@pytest.mark.slow
@pytest.mark.skipif(not is_torchvision_available(), reason="transformers prepares their pictures with torchvision only")
@pytest.mark.parametrize("family", WITH_TORCHVISION)
def test_a_family_that_needs_torchvision_is_exact_where_it_is(family, tmp_path):
    if family == "perception_lm":
        pytest.importorskip("timm")
    found = tried(family, tmp_path / "trial")
    assert (found["verdict"], found["reason"]) == (EXACT, "")
    loaded = load_model(spec(save(family, tmp_path / "model")), "cpu")
    assert [(p.layer, p.heads, p.head_dim, p.kind) for p in loaded.projections] == list(WITH_TORCHVISION[family])
    assert not loaded.identity["image_backend"].endswith("Pil")


@pytest.mark.slow
@pytest.mark.parametrize("family", BY_HAND)
def test_pictures_are_prepared_by_pillow_where_both_are_there(family, tmp_path):
    processor = load_processor(save(family, tmp_path))
    assert type(processor.image_processor).__name__.endswith("Pil")


@pytest.mark.parametrize("outer", ["qwen2_5_omni", pytest.param("qwen3_omni_moe", marks=pytest.mark.slow)])
def test_of_a_model_that_speaks_the_thinker_is_harvested(outer, tmp_path):
    """As its checkpoints are: the thinker's weights among those of the other parts, its configuration inside."""
    folder = save(f"{outer}_thinker", tmp_path / "it")
    alone = load_model(spec(folder), "cpu")
    inner = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({"model_type": outer, "thinker_config": inner}))
    weights = load_file(folder / "model.safetensors")
    named = {name if name.startswith("thinker.") else f"thinker.{name}": each for name, each in weights.items()}
    save_file(named | {"talker.model.norm.weight": torch.ones(8)}, folder / "model.safetensors", {"format": "pt"})
    inside = load_model(spec(folder), "cpu")
    assert inside.identity["model_type"] == f"{outer}_thinker"
    assert inside.identity["heads"] == alone.identity["heads"]
    weights_of = [dict(loaded.model.named_parameters()) for loaded in (alone, inside)]
    assert all(torch.equal(weight, weights_of[1][name]) for name, weight in weights_of[0].items())


def test_no_family_that_is_said_to_be_unknown_has_rules():
    assert not set(HEADS) & set(FAMILIES)
    assert set(HEADS) | set(BY_HAND) <= set(EVERY)
