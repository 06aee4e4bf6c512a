"""Whether pictures as a whole are like those that a classifier has learnt from."""

from __future__ import annotations

from dataclasses import dataclass
from math import erfc, sqrt

# Where chance alone does so in fewer cases, it is told.
LEVEL = 0.01


@dataclass
class Drift:
    """A one-sided Mann-Whitney test of new pictures' distances against those of the `known` training samples.

    Of each new picture its likeness says how many training samples are as far away: their sum is the statistic, so
    that however many pictures come, two numbers are kept. Where training samples belong together, each group has one
    vote, and `known` counts groups.
    """

    known: int
    pictures: int = 0
    farther: float = 0.0

    def add(self, likeness: float) -> None:
        """Count a picture by its likeness, (1 + training samples as far away) / (training samples + 1)."""
        self.pictures += 1
        self.farther += likeness * (self.known + 1) - 1

    @property
    def p(self) -> float:
        """How often chance alone puts pictures of the same kind so far away, by the normal approximation."""
        pairs = self.pictures * self.known
        if not pairs:
            return 1.0
        spread = sqrt(pairs * (self.pictures + self.known + 1) / 12)
        return 0.5 * erfc((pairs / 2 - self.farther - 0.5) / spread / sqrt(2))

    def words(self) -> str:
        """Return what a user must know, nothing where the pictures are like those that were learnt from."""
        if self.p >= LEVEL:
            return ""
        return (
            f"these {self.pictures:,} pictures as a whole are unlike those that the classifier has learnt from "
            f"(p = {self.p:.2g}): expect more mistakes than were measured; label some of them, and fit again"
        )
