"""What an adapter was tuned on: kept in the file of its weights, so that neither travels without the other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open

from savs_harvest.errors import ModelError

KEY = "savs_tuned_on"


@dataclass(frozen=True)
class TunedOn:
    """The samples that an adapter has seen with their answers: ids in a benchmark's index, hashes of their pictures.

    `draw` and `shots` say how they were drawn.
    """

    benchmark: str
    index_hash: str
    shots: int
    draw: int
    samples: Sequence[str]
    pictures: Sequence[str]

    def metadata(self) -> dict[str, str]:
        """Return it as a safetensors file keeps it: alone, as several entries would come in any order."""
        return {KEY: json.dumps(asdict(self), sort_keys=True)}

    def identity(self) -> dict[str, Any]:
        return json.loads(json.dumps(asdict(self)))


def read_tuned_on(weights: Path) -> TunedOn | None:
    """Return what an adapter's file says that it was tuned on, None where it says nothing, as those of others do.

    Raises `ModelError` where what it says cannot be read: it would be tested on what it has learnt by heart.
    """
    with safe_open(weights, "pt") as file:
        text = (file.metadata() or {}).get(KEY)
    if text is None:
        return None
    try:
        found = json.loads(text)
        return TunedOn(
            benchmark=_text(found, "benchmark"),
            index_hash=_text(found, "index_hash"),
            shots=int(found["shots"]),
            draw=int(found["draw"]),
            samples=_texts(found, "samples"),
            pictures=_texts(found, "pictures"),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{weights}: what it was tuned on cannot be read: {error}") from error


def _text(found: Mapping[str, Any], name: str) -> str:
    if not isinstance(found[name], str):
        raise TypeError(f"{name} is no text")
    return found[name]


def _texts(found: Mapping[str, Any], name: str) -> list[str]:
    if not (isinstance(found[name], list) and all(isinstance(one, str) for one in found[name])):
        raise TypeError(f"{name} is no list of texts")
    return found[name]
