"""Changing the files of a checkpoint, and loading it from its folder."""

import json

from safetensors.torch import load_file, save_file

from savs_harvest.batches.layout_check import load_model
from savs_harvest.models.specs import ModelSpec


def load_folder(folder, **options):
    return load_model(ModelSpec("mine", str(folder), "float32"), "cpu", **options)


def edit_json(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def edit_weights(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
