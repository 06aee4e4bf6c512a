"""What a fitted classifier promises, measured: the numbers of classifiers.md.

python docs/classifiers.py [DRAWS]   on the demo's stores (make demo) and planted ones of 37 classes
"""

import sys
from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.stats import t

from savs_analyze.classifier.classifier import About, Doubt
from savs_analyze.draws.task import Task
from savs_analyze.fitting.fit import fit
from savs_analyze.fitting.store import assemble
from savs_analyze.measure.probabilities import calibration_error
from savs_analyze.methods.context import Context
from savs_analyze.methods.crossfit import best
from savs_analyze.methods.learners import learn
from savs_analyze.methods.recipes import AUTO
from savs_analyze.methods.settings import make_setting
from savs_analyze.votes.batch import Batch
from savs_stores import open_store

TASKS = (("digits", "all"), ("digits-claims", "all"), ("digits-compare", "larger"), ("digits-compare", "odd-one-out"))
SETTINGS = [make_setting(name, **parameters) for name, parameters in AUTO]
COLUMNS = [setting.column() for setting in SETTINGS]
COVERAGE = 0.9
Case = tuple[Context, np.ndarray, np.ndarray]


def of_task(store: str, name: str, draws: int) -> Iterator[Case]:
    """Yield supports of 20 a class, with vectors and labels of the test samples."""
    task = Task(open_store(f"stores/{store}.zarr")["tiny"], name)
    for seed in range(draws):
        draw = task.draw(20, seed)
        labels = task.vectors.store.samples.label[draw.test].astype(int)
        yield task.context(draw), task.vectors.read(draw.test), labels


def mixed(draws: int) -> Iterator[Case]:
    """Yield the same of digits where supports are drawn from all samples: test writers are others in the benchmark."""
    vectors = open_store("stores/digits.zarr")["tiny"]
    samples = np.flatnonzero(vectors.usable)
    labels = vectors.store.samples.label[samples].astype(np.int64)
    for seed in range(draws):
        generator = np.random.default_rng(seed)
        support = np.concatenate([generator.permutation(np.flatnonzero(labels == name))[:20] for name in range(10)])
        test = np.setdiff1d(np.arange(len(samples)), support)
        context = Context(vectors.read(samples[support]), labels[support], 10, vectors.heads.layer, seed)
        yield context, vectors.read(samples[test]), labels[test]


def planted(draws: int, classes: int = 37, layers: int = 8, heads: int = 4, dim: int = 8) -> Iterator[Case]:
    """Yield random class means, and vectors about them that are noisier in earlier heads."""
    for seed in range(draws):
        generator = np.random.default_rng(seed)
        means = generator.normal(size=(classes, layers * heads, dim))
        noise = np.linspace(6, 2.2, layers * heads)[:, None]
        labels, test = np.tile(np.arange(classes), 20), generator.integers(0, classes, 1000)
        support, asked = (
            (means[of] + noise * generator.normal(size=(len(of), *means.shape[1:]))).astype(np.float16)
            for of in (labels, test)
        )
        yield Context(support, labels, classes, np.repeat(np.arange(layers), heads), seed), asked, test


def grouped(draws: int, groups: int, size: int, told: bool) -> Iterator[Case]:
    """Yield vectors of groups whose members are near-duplicates, and those of new groups; folds may be told of them."""
    for seed in range(draws):
        generator = np.random.default_rng(seed)
        means = generator.normal(size=(2, 12, 8))
        of_group = np.arange(groups + 50)
        centres = means[of_group % 2] + 2 * generator.normal(size=(len(of_group), 12, 8))
        group = np.concatenate([np.repeat(of_group[:groups], size), np.repeat(of_group[groups:], 4)])
        vectors = (centres[group] + 0.2 * generator.normal(size=(len(group), 12, 8))).astype(np.float16)
        known = group < groups
        cluster = group[known] if told else None
        layer = np.repeat(np.arange(3), 4)
        yield (
            Context(vectors[known], group[known] % 2, 2, layer, seed, cluster=cluster),
            vectors[~known],
            group[~known] % 2,
        )


def uneven(draws: int, scarce: int = 5, common: int = 100) -> Iterator[Case]:
    """Yield three classes that overlap, one of them scarce; all that is asked is of that one."""
    for seed in range(draws):
        generator = np.random.default_rng(seed)
        means = generator.normal(size=(3, 12, 8))
        labels = np.repeat(np.arange(3), (common, common, scarce))
        of_all = np.concatenate([labels, np.full(200, 2)])
        vectors = (means[of_all] + 4 * generator.normal(size=(len(of_all), 12, 8))).astype(np.float16)
        layer = np.repeat(np.arange(3), 4)
        yield Context(vectors[: len(labels)], labels, 3, layer, seed), vectors[len(labels) :], of_all[len(labels) :]


