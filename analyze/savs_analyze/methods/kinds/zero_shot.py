"""The model's own answer, which learns nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from savs_analyze.methods.context import Context
from savs_analyze.methods.method import LOGITS, Method
from savs_analyze.votes.linear import OwnAnswer


@dataclass(frozen=True)
class ZeroShot(Method):
    """The class whose answer the model finds most probable."""

    learns: ClassVar[bool] = False
    needs: ClassVar[str] = LOGITS

    def learn(self, context: Context) -> OwnAnswer:
        return OwnAnswer(heads=np.empty(0, dtype=np.int64), restricted=self.restricted)
