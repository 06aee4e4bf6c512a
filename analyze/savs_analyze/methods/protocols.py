"""How the papers' code keeps, lists and votes with heads, where that differs from the right way."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from savs_analyze.votes.arithmetic import DOUBLE, Arithmetic


@dataclass(frozen=True)
class Protocol:
    """What one paper's code does, by name; `way` is what tables call it.

    Both keep heads by score alone, of equal ones the later (`argsort(counts)[-k:]`, sorted stably). `best_first` lists
    them from the end, so that a tied vote goes to the class that the best of its voters predicts; else they are listed
    by layer and head. `by_appearance` numbers classes as they first appear in the training file, else by name.
    """

    name: str
    way: str
    best_first: bool = False
    by_appearance: bool = True
    half_cosines: bool = False
    arithmetic: Arithmetic = DOUBLE

    def computed_in(self, arithmetic: str) -> Protocol:
        """Return the protocol with means in another type, "" for double precision.

        The first paper's cosines are of that type too; the second's are in float32, to which means are cast.
        """
        if not arithmetic:
            return self
        return replace(self, arithmetic=Arithmetic(arithmetic, arithmetic if self.half_cosines else "float32"))


# The last is what results call the papers' way that were made before the two were told apart.
PROTOCOLS: Mapping[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol("savs", "first paper's way", best_first=True, half_cosines=True),
        Protocol("extension", "second paper's way"),
        Protocol("papers", "papers' way", by_appearance=False),
    )
}


def find_protocol(name: str) -> Protocol:
    """Return a protocol by name. Raises ValueError suggesting the nearest."""
    if name not in PROTOCOLS:
        close = difflib.get_close_matches(name, PROTOCOLS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(PROTOCOLS)}"
        raise ValueError(f"there is no protocol {name!r}; {hint}")
    return PROTOCOLS[name]
