"""One page to look at answers: pictures by doubt and by class, in a file that needs nothing else."""

from __future__ import annotations

import base64
import heapq
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from savs_benchmarks import PictureError, load_picture
from savs_benchmarks.pictures.pictures import Picture
from savs_harvest.cli.asked import Asked
from savs_stores.terminal import printable

# Pictures on a page, and pixels of their longer side: a few megabytes.
MOST, PIXELS, QUALITY = 1000, 240, 75


@dataclass
class Gallery:
    """The most doubtful answers of all, so many that a browser can show them; `counts` are of all."""

    most: int = MOST
    counts: Counter[str] = field(default_factory=Counter)
    kept: list[tuple[float, int, Asked, Mapping[str, Any]]] = field(default_factory=list)

    def add(self, asked: Asked, row: Mapping[str, Any]) -> None:
        """Count an answer, and keep it where it is among the most doubtful."""
        self.counts[_state(row)] += 1
        heapq.heappush(self.kept, (-_sureness(row), -self.counts.total(), asked, row))
        if len(self.kept) > self.most:
            heapq.heappop(self.kept)

    def write(self, path: Path, about: Mapping[str, Any]) -> None:
        """Write the page; `about` has title, question, notes and the rate of false alarms."""
        pages = Environment(
            loader=PackageLoader("savs_harvest.cli", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        cards = [_card(asked, row, about["false_alarms"]) for _, _, asked, row in sorted(self.kept, reverse=True)]
        counts = {name: self.counts[name] for name in ("doubtful", "clear", "failed")}
        left_out = self.counts.total() - len(cards)
        page = pages.get_template("answers.html.j2").generate(
            cards=cards,
            counts=counts,
            classes=_by_class(cards),
            left_out=left_out,
            total=self.counts.total(),
            title=printable(about["title"]),
            question=printable(about["question"]),
            notes=list(map(printable, about["notes"])),
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8") as file:
            file.writelines(page)


def _state(row: Mapping[str, Any]) -> str:
    return "failed" if row["status"] != "ok" else "doubtful" if row["doubtful"] else "clear"


def _sureness(row: Mapping[str, Any]) -> float:
    """Return where an answer stands: doubtful ones by their probability, then the others, then what failed."""
    return {"doubtful": 0, "clear": 1, "failed": 2}[_state(row)] + (row["probability"] or 0)


def _card(asked: Asked, row: Mapping[str, Any], false_alarms: float) -> dict[str, Any]:
    shown = [printable(name) for name in row["set"]]
    return {
        "state": _state(row),
        "label": printable(row["class"] or (shown[0] if len(shown) == 1 else "no class")),
        "percent": "" if row["probability"] is None else f"{100 * row['probability']:.1f} %",
        "probability": row["probability"] or 0,
        "why": list(_why(row, false_alarms)),
        "set": shown,
        "second": printable(row["second"] or ""),
        "file": printable(row["file"]),
        "question": printable(row["question"]),
        "pictures": [found for picture in asked.question.pictures if (found := _thumbnail(picture))],
    }


def _why(row: Mapping[str, Any], false_alarms: float) -> Iterator[str]:
    """Yield in words why an answer is doubtful, or why there is none."""
    if row["status"] != "ok":
        yield printable(row["status"].replace("_", " "))
        return
    if row["doubtful"]:
        if len(row["set"]) != 1:
            yield f"{len(row['set'])} classes possible"
        if row["likeness"] <= false_alarms:
            yield "unlike the training pictures"
        if len(row["set"]) == 1 and row["likeness"] > false_alarms:
            yield "low probability"


def _thumbnail(picture: Picture) -> str:
    """Return a small JPEG as a data URI, nothing where the picture cannot be read."""
    try:
        small = load_picture(picture)
    except PictureError:
        return ""
    small.thumbnail((PIXELS, PIXELS), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    small.save(content, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode()


def _by_class(cards: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    return sorted(Counter(card["label"] for card in cards if card["state"] != "failed").items())
