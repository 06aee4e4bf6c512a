"""The files of a checkpoint that hold only what lies behind the last layer that is needed: they are never fetched."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from savs_harvest.models.checkpoints import read_json
from savs_harvest.models.shortened import shorten

INDEX = "model.safetensors.index.json"
# Weights of a language model's layers, and of what comes behind all of them, by their names in files and in models.
LANGUAGE = re.compile(r"(?:model\.|language_model\.|text_model\.)*(?:layers\.(\d+)\..+|norm\.weight|lm_head\..+)")


def is_behind(name: str, layers: int) -> bool:
    """Tell whether a weight lies behind so many layers of the language model: no head of theirs depends on it."""
    found = LANGUAGE.fullmatch(name)
    return found is not None and (found[1] is None or int(found[1]) >= layers)


def left_out(folder: Path, config: Any, layers: int, adapter: str | None = None) -> frozenset[str]:
    """Return the names of the weights' files that so many layers do without; none where the model is loaded whole."""
    of_all = config.get_text_config().num_hidden_layers
    if layers >= of_all or not (folder / INDEX).exists() or shorten(deepcopy(config), layers, adapter):
        return frozenset()
    weights = read_json(folder / INDEX)["weight_map"]
    return frozenset(weights.values()) - {file for name, file in weights.items() if not is_behind(name, layers)}


@contextmanager
def without_files(folder: Path, names: Collection[str]) -> Iterator[Path]:
    """Give the folder as if it had never had these files: links to the others, and an index that knows of no more."""
    if not names:
        yield folder
        return
    with TemporaryDirectory(prefix="savs-") as place:
        for path in folder.iterdir():
            if path.name not in (*names, INDEX):
                (Path(place) / path.name).symlink_to(path.resolve())
        index = read_json(folder / INDEX)
        index["weight_map"] = {name: file for name, file in index["weight_map"].items() if file not in names}
        (Path(place) / INDEX).write_text(json.dumps(index))
        yield Path(place)
