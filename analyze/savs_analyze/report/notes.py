"""Footnotes: what a reader of a table must know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import pandas as pd

from savs_analyze.across.transfer import ALL
from savs_analyze.findings.choice import Choice
from savs_analyze.findings.comparisons import LEVEL, ONE_DRAW, indistinct
from savs_analyze.measure.metrics import METRICS
from savs_analyze.measure.probabilities import LEAST
from savs_analyze.measure.ranking import LEAST_NEGATIVES
from savs_analyze.measure.scored import POSITIVE
from savs_analyze.methods.recipes import METHODS as METHODS_BY_NAME
from savs_analyze.methods.recipes import SAVS, ZERO_SHOT, displayed
from savs_analyze.methods.settings import make_setting
from savs_analyze.papers.published import NOTES, beside_that
from savs_analyze.runs.results import CellResult
from savs_analyze.runs.sources import Sources
from savs_stores.terminal import counted

DOUBLE_PRECISION = (
    "means and similarities are in double precision; theirs are of half (--arithmetic float16, bfloat16)."
)
# What the papers' protocol does not follow, as it cannot be had or says nothing of the data: of all that learns, of
# heads that are kept as the papers do (twice), of one method.
DEVIATIONS = (
    "supports are random draws from the pool; theirs is one fixed file (savs-harvest --support).",
    DOUBLE_PRECISION,
    "of equal heads the later ones stay; theirs depend on the processor.",
    "a sparse-group lasso is multinomial; theirs knows two classes.",
)
# What is fitted step by step, and may stop before it is done.
PROBES = ("linear-probe", "last-layer-probe", "mlp-probe")
# How pairs are judged.
TESTED = (
    "p is of another draw from the same pool and of other samples like these; holm is p corrected for all pairs.",
    f"Settings differ where holm is below {100 * LEVEL:.0f} %; then, and only then, the interval, which has the level "
    "of its pair's test, is without 0.",
    "Too few draws: they would differ if it were known how much draws vary.",
)
# Why cells of the first version of the format have no scores.
OLDER = (
    "they are of an older version, which kept none; a finished cell is not computed again, so sweep into a new folder"
)
# Why a store keeps no paths and questions.
NO_TEXTS = "the store keeps none, as one of an earlier version; a harvest into a new store does"
# Answers on a terminal: who wants more reads a file.
MOST_ANSWERS = 200
# Two numbers, of the first columns first.
SUPPORT_NOT_TESTED = "; where a draw does not test its own support, the second number is that of the methods that learn"
# How the source of a benchmark begins whose vectors no model gave; the second is that of earlier versions.
MADE_UP = ("made up", "made by write_planted")
# A name may be of any length.
MOST_NAME = 100
LEFT_OUT = {
    "leaked": "because the support shows their image or belongs to their group",
    "failed": "because they have no vectors",
    "incomplete": "because their group is not tested whole",
}
INDISTINCT = (
    "°: not distinguishable from the best of its line{same}, also where draws are too few to tell "
    f"(paired test over other samples and draws, Holm-corrected, {100 * LEVEL:.0f} %)."
)


def footnotes(
    cells: Iterable[CellResult],
    choices: Sequence[Choice] = (),
    compared: pd.DataFrame | None = None,
    noted: Sequence[str] = (),
) -> list[str]:
    """Return what a reader of the table must know: choices, exclusions, ties at the cut, unfinished stores.

    `noted` is what the sweep itself wrote down.
    """
    cells = list(cells)
    rows = pd.DataFrame([row for cell in cells for row in cell.rows])
    learnt, still = rows[rows["shots"] > 0], rows[rows["shots"] == 0]
    shots, draws = sorted(set(learnt["shots"])), learnt["draw"].nunique()
    over = "other samples and draws" if draws > 1 else "other samples, on this very draw"
    notes = [f"Percent; in brackets 95 % intervals over {over}. {counted_words(cells)}"]
    if draws:
        others = " and ".join(map(displayed, sorted(set(still["method"]), reverse=True))) or ZERO_SHOT
        who = "SAVs" if set(learnt["method"]) == {SAVS} else f"All but {others}"
        times = f"mean of {draws} random draws of them." if draws > 1 else "one random draw of them."
        notes.append(f"{who} learn from {'/'.join(map(str, shots))} samples a class; {times}")
    notes += _validation_notes(cells, choices)
    if compared is not None and indistinct(compared):
        same = " with as many shots" if len(shots) > 1 else ""
        notes.append(INDISTINCT.format(same=same))
    elif draws == 1:
        notes.append("One draw: which methods differ is not judged, as another draw may say otherwise (--draws 5).")
    for reason, words in LEFT_OUT.items():
        for name, most in rows.groupby("benchmark")[reason].max().items():
            if most:
                notes.append(f"{name}: up to {most} test samples a draw left out, {words}.")
    notes += _tie_notes(learnt) + _lasso_notes(learnt) + _probe_notes(learnt)
    if (rows["same_as"] != "").any():
        notes.append("Same as: predicts the same by algebra; computed once.")
    if seeing := [name for name in sorted(set(learnt["method"])) if _sees_all(name)]:
        notes.append(
            f"Transductive, with all tested samples before it at once, so that its answers hang together: "
            f"{', '.join(seeing)}. Intervals take them for independent."
        )
    notes += _protocol_notes(cells)
    if rows["keep_leaks"].any():
        notes.append("Leaks kept: some test samples show an image or belong to a group of the support.")
    for name in rows.loc[rows["partial"], "benchmark"].unique():
        notes.append(f"{name}: from an unfinished store, finished samples only.")
    return [*notes, *_without_scores(cells), *noted]


def _sees_all(method: str) -> bool:
    return method in METHODS_BY_NAME and make_setting(method).method.transductive


def counted_words(cells: Sequence[CellResult]) -> str:
    """Return what `n` counts in the tables of these results."""
    slots = {cell.facts.benchmark: METRICS[cell.facts.metric].slots for cell in cells}
    grouped = {name: count for name, count in slots.items() if count > 1}
    words = ["tested samples"] if len(grouped) < len(slots) else []
    for count in sorted(set(grouped.values())):
        where = ", ".join(name for name, of in grouped.items() if of == count)
        words.append(
            f"{f'in {where} ' if len(set(slots.values())) > 1 else ''}groups of {count} that are scored together"
        )
    support = SUPPORT_NOT_TESTED if _tests_less_than_zero_shot(cells) else ""
    return f"n counts {', '.join(words)}{support}."


def _tests_less_than_zero_shot(cells: Sequence[CellResult]) -> bool:
    """Tell whether draws test fewer samples than zero-shot beside them."""
    keys = ("benchmark", "model", "task")
    tested: dict[bool, dict[tuple[str, ...], int]] = {True: {}, False: {}}
    for cell in cells:
        key = tuple(getattr(cell.facts, name) for name in keys)
        tested[not cell.facts.shots][key] = int((~cell.arrays["validation"]).sum())
    return any(tested[False].get(key, count) < count for key, count in tested[True].items())


def made_up(sources: Sources) -> list[str]:
    """Return the benchmarks whose store says that its vectors are made up."""
    found = (store.benchmark for store in sources.stores.values())
    return list(dict.fromkeys(one.name for one in found if one.source.startswith(MADE_UP)))


def _protocol_notes(cells: Sequence[CellResult]) -> list[str]:
    """Return what the papers' protocol does not follow, where it was asked for, of the methods that are there."""
    settings = [setting for cell in cells for setting in cell.facts.settings]
    if not any(setting["papers_order"] for setting in settings) and not any(
        cell.facts.validation["first"] for cell in cells
    ):
        return []
    computed = sorted({setting["arithmetic"] for setting in settings if setting.get("arithmetic")})
    follows = any(setting["papers_order"] for setting in settings)
    learns = any(cell.facts.shots for cell in cells)
    sparse = any(setting["name"].startswith("sparse-group-lasso") for setting in settings)
    concerned = (learns, follows and not computed, follows, sparse)
    notes = [f"Unlike the papers: {words}" for words, here in zip(DEVIATIONS, concerned, strict=True) if here]
    return notes + [f"Class means, and similarities as far as theirs are, are in {name}." for name in computed]


