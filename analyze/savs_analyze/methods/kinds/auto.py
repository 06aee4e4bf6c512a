"""The choice among recipes by what they say of labelled samples that they have not seen."""

from __future__ import annotations

from dataclasses import dataclass

from savs_analyze.methods.context import Context
from savs_analyze.methods.crossfit import best, cross_fit
from savs_analyze.methods.folds import clusters, make_folds
from savs_analyze.methods.learners import learn
from savs_analyze.methods.method import Method
from savs_analyze.registry import Origin
from savs_analyze.votes.fitted import Fitted


@dataclass(frozen=True, kw_only=True)
class Auto(Method):
    """The method of several with the least log loss on folds of the support; it learns from all of it then.

    The choice does not look at options that prompts print; the method chosen does.
    """

    methods: tuple[Method, ...]

    @property
    def least_shots(self) -> int:
        return max(2, *(method.least_shots for method in self.methods))

    @property
    def origins(self) -> frozenset[Origin]:
        return frozenset().union(*(method.origins for method in self.methods))

    def learn(self, context: Context) -> Fitted:
        context.check_classes("auto")
        methods = [method.among_printed(self.restricted) for method in self.methods]
        cluster = context.cluster if context.cluster is not None else clusters(len(context.labels), [])
        fold = make_folds(context.labels, cluster, context.seed)
        chosen = best(cross_fit(methods, context, fold, nested=False).said, context.labels)
        [fitted] = learn([methods[chosen]], context)
        return fitted
