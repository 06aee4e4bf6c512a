"""A model card of a classifier: Markdown with the hub's header, and one figure beside it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from savs_analyze.classifier.classifier import COVERAGE, Classifier
from savs_analyze.fitting.words import describe
from savs_analyze.report.drawing import figure_at, panels
from savs_stores.terminal import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Of more classes, only the worst are drawn.
MOST_DRAWN = 20
PANEL_WIDTH, PANEL_HEIGHT = 3.0, 2.4  # inches


def write_card(classifier: Classifier, path: Path) -> Path:
    """Write NAME.md, and NAME.png where there is an estimate, beside a classifier's file; return the card's path."""
    figure, card = path.with_suffix(".png"), path.with_suffix(".md")
    if classifier.about.estimate:
        draw_estimate(classifier.about.estimate, classifier.classes, figure)
    card.write_text(card_text(classifier, path.name, figure.name), encoding="utf-8")
    return card


def card_text(classifier: Classifier, file: str, figure: str) -> str:
    """Return the card; words of data and models are shown as they are, none of them is markup."""
    lines = [*_header(classifier), f"# {_plain(file.removesuffix('.safetensors'))}", ""]
    lines += [
        _what_it_is(classifier),
        "",
        "```",
        *describe(classifier),
        "```",
        "",
        *([f"![What it gets right](<{figure}>)", ""] if classifier.about.estimate else []),
    ]
    lines += [*_use(classifier, file), *_limits(classifier)]
    return "\n".join(printable(line) for line in lines) + "\n"


def _header(classifier: Classifier) -> Iterator[str]:
    """Yield the hub's YAML header; JSON is YAML, so that no word ends a value."""
    about, estimate = classifier.about, classifier.about.estimate
    fields: dict[str, Any] = {
        "library_name": "savs",
        "pipeline_tag": "image-classification",
        "tags": ["attention-heads", "few-shot", "sparse-attention-vectors"],
        "base_model": str(about.model.get("name")),
        **_licence(about.model.get("licence"), about.data.get("licence")),
    }
    if estimate:
        accuracy = {"type": "accuracy", "name": "accuracy, cross-validated", "value": round(estimate["accuracy"], 4)}
        dataset = {"type": "images", "name": str(about.data.get("benchmark"))}
        result = {"task": {"type": "image-classification"}, "dataset": dataset, "metrics": [accuracy]}
        fields["model-index"] = [{"name": "savs classifier", "results": [result]}]
    yield "---"
    for name, value in fields.items():
        yield f"{name}: {json.dumps(value, ensure_ascii=False)}"
    yield from ("---", "")


def _licence(model: str | None, data: str | None) -> dict[str, str]:
    """Return the licence where model and data have the same one, else both: a classifier is made of either."""
    if model and data and model.lower() == data.lower():
        return {"license": model.lower()}
    return {"license": "other", "license_name": f"model: {model or 'unknown'}, data: {data or 'unknown'}"}


def _what_it_is(classifier: Classifier) -> str:
    about = classifier.about
    asked = f'asked "{_plain(about.question)}"' if about.question else "asked its question"
    return (
        f"Tells {len(classifier.classes)} classes apart. The frozen model {_plain(about.model.get('name'))} is shown a "
        f"picture and {asked}; what {len(classifier.heads)} of its attention heads put out at the last token of the "
        f"prompt decides. It has learnt from {classifier.samples:,} labelled samples."
    )


def _use(classifier: Classifier, file: str) -> Iterator[str]:
    yield from ("## Use", "", "```", f"savs-harvest predict {shlex.quote(file)} PICTURES --out answers.csv", "```", "")
    yield from ("```python", "import savs", "", f'classifier = savs.load("{file}")', "classifier(images)", "```", "")


def _limits(classifier: Classifier) -> Iterator[str]:
    about, proven = classifier.about, classifier.proven_coverage()
    yield "## What the numbers mean"
    yield ""
    nested = about.estimate.get("nested", True)
    yield "- Everything was estimated on the labelled samples alone: each is judged by what has not learnt from it."
    if not nested:
        yield "- The scarcest class has two samples: choice and calibration have seen all, so the estimate flatters."
    yield (
        f"- Sets at coverage {COVERAGE:.0%} provably hold the truth of new pictures of the same kind in at least "
        f"{100 * proven:.1f} % on average over fits, where samples are independent. Measured, they hold it about as "
        "often as promised, every class together: a scarce class may be held less often (--by-class)."
    )
    yield "- Probabilities are calibrated on the labelled samples; where classes come in other shares, they are off."
    source = about.data.get("source") or "source unknown"
    licence = about.data.get("licence") or "unknown"
    yield f"- Data: {_plain(about.data.get('benchmark'))}, {_plain(source)}, licence {_plain(licence)}."
    yield f"- Model: licence {_plain(about.model.get('licence') or 'unknown')}."
    yield f"- Fitted with {', '.join(f'{_plain(name)} {_plain(number)}' for name, number in about.software.items())}."


def _plain(word: object) -> str:
    """Return a word from elsewhere so that no Markdown is in it."""
    return re.sub(r"([\\`*_{}\[\]<>#|!])", r"\\\1", printable(str(word)).replace("\n", " "))


def draw_estimate(estimate: Mapping[str, Any], classes: Sequence[str], path: Path) -> None:
    """Draw accuracy by class, against the share answered, and against the last layer allowed."""
    with figure_at(path, 3 * PANEL_WIDTH, PANEL_HEIGHT) as figure:
        by_class, answered, layers = panels(figure, 3, 3)
        _draw_classes(by_class, classes, estimate["by_class"])
        _draw_curve(answered, estimate["answered"], "share of pictures answered, the surest first, in %", 100)
        _draw_curve(layers, estimate.get("layers", []), "last layer whose heads may answer", 1)


def _draw_classes(axes: Axes, classes: Sequence[str], shares: Sequence[float]) -> None:
    worst = sorted(zip(shares, classes, strict=True))[:MOST_DRAWN][::-1]
    axes.barh(range(len(worst)), [100 * share for share, _ in worst], color="tab:blue")
    axes.set_yticks(range(len(worst)), [name if len(name) <= 20 else f"{name[:9]}…{name[-10:]}" for _, name in worst])
    axes.set(xlim=(0, 100), xlabel="right by class, the worst on top, in %")


def _draw_curve(axes: Axes, points: Sequence[Sequence[int | float]], label: str, scale: int) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.plot([scale * x for x, _ in points], [100 * share for _, share in points], marker="o", markersize=3)
    axes.set(xlabel=label, ylabel="right, in %")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