def answer_notes(rows: pd.DataFrame, sources: Sources) -> list[str]:
    """Return how to read answers, how many there are, and what the stores do not say of them."""
    count, shown = len(rows), min(len(rows), MOST_ANSWERS)
    notes = [f"{shown:,} of {counted(count, 'answer')} shown; --format csv and json, or --out FILE, have all."]
    notes = notes if shown < count else [f"{counted(count, 'answer')}."]
    notes.append(
        "right: in how many of the draws that test the sample; said: what most of them say, of as many what has the "
        "larger score; scores: the largest ones, percent, means over these draws; margin: the score of what is said "
        "above the largest of the others, in points, below 0 where most draws say what the mean of their scores does "
        "not."
    )
    if (questions := set(rows["question"])) and len(questions) == 1 and (asked := questions.pop()):
        notes.append(f"Asked was {asked!r}.")
    if count and any(scores is None for scores in rows["scores"]):
        notes.append("Where scores are missing, results keep none, and margins are of the shares of draws.")
    for (benchmark, model), why in sources.lacking.items():
        notes.append(f"{benchmark}, {model}: no ids, paths and questions of samples: {why}.")
    if silent := dict.fromkeys(str(store.path) for store in sources.stores.values() if store.texts is None):
        notes.append(f"No paths and questions of samples: {NO_TEXTS} ({', '.join(silent)}).")
    return notes


