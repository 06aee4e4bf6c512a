"""What a classifier says of itself, in lines for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from savs_analyze.classifier.calibration import least_compared
from savs_analyze.classifier.classifier import COVERAGE, Classifier, Doubt

# Classes that are listed one by one, and of those that are told how often they are right.
MOST_LISTED, MOST_TOLD = 20, 6
# How many times the samples of the scarcest class the largest has before classes count as uneven.
UNEVEN = 2


def describe(classifier: Classifier) -> list[str]:
    """Return what it answers, by what, how good it is out of sample, and what that means."""
    about = classifier.about
    return [*_identity(classifier), *_estimate(about.estimate, classifier), *_sets(classifier)]


def _identity(classifier: Classifier) -> Iterator[str]:
    about = classifier.about
    model, data = about.model, about.data
    layers = model.get("layers") or classifier.last_layer + 1
    yield f"classes    {len(about.classes)}: {_listed(about.classes)}"
    yield f"question   {about.question!r}" if about.question else "question   every picture has its own"
    licence = model.get("licence") or "licence unknown"
    yield f"model      {model.get('name')}, fingerprint {str(model.get('fingerprint'))[:12]}; {licence}"
    yield f"heads      {len(classifier.heads)}, the last in layer {classifier.last_layer} of {layers}"
    nested = about.estimate.get("nested", True)
    yield f"recipe     {about.recipe.get('column')}{_among(about.recipe, nested)}"
    kept = f" ({data['kept_for_tests']:,} more are kept for tests)" if data.get("kept_for_tests") else ""
    licence = data.get("licence") or "licence unknown"
    yield f"data       {data.get('benchmark')}: {classifier.samples:,} labelled samples{kept}; {licence}"


def _among(recipe: Mapping[str, Any], nested: bool) -> str:
    """Return among how many it was chosen, and how often folds choose it too, where they chose for themselves."""
    among = recipe.get("among") or []
    if len(among) < 2:
        return ""
    if not nested:
        return f" (the best of {len(among)})"
    counted = Counter(recipe.get("by_fold") or [])
    same = counted[recipe.get("column")]
    return f" (the best of {len(among)}; chosen in {same} of {counted.total()} folds too)"


def _estimate(estimate: Mapping[str, Any], classifier: Classifier) -> Iterator[str]:
    if not estimate:
        return
    low, high = estimate["interval"]
    how = "choice, fit and calibration repeated without each fold" if estimate["nested"] else "choice not repeated"
    partitions = estimate.get("partitions", 1)
    times = f", the mean of {partitions} partitions into them" if partitions > 1 else ""
    beside = [f"always the largest class {_percent(estimate['chance'])}"]
    if estimate["zero_shot"] is not None:
        beside.insert(0, f"the model's own answers {_percent(estimate['zero_shot'])}")
    yield (
        f"estimate   {_percent(estimate['accuracy'])} right [{_percent(low)}, {_percent(high)}], out of sample "
        f"({estimate['folds']} folds{times}; {how})"
    )
    yield f"           beside it: {'; '.join(beside)}"
    if min(estimate["counts"]) < max(estimate["counts"]):
        yield f"           every class counted the same: {_percent(estimate['balanced'])}"
    pairs = sorted(zip(estimate["by_class"], classifier.classes, strict=True))
    worst = ", ".join(f"{name} {_percent(share)}" for share, name in pairs[:MOST_TOLD])
    yield f"           by class, the worst first: {worst}{' ...' if len(pairs) > MOST_TOLD else ''}"
    yield (
        f"           log loss {estimate['log_loss']:.3f}, Brier score {estimate['brier']:.3f}, calibration error "
        f"{100 * estimate['calibration_error']:.1f} points"
    )
    yield f"           {_more(estimate)}"


def _more(estimate: Mapping[str, Any]) -> str:
    points = ", ".join(f"{size:,}: {_percent(share)}" for size, share in estimate["curve"])
    if len(estimate["curve"]) < 2:
        return "too few labelled samples to tell whether more would help"
    if estimate["gain"] is None:
        return f"with fewer labelled samples {points}: no sign that more would help"
    return f"with fewer labelled samples {points}; 50 more may add about {100 * estimate['gain']:.1f} points"


def _sets(classifier: Classifier) -> Iterator[str]:
    proven = classifier.proven_coverage()
    groups = classifier.calibration.clusters
    new = f"groups, as these are {groups:,}" if groups < classifier.samples else "pictures of the same kind"
    nested = classifier.about.estimate.get("nested", True)
    promise = f"proven {_percent(proven)} on average, for new {new}" if nested else "proven nothing, of so few"
    yield f"sets       that are to hold the truth in {_percent(COVERAGE)}: {promise}"
    yield from (f"           {line}" for line in limits_of(classifier, Doubt()))


def limits_of(classifier: Classifier, doubt: Doubt) -> Iterator[str]:
    """Yield what a user must know of sets and marks at these rates: where there are too few samples to promise."""
    calibration, coverage = classifier.calibration, f"{100 * doubt.coverage:g} %"
    kind = "groups" if calibration.clusters < classifier.samples else "samples"
    needed = least_compared(1 - doubt.coverage)
    of_class = [calibration.clusters_of(label) for label in range(len(classifier.classes))]
    if doubt.by_class:
        scarce = [f"{name} ({n})" for name, n in zip(classifier.classes, of_class, strict=True) if n < needed]
        if scarce:
            yield (
                f"by class, sets at {coverage} need {needed} labelled {kind} of each: every set holds those with "
                f"fewer, {_listed(scarce)}"
            )
    elif calibration.clusters < needed:
        groups = calibration.clusters
        yield f"sets at {coverage} need {needed} labelled {kind}, there are {groups}: all hold every class"
    elif max(of_class) >= UNEVEN * min(of_class):
        yield (
            f"classes are uneven, {min(of_class):,} to {max(of_class):,} labelled {kind}: {coverage} is for all "
            "together, a scarce class may be held far less often; --by-class promises it for each"
        )
    if calibration.clusters < (least := least_compared(doubt.false_alarms)):
        yield (
            f"no picture is marked as unlike all others at {100 * doubt.false_alarms:g} % of false alarms: that needs "
            f"{least} labelled {kind}, there are {calibration.clusters}"
        )


def _listed(classes: Sequence[str]) -> str:
    more = f" and {len(classes) - MOST_LISTED} more" if len(classes) > MOST_LISTED else ""
    return ", ".join(classes[:MOST_LISTED]) + more


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
