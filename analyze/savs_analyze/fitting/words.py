"""What a classifier says of itself, in lines for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from savs_analyze.classifier.classifier import COVERAGE, Classifier

# Classes that are listed one by one, and of those that are told how often they are right.
MOST_LISTED, MOST_TOLD = 20, 6


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
    yield f"model      {model.get('name')}, fingerprint {str(model.get('fingerprint'))[:12]}"
    yield f"heads      {len(classifier.heads)}, the last in layer {classifier.last_layer} of {layers}"
    yield f"recipe     {about.recipe.get('column')}{_among(about.recipe)}"
    kept = f" ({data['kept_for_tests']:,} more are kept for tests)" if data.get("kept_for_tests") else ""
    licence = data.get("licence") or "licence unknown"
    yield f"data       {data.get('benchmark')}: {classifier.samples:,} labelled samples{kept}; {licence}"


def _among(recipe: Mapping[str, Any]) -> str:
    among = recipe.get("among") or []
    if len(among) < 2:
        return ""
    counted = Counter(recipe.get("by_fold") or [])
    same = counted[recipe.get("column")]
    return f" (the best of {len(among)}; chosen in {same} of {counted.total()} folds too)"


def _estimate(estimate: Mapping[str, Any], classifier: Classifier) -> Iterator[str]:
    if not estimate:
        return
    low, high = estimate["interval"]
    how = "choice, fit and calibration repeated without each fold" if estimate["nested"] else "choice not repeated"
    beside = [f"always the largest class {_percent(estimate['chance'])}"]
    if estimate["zero_shot"] is not None:
        beside.insert(0, f"the model's own answers {_percent(estimate['zero_shot'])}")
    yield (
        f"estimate   {_percent(estimate['accuracy'])} right [{_percent(low)}, {_percent(high)}], out of sample "
        f"({estimate['folds']} folds; {how})"
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
    if estimate["gain"] is None:
        return f"with fewer labelled samples {points}: no sign that more would help"
    return f"with fewer labelled samples {points}; 50 more may add about {100 * estimate['gain']:.1f} points"


def _sets(classifier: Classifier) -> Iterator[str]:
    proven = classifier.proven_coverage()
    yield (
        f"sets       that are to hold the truth in {_percent(COVERAGE)}: proven {_percent(proven)} on average, for "
        "pictures of the same kind"
    )


def _listed(classes: Sequence[str]) -> str:
    more = f" and {len(classes) - MOST_LISTED} more" if len(classes) > MOST_LISTED else ""
    return ", ".join(classes[:MOST_LISTED]) + more


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