def shortened(name: str) -> str:
    """Return the name of a class as it stands in a text."""
    return name if len(name) <= MOST_NAME else f"{name[: MOST_NAME - 1]}…"


def _without_scores(cells: Sequence[CellResult]) -> list[str]:
    """Return how many cells keep no scores of all classes, and why, if any do."""
    without = [cell for cell in cells if "scores" not in cell.arrays]
    reasons = Counter(cell.facts.without_scores or OLDER for cell in without)
    return [
        f"{count} of {len(cells)} cells keep no scores of all classes, so that their methods lack what is made of them "
        f"(log loss, AUROC ...): {why}."
        for why, count in reasons.items()
    ]


def score_notes(cells: Iterable[CellResult]) -> list[str]:
    """Return what a reader of metrics that are made of scores must know."""
    scored = [cell.facts for cell in cells if "scores" in cell.arrays]
    if not scored:
        return []
    notes = [
        f"Log loss is in nats (a probability of 0 counts as {LEAST:g}), the Brier score from 0 to 2, the calibration "
        "error in points, without its own bias and without an interval; of all three less is better. They take "
        "probabilities as methods give them: votes of heads are shares of the votes."
    ]
    two: dict[str, dict[str, None]] = {}
    for facts in scored:
        if facts.classes == 2 and facts.class_names:
            two.setdefault(facts.benchmark, {})[f"{shortened(facts.class_names[POSITIVE])!r}"] = None
    if two:
        named = ", ".join(f"{' or '.join(names)} of {benchmark}" for benchmark, names in two.items())
        least = ", ".join(f"{count} for {100 * rate:.0f} %" for rate, count in LEAST_NEGATIVES.items())
        notes.append(
            f"AUROC, average precision and recall at 1 % and 5 % false positives take the second of two classes as "
            f"positive: {named}. Recall is left out where the negatives are too few ({least})."
        )
    return notes


def _validation_notes(cells: Sequence[CellResult], choices: Sequence[Choice]) -> list[str]:
    """Return what chose hyperparameters, and which."""
    validated = {cell.facts.benchmark: cell.facts for cell in cells if cell.arrays["validation"].any()}
    if not validated:
        return []
    rule = next(iter(validated.values())).validation
    which = "the first in file order" if rule["first"] else "stratified, whole groups and images"
    share, names = f"{100 * rule['share']:.0f} %", ", ".join(validated)
    notes = [f"{share} of the test samples of {names} validate ({which}) and are not reported."]
    if idle := [name for name, facts in validated.items() if not facts.chooses]:
        notes.append(f"Those of {', '.join(idle)} choose nothing, as in the paper: they are set aside.")
    several = len({choice.shots for choice in choices if choice.shots}) > 1
    for choice in choices:
        if choice.settings > 1:
            shots = f", {choice.shots} shots" if several else ""
            equal = f", {choice.tied} as good" if choice.tied > 1 else ""
            over = f"{len(choice.benchmarks)} benchmarks" if len(choice.benchmarks) > 1 else choice.benchmarks[0]
            notes.append(
                f"{choice.model}: {choice.setting}{shots} chosen of {choice.settings}{equal} by validation on {over} "
                f"({100 * choice.value:.1f} %)."
            )
    return notes


