"""Who is told how far a harvest is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from savs_stores import ModelWriter


@dataclass(frozen=True)
class Listener:
    """What is called while a harvest runs; by default nobody listens.

    `pictures` gets (read, all) samples, `plan` the writer and the shards to do, `samples` how many samples were run,
    and `warning` what a user should know before it is done, in words. `taken` gets (taken over, all) samples.
    """

    pictures: Callable[[int, int], None] = lambda done, total: None
    plan: Callable[[ModelWriter, list[int]], None] = lambda writer, shards: None
    samples: Callable[[int], None] = lambda count: None
    warning: Callable[[str], None] = lambda words: None
    taken: Callable[[int, int], None] = lambda count, total: None
