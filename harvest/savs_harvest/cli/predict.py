"""Answer for new pictures with a fitted classifier."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from savs_harvest.cli.options import (
    AdapterOption,
    DeviceMapOption,
    DtypeOption,
    RevisionOption,
)
from savs_stores import terminal

if TYPE_CHECKING:
    from savs_analyze.classifier.classifier import Classifier
    from savs_harvest.cli.answers import Journal, Row
    from savs_harvest.cli.asked import Asked
    from savs_harvest.cli.deployed import Deployed
    from savs_harvest.cli.drift import Drift
    from savs_harvest.cli.page import Gallery
    from savs_harvest.run.encoding import Encoder
    from savs_harvest.run.expected import Choice

MOST_REASONS = 20


def predict(
    classifier: Annotated[Path, typer.Argument(help="A classifier's file, as fit writes it.")],
    pictures: Annotated[
        list[str], typer.Argument(help="Files, folders, patterns, tables with pictures, or - for a list on stdin.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="FILE.csv or FILE.jsonl; without it, a table is printed.")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="A page to look at, for the browser: FILE.html.")] = None,
    coverage: Annotated[float, typer.Option(help="How often the set of classes shall hold the truth.")] = 0.9,
    by_class: Annotated[bool, typer.Option("--by-class", help="Keep the coverage for every class by itself.")] = False,
    least: Annotated[float, typer.Option(help="An answer of a lower probability is doubtful.")] = 0.0,
    false_alarms: Annotated[
        float, typer.Option("--false-alarms", help="How often an ordinary picture may count as unlike all others.")
    ] = 0.05,
    abstain: Annotated[bool, typer.Option("--abstain", help="Name no class where the answer is doubtful.")] = False,
    model: Annotated[
        str | None, typer.Option("--model", help="Short name, hub id or folder; default: the one that was fitted.")
    ] = None,
    adapter: AdapterOption = None,
    revision: RevisionOption = None,
    dtype: DtypeOption = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    device_map: DeviceMapOption = None,
    batch_tokens: Annotated[
        int | None, typer.Option(min=1, help="Padded tokens a batch may hold; default: 16384 on a GPU, 1024 without.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that prepare samples; default: up to 4 with a GPU, 0 without.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Download the model that the classifier's file names.")] = False,
) -> None:
    """Answer for new pictures: class, probability, the set of classes, doubtful or not. The same command resumes."""
    from savs_analyze.classifier.classifier import Doubt
    from savs_analyze.classifier.file import read_classifier
    from savs_analyze.fitting.words import limits_of
    from savs_harvest.cli.answers import ENDINGS, Journal, is_ours
    from savs_harvest.cli.asked import check_sources
    from savs_harvest.cli.deployed import Deployed
    from savs_harvest.models.specs import check_dtype
    from savs_harvest.run.expected import Choice

    inputs = [classifier, *pictures]
    if out is not None:
        terminal.check_output(out, ENDINGS, is_ours, inputs)
    if html is not None:
        terminal.check_output(html, (".html", ".htm"), ["answers</title>"], [*inputs, *([out] if out else [])])
    doubt = Doubt(coverage, least, false_alarms, by_class)
    check_dtype(dtype)
    read = read_classifier(classifier)
    check_sources(pictures, read.about.question, _reads_pictures(read))
    choice = Choice(model, adapter, revision, dtype, device, device_map)
    header = asdict(doubt) | _header(classifier, choice) | {"abstain": abstain, "batch_tokens": batch_tokens}
    journal = None if out is None else Journal(out, header)
    if journal:
        journal.check()
    encoder = _encoder(read, choice, batch_tokens, workers, yes)
    deployed = Deployed(read, encoder, doubt, abstain)
    for line in limits_of(read, doubt):
        terminal.say(f"limits: {line}", file=sys.stderr)
    with journal.held() if journal else nullcontext():
        outcome = _answer(deployed, pictures, journal)
    if html is not None:
        outcome.show(html, deployed, classifier.stem)
    outcome.tell()
    for written in filter(None, (out, html)):
        print(written, file=sys.stderr)
    if outcome.failed:
        raise typer.Exit(terminal.DONE_WITH_FAILURES)


def _reads_pictures(read: Classifier) -> bool:
    """Tell whether the model that a classifier was fitted on reads pictures; of before, all did."""
    known = read.about.model.get("identity")
    return not isinstance(known, dict) or known.get("image_processor", {}) is not None


def _header(classifier: Path, choice: Choice) -> dict[str, Any]:
    """Return what the rows of one file have in common: the classifier, the model as it was named, what computes.

    A device is known by its kind: the same command goes on on another GPU of it, and with other layers on each.
    """
    from savs_harvest.models.loading import place_of
    from savs_harvest.run.provenance import device_name

    digest = sha256(classifier.read_bytes()).hexdigest()
    said = {name: value for name, value in asdict(choice).items() if name != "device_map"}
    return said | {"classifier": digest, "device": device_name(place_of(choice.device))}


def _encoder(read: Classifier, choice: Choice, batch_tokens: int | None, workers: int | None, yes: bool) -> Encoder:
    """Return the model that was fitted, ready to run; what is worth knowing of it is told."""
    from savs_harvest.cli.deployed import expected_of
    from savs_harvest.models.loading import quiet_libraries
    from savs_harvest.run.expected import encoder_of, load_expected, told
    from savs_harvest.run.settings import default_workers

    quiet_libraries()
    expected = expected_of(read)
    loaded = load_expected(expected, choice, _confirming(yes))
    settings = expected.settings(batch_tokens, default_workers(loaded.device) if workers is None else workers)
    for line in (*loaded.remarks, *told(expected, loaded, settings)):
        terminal.say(f"model: {line}", file=sys.stderr)
    return encoder_of(expected, loaded, settings)


def _confirming(yes: bool) -> Callable[[str], bool]:
    """Return what is asked before a model is downloaded: a person at a terminal, or nobody."""

    def confirmed(name: str) -> bool:
        if yes:
            return True
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return False
        return typer.confirm(f"the classifier names the model {terminal.printable(name)}: download it?", err=True)

    return confirmed


@dataclass
class Outcome:
    """What came of all pictures, counted row by row."""

    drift: Drift
    gallery: Gallery
    rows: int = 0
    pictured: int = 0
    doubtful: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    reasons: list[str] = field(default_factory=list)

    @property
    def failed(self) -> int:
        return self.statuses.total()

    def add(self, asked: Asked, row: Row) -> None:
        self.rows += 1
        self.pictured += bool(asked.question.pictures)
        self.gallery.add(asked, row)
        self.doubtful += bool(row["doubtful"])
        if row["status"] == "ok":
            self.drift.add(row["likeness"])
        else:
            self.statuses[row["status"]] += 1
            self.reasons += [f"{row['file']}: {row['reason']}"] if len(self.reasons) < MOST_REASONS else []

    def show(self, page: Path, deployed: Deployed, title: str) -> None:
        """Write the page to look at."""
        notes = [words] if (words := self.drift.words()) else []
        about = {"title": title, "question": deployed.classifier.about.question or "", "notes": notes}
        self.gallery.write(page, about | {"false_alarms": deployed.doubt.false_alarms})

    def tell(self) -> None:
        """Print what a user must know of answers that are done."""
        for reason in self.reasons:
            terminal.say(f"failed: {reason}", file=sys.stderr)
        if words := self.drift.words():
            print(f"drift: {words}", file=sys.stderr)
        failed = "".join(f", {count:,} {status}" for status, count in sorted(self.statuses.items()))
        kind = "picture" if self.pictured == self.rows else "sample" if self.pictured else "text"
        print(f"{terminal.counted(self.rows, kind)}, {self.doubtful:,} doubtful{failed}", file=sys.stderr)


def _answer(deployed: Deployed, sources: list[str], journal: Journal | None) -> Outcome:
    """Answer what is asked and not yet answered; rows go into the journal, or to the terminal."""
    from savs_harvest.cli.answers import columns_of
    from savs_harvest.cli.asked import asked_of, count
    from savs_harvest.cli.deployed import BLOCK
    from savs_harvest.cli.drift import Drift
    from savs_harvest.cli.page import Gallery
    from savs_harvest.cli.progress import AnswerProgress

    about = deployed.classifier.about
    outcome, columns = Outcome(Drift(deployed.classifier.clusters), Gallery()), columns_of(about.question is None)
    kept = journal.begin(BLOCK) if journal else 0
    asked = asked_of(sources, about.question)
    if journal:
        asked = _go_on(asked, journal, outcome)
    silent = journal is None and sys.stdout.isatty()
    with AnswerProgress("answers", count(sources), kept, silent) as progress:
        for answered in deployed.rows(asked):
            _keep([row for _, row in answered], journal, columns, not outcome.rows)
            for one, row in answered:
                outcome.add(one, row)
            progress.advance(len(answered))
    if journal:
        journal.finish(columns)
    return outcome


def _keep(rows: list[Row], journal: Journal | None, columns: list[str], first: bool) -> None:
    from savs_harvest.cli.answers import table_lines

    if journal:
        journal.add(rows)
    else:
        print("\n".join(table_lines(rows, columns, first)), flush=True)


def _changed(journal: Journal, row: Row, how: str) -> ValueError:
    return ValueError(
        f"{journal.path} holds the answer for {row['file']}, and {how}: the pictures have changed; remove that file to "
        "begin again"
    )


def _go_on(asked: Iterator[Asked], journal: Journal, outcome: Outcome) -> Iterator[Asked]:
    """Return what is left to be asked. Raises ValueError where the pictures are no longer those that were answered."""
    nothing: Any = object()
    for row in journal.rows():
        one = next(asked, nothing)
        if one is nothing or one.name != row["file"]:
            found = "nothing" if one is nothing else one.name
            raise _changed(journal, row, f"now comes {found}")
        if one.stamp() != row.get("stamp", one.stamp()):
            raise _changed(journal, row, "it was written anew since")
        outcome.add(one, row)
    return asked
