"""What every kind of method is: a record of names and numbers that learns from a support what votes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from savs_analyze.methods.context import Context
from savs_analyze.methods.protocols import Protocol
from savs_analyze.parts.selection import Scoring
from savs_analyze.registry import Origin
from savs_analyze.votes.fitted import Fitted

LOGITS, CLASS_VECTORS = "logits", "class vectors"
# What a system said; logits of two answers each to samples that are scored in groups.
ANSWERS, PAIRED = "answers", "paired answers"


@dataclass(frozen=True, kw_only=True)
class Method(ABC):
    """A method with its hyperparameters. A `restricted` one chooses among the classes that a prompt prints."""

    restricted: bool = False

    # Whether it has a support at all.
    learns: ClassVar[bool] = True
    # Whether what it learns can be kept in a classifier's file.
    deploys: ClassVar[bool] = True
    # Whether it sees all tested samples at once, and says of each what the others make likely.
    transductive: ClassVar[bool] = False
    # What it needs of a task besides labelled vectors: one of the above, or nothing.
    needs: ClassVar[str] = ""

    @abstractmethod
    def learn(self, context: Context) -> Fitted:
        """Return what votes. Raises ValueError where the support cannot teach it."""

    @property
    def least_shots(self) -> int:
        return 1

    @property
    def weighs(self) -> bool:
        """Whether weights of samples reach it."""
        return False

    @property
    def ranks(self) -> bool:
        """Whether it keeps the best heads, for which the papers' code has an order of its own."""
        return False

    @property
    def solving(self) -> tuple[str, str]:
        """The solver and the scaling that it is fitted by, empty where there is nothing to choose."""
        return "", ""

    @property
    def scorings(self) -> Sequence[Scoring]:
        """The scores of heads that it needs."""
        return ()

    @property
    def canonical(self) -> Method:
        """The simplest method that provably predicts the same in a draw; equal ones are computed once."""
        return self

    @property
    def simplicity(self) -> tuple[bool, ...]:
        """What orders methods that predict the same, the simplest first."""
        return ()

    @property
    def origins(self) -> frozenset[Origin]:
        """Where its parts are from."""
        return frozenset()

    def on_heads(self, heads: Sequence[tuple[int, int]]) -> Method:
        """Return the method with heads that were found elsewhere. Raises ValueError where it finds its own."""
        raise ValueError(f"{type(self).__name__} finds its heads on the support: it takes no others")

    def among_printed(self, restricted: bool) -> Method:
        return replace(self, restricted=restricted)

    @property
    def by_appearance(self) -> bool:
        """Whether it numbers classes as they first appear in the training file."""
        return False

    def following(self, protocol: Protocol) -> Method:
        """Return the method as a paper's code keeps, lists and votes with heads."""
        return self

    def solved_by(self, solver: str, scaling: str) -> Method:
        """Return the method with another solver or scaling, "" for its own. Raises ValueError where it knows none."""
        return self
