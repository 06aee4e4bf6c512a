"""What a system answers by itself: in words, or by scores that are made fair over a group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from savs_analyze.methods.context import Context
from savs_analyze.methods.method import ANSWERS, PAIRED, Method
from savs_analyze.votes.answered import DebiasedAnswer, SaidAnswer


@dataclass(frozen=True)
class Said(Method):
    """The class that was said, in words that one rule reads; what names no class is wrong."""

    learns: ClassVar[bool] = False
    deploys: ClassVar[bool] = False
    needs: ClassVar[str] = ANSWERS

    def learn(self, context: Context) -> SaidAnswer:
        return SaidAnswer(heads=np.zeros(1, dtype=np.int64), restricted=self.restricted, classes=context.classes)


@dataclass(frozen=True)
class Debiased(Method):
    """The model's own answer with a threshold of its own for what belongs together: `by` question, image or group."""

    by: str = "group"

    learns: ClassVar[bool] = False
    deploys: ClassVar[bool] = False
    transductive: ClassVar[bool] = True
    needs: ClassVar[str] = PAIRED

    def learn(self, context: Context) -> DebiasedAnswer:
        return DebiasedAnswer(heads=np.empty(0, dtype=np.int64), restricted=self.restricted, by=self.by)