def _tie_notes(learnt: pd.DataFrame) -> list[str]:
    """Return how many heads tie at the cut, and what decides, if there are any."""
    if not (learnt["tied_at_cut"] > 0).any():
        return []
    most = learnt["tied_at_cut"].max()
    papers = learnt["setting"].str.contains("paper'?s'? way").any()
    decides = "the later head stays" if papers else "margin, then layer and head decide"
    what = "count" if set(learnt["method"]) == {SAVS} else "score"
    return [f"Up to {most} heads share the {what} at the cut; {decides}."]


def _probe_notes(learnt: pd.DataFrame) -> list[str]:
    """Return how many probes stopped at their last iteration, if any did."""
    if "converged" not in learnt:
        return []
    first = learnt["metric"] == learnt.groupby("benchmark")["metric"].transform("first")
    probes = learnt[(learnt["split"] == "test") & first & learnt["method"].isin(PROBES)]
    stopped = int((probes["converged"] == False).sum())  # noqa: E712  absent where it converged
    return [f"{stopped} of {len(probes)} fits of probes stopped at their last iteration."] if stopped else []


def _lasso_notes(learnt: pd.DataFrame) -> list[str]:
    """Return what is wrong with the fits of the lasso and its relatives, if there are any."""
    if "gap" not in learnt:
        return []
    first = learnt["metric"] == learnt.groupby("benchmark")["metric"].transform("first")
    fits = learnt[(learnt["split"] == "test") & learnt["gap"].notna() & first]
    notes = []
    if missed := int((~fits["converged"].astype(bool)).sum()):
        open_ones = fits[~fits["converged"].astype(bool)]
        excess = open_ones["gap"] / (open_ones["objective"] - open_ones["gap"]).clip(lower=1e-300)
        most = f"{100 * excess.max():.2g} %" if excess.max() < 100 else "many times"
        notes.append(f"{missed} of {len(fits)} fits are not certified: an objective may be {most} above the least.")
    if empty := int(fits["degenerate"].astype(bool).sum()):
        notes.append(f"{empty} of {len(fits)} fits use no feature: all classes tie, the first is the answer.")
    if full := int(fits["saturated"].astype(bool).sum()):
        notes.append(f"{full} of {len(fits)} fits saturate: their training loss is below 1 % of that without features.")
    return notes


def transfer_notes(rows: pd.DataFrame) -> list[str]:
    """Return what a reader of the table must know."""
    first = rows.iloc[0]
    over = "other samples and draws" if first.draws > 1 else "other samples, on this very draw"
    return [
        f"Percent; in brackets 95 % intervals over {over}; against own is paired by sample.",
        f"{first.heads} heads, {first.shots} support samples a class, draws: {first.draws}. Centroids are the "
        f"target's, but for {ALL!r}, which is tried between tasks of the same classes.",
        *_published_transfer(rows),
    ]


def _published_transfer(rows: pd.DataFrame) -> list[str]:
    """Return where published values of transfer are from, and what stands beside them there."""
    if "published" not in rows:
        return []
    notes = []
    for row in rows[rows["published"].notna()].itertuples():
        others = beside_that(row.model, row.target, row.metric)
        beside = ", ".join(f"{words} {100 * value:.1f}" for words, value in others.items())
        notes.append(f"Published: Table 2 of the first paper (SAVs); beside it, on {row.target}: {beside}.")
    return [*notes, NOTES["handed"]]


def papers_notes(compared: pd.DataFrame) -> list[str]:
    """Return what a reader of the comparison must know, then the numbered notes that its rows need."""
    if compared.empty:
        return []
    judged = int((compared["verdict"] != ONE_DRAW).sum())
    notes = [
        "Percent; in brackets 95 % intervals over other samples and draws (of one draw, on it); ± is 95 % of the "
        "sampling noise alone, from the number of tested samples or groups.",
        "z: the difference, less what rounding may hide, over the standard errors of both. The published numbers are "
        "one draw, so what single draws of ours differ by is added. Neither paper gives an uncertainty: std in the "
        "second's result files is that of single outcomes.",
        f"By noise alone, one of 20 judged rows is not in agreement: about {round(judged / 20, 1):g} of {judged}; "
        f"{len(compared) - judged} rows are of one draw and not judged.",
    ]
    return notes + [f"{place}. {note}" for place, note in enumerate(used_notes(compared), start=1)]


def used_notes(compared: pd.DataFrame) -> list[str]:
    """Return the numbered notes that the rows of a comparison with the papers need."""
    return [note for note in NOTES.values() if compared["notes"].str.contains(note, regex=False).any()]
