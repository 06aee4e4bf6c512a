"""The worst answers of a report: wrong ones, the surest first, with pictures and the labelled samples next to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from savs_analyze.findings.answers import Answers, answers_of, described_samples
from savs_analyze.findings.findings import Findings
from savs_analyze.methods.recipes import SAVS
from savs_analyze.report.blocks import Section, WorstAnswer, WorstAnswers
from savs_analyze.report.layout import columns_of
from savs_analyze.report.notes import NO_TEXTS, shortened
from savs_analyze.report.thumbnails import Thumbnails
from savs_analyze.runs.results import CellResult
from savs_analyze.runs.sources import Sources
from savs_stores import ModelVectors, StoreError

# Of each benchmark and model, and of the page; labelled samples beside each.
MOST_OF_FAMILY, MOST = 6, 48
NEAREST = 3
# Pixels of the longer side.
LARGE, SMALL = 160, 56
# Heads that say what is near; supports of more samples are looked at in part.
MOST_HEADS, MOST_SUPPORT = 20, 4000
SHOWN_SCORES = 3


def worst_answers(found: Findings, sources: Sources, thumbnails: Thumbnails) -> Section | None:
    """Return a section with the worst answers of the best method on every benchmark, None where all are right."""
    blocks: list[WorstAnswers] = []
    left = MOST
    for best in found.best(found.chosen.assign(column=columns_of(found.chosen))).itertuples():
        of_best = {"benchmark": best.benchmark, "model": best.model, "method": best.method, "shots": best.shots}
        every = [one for one in answers_of(found.of(**of_best), found.choices) if one.setting == best.setting]
        worst = _worst(every)[: min(MOST_OF_FAMILY, left)]
        left -= len(worst)
        if worst:
            title = f"{found.title(best.benchmark, best.model)}: {best.column}"
            blocks.append(_block(found, title, worst, sources, thumbnails))
    if not blocks:
        return None
    note = (
        "Of the best method of every benchmark the wrong answers whose score is farthest above that of the truth: "
        "means over the draws that test the sample. Near are the labelled samples of one draw that is wrong, by the "
        "mean cosine similarity of its chosen heads."
    )
    return Section("Worst answers", note, blocks, list(dict.fromkeys([*_silences(sources), *thumbnails.notes()])))


def _worst(every: Sequence[Answers]) -> list[tuple[Answers, int]]:
    """Return answers with the place of their sample, those first whose wrong answer is the farthest ahead."""
    ranked = []
    for answers in every:
        lead = -answers.lead(answers.label)
        ranked += [(lead[place], answers, int(place)) for place in np.flatnonzero(answers.answer != answers.label)]
    return [(answers, place) for _, answers, place in sorted(ranked, key=lambda one: -one[0])]


def _block(
    found: Findings, title: str, worst: Sequence[tuple[Answers, int]], sources: Sources, thumbnails: Thumbnails
) -> WorstAnswers:
    cards = [_card(found, answers, place, sources, thumbnails) for answers, place in worst]
    questions = {card.question for card in cards}
    return WorstAnswers(title, cards, questions.pop() if len(questions) == 1 else "")


def _card(found: Findings, answers: Answers, place: int, sources: Sources, thumbnails: Thumbnails) -> WorstAnswer:
    facts, row = answers.facts, int(answers.sample[place])
    store = sources.of(facts)
    described = {name: texts[0] for name, texts in described_samples(store, answers.sample[[place]]).items()}
    label, answer = int(answers.label[place]), int(answers.answer[place])
    order = np.argsort(-answers.shares[place], kind="stable")[:SHOWN_SCORES].tolist()
    shown = [*order, *([] if label in order else [label])]
    tested, right = int(answers.tested[place]), int(answers.right[place])
    return WorstAnswer(
        pictures=thumbnails.of(store, row, LARGE),
        name=described["sample_id"] or f"row {row} of the store",
        path=described["image_path"] if described["image_path"] != described["sample_id"] else "",
        question=described["question"],
        label=shortened(answers.names[label]),
        answer=shortened(answers.names[answer]),
        task=facts.task if len(found.tasks(facts.benchmark, facts.model)) > 1 else "",
        scores=[(shortened(answers.names[one]), float(answers.shares[place, one]), one == label) for one in shown],
        drawn=f"wrong in {tested - right} of {tested} draws" if tested > 1 else "",
        near=_near(found, answers, place, sources, thumbnails),
    )


def _near(
    found: Findings, answers: Answers, place: int, sources: Sources, thumbnails: Thumbnails
) -> list[dict[str, Any]]:
    """Return the labelled samples that the chosen heads of a wrong draw take for the nearest."""
    store, facts = sources.of(answers.facts), answers.facts
    if store is None or (cell := _wrong_cell(found, answers, place)) is None:
        return []
    support = np.array(cell.facts.support[:MOST_SUPPORT], dtype=np.int64)
    heads = [(int(layer), int(head)) for layer, head in _heads(found, cell, answers.setting)][:MOST_HEADS]
    if not len(support) or not heads:
        return []
    try:
        near = _cosines(store[facts.model], int(answers.sample[place]), support, heads)
    except StoreError:
        return []
    ranked = np.argsort(-near, kind="stable")[:NEAREST]
    names, rows = answers.names, support[ranked]
    return [
        {
            "pictures": thumbnails.of(store, int(row), SMALL),
            "name": str(store.samples.sample_id[row]),
            "label": shortened(names[store.samples.label[row]]),
            "similarity": f"{near[one]:.2f}",
        }
        for row, one in zip(rows, ranked, strict=True)
    ]


def _wrong_cell(found: Findings, answers: Answers, place: int) -> CellResult | None:
    """Return the first draw that tests a sample and is wrong."""
    facts, said = answers.facts, answers.said[place]
    wrong = [draw for draw, of in zip(answers.draws, said, strict=True) if of not in (-1, answers.label[place])]
    keys = {name: getattr(facts, name) for name in ("benchmark", "model", "task", "method", "shots")}
    return next(iter(found.of(**keys, draw=wrong[0])), None) if wrong else None


def _heads(found: Findings, cell: CellResult, setting: str) -> Sequence[Sequence[int]]:
    """Return the heads that a setting chose in a draw; of a method that chooses none, those of SAVs in that draw."""
    facts = cell.facts
    kept = facts.kept[facts.columns.index(setting)] if facts.kept else ()
    if facts.method == SAVS or 0 < len(kept) < len(facts.head_table[0] if facts.head_table else ()):
        return kept
    keys = {name: getattr(facts, name) for name in ("benchmark", "model", "task", "shots", "draw")}
    others = [other.facts.kept for other in found.of(**keys, method=SAVS) if other.facts.kept]
    return max(others[0], key=len) if others else kept


def _cosines(
    vectors: ModelVectors, row: int, support: np.ndarray, heads: Sequence[tuple[int, int]]
) -> Float[np.ndarray, " labelled"]:
    """Return the mean over heads of the cosine similarity of one sample to each labelled one."""
    read = vectors.read(samples=[row, *support.tolist()], heads=list(heads)).astype(np.float64)
    read /= np.maximum(np.linalg.norm(read, axis=2, keepdims=True), np.finfo(np.float64).tiny)
    return np.einsum("shd,hd->s", read[1:], read[0]) / len(heads)


def _silences(sources: Sources) -> list[str]:
    """Return what cannot be shown of which results, and why."""
    lines = [
        f"{benchmark}, {model}: no ids, questions, pictures and nearest samples: {why}."
        for (benchmark, model), why in sources.lacking.items()
    ]
    silent = dict.fromkeys(str(store.path) for store in sources.stores.values() if store.texts is None)
    return lines + ([f"No questions and paths of pictures: {NO_TEXTS} ({', '.join(silent)})."] if silent else [])
