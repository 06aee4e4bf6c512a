"""What a replica brings: its files, and what is to be read from the benchmark and from them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Replica:
    """A benchmark made small: `write(folder)` writes its files.

    `counts` and `classes` are those of the published benchmark, `prompts` the words of some samples of the replica,
    `classes_here` the classes of a replica that has fewer, `options` how many a question prints, `lost` what is lost of
    the papers' split where nothing can be reconstructed.
    """

    name: str
    write: Callable[[Path], None]
    counts: Mapping[str, int]
    classes: str
    prompts: Mapping[str, str]
    classes_here: int | None = None
    options: int = 0
    lost: str = ""