def measure(case: Case) -> dict[str, float]:
    """Return what one fit shows on samples that it has not seen."""
    context, vectors, labels = case
    methods = [setting.method for setting in SETTINGS]
    heads = np.stack([context.layer, np.arange(len(context.layer))], axis=1)
    about = About([str(label) for label in range(context.classes)], "", None, {}, {}, {})
    found = fit(methods, context)
    classifier = assemble(found, about, heads)
    answers = classifier.answer(vectors[:, classifier.heads[:, 1]])
    by_class = classifier.answer(vectors[:, classifier.heads[:, 1]], Doubt(by_class=True)).sets
    rows, batch = np.arange(len(labels)), Batch(np.arange(vectors.shape[1]), vectors)
    right = [(learnt.votes(batch).predicted == labels).mean() for learnt in learn(methods, context)]
    fewer = choices_without(found.partitions[0].cross.said, context.labels)
    return {
        "auto": (answers.predicted == labels).mean(),
        **dict(zip(COLUMNS, right, strict=True)),
        **{f"auto without {column}": right[place] for column, place in zip(COLUMNS, fewer, strict=True)},
        **{f"chosen: {column}": float(found.chosen == place) for place, column in enumerate(COLUMNS)},
        "calibration error": calibration_error(answers.probabilities, labels),
        "coverage": answers.sets[rows, labels].mean(),
        "classes a set": answers.sets.sum(axis=1).mean(),
        "oracle": least_sets(answers.probabilities, labels),
        "unlike": answers.unlike.mean(),
        "coverage by class": by_class[rows, labels].mean(),
    }


def choices_without(said: np.ndarray, labels: np.ndarray) -> list[int]:
    """Return what is chosen where a candidate is left out, for each of them."""
    others = [np.delete(np.arange(len(said)), place) for place in range(len(said))]
    return [int(rest[best(said[rest], labels)]) for rest in others]


def least_sets(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean size of the sets of the one threshold, found by the truth, that hold it in 90 %."""
    rows = np.arange(len(labels))
    of_truth = np.sort(probabilities[rows, labels])[::-1]
    sets = probabilities >= of_truth[int(np.ceil(COVERAGE * len(labels))) - 1]
    sets[rows, probabilities.argmax(axis=1)] = True
    return sets.sum(axis=1).mean()


def loss_of_choice(measured: dict[str, pd.DataFrame]) -> str:
    """Return what the choice loses to the best fixed recipe over the demo's tasks, in points."""
    means = over_tasks(measured)
    best_fixed = means[COLUMNS].mean().idxmax()
    return f"auto loses {interval(means[best_fixed] - means['auto'])} points to {best_fixed}"


def worth(measured: dict[str, pd.DataFrame]) -> list[str]:
    """Return what the choice gains by each candidate, over the demo's tasks and by task, in points."""
    found = {"the demo's tasks": over_tasks(measured), **measured}
    return [
        f"{name}: {column} adds {interval(means['auto'] - means[f'auto without {column}'])} points, "
        f"chosen in {100 * means[f'chosen: {column}'].mean():.0f} %"
        for name, means in found.items()
        for column in COLUMNS
    ]


def over_tasks(measured: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return sum(measured[" ".join(task)] for task in TASKS) / len(TASKS)


def interval(values: pd.Series) -> str:
    """Return the mean over draws in points, and its 95 % interval by Student's t."""
    half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return f"{100 * values.mean():.2f} [{100 * (values.mean() - half):.2f}, {100 * (values.mean() + half):.2f}]"


def main(draws: int = 50) -> None:
    cases = {" ".join(task): of_task(*task, draws) for task in TASKS}
    cases |= {"digits, writers mixed": mixed(draws), "planted, 37 classes": planted(draws)}
    for groups, size in ((4, 50), (20, 10), (40, 5)):
        for told in (False, True):
            name = f"new groups, {groups} of {size}, {'told' if told else 'not told'}"
            cases[name] = grouped(draws, groups, size, told)
    cases |= {f"scarce, {scarce} of 100": uneven(draws, scarce) for scarce in (5, 9, 20)}
    measured = {}
    for name, of_case in cases.items():
        measured[name] = pd.DataFrame([measure(case) for case in of_case])
        print(name, measured[name].mean().round(3).to_dict(), flush=True)
    for count in sorted({min(20, draws), draws}):
        print(f"{count} draws:", loss_of_choice({name: table[:count] for name, table in measured.items()}))
    print(*worth(measured), sep="\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
