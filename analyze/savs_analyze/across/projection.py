"""What a head sees: its vectors of the test samples in the plane, by t-SNE, beside those of a median head."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from savs_analyze.across.transfer import Task, choose
from savs_analyze.methods.learners import learn
from savs_analyze.methods.recipes import Savs
from savs_analyze.report.figures import REPRODUCIBLE, save_figure
from savs_analyze.votes.similarity import cosine
from savs_stores import Store

MOST_SAMPLES = 2000
PERPLEXITY = 30
# More classes have no legend: nobody tells so many colours apart.
MOST_NAMED = 20


@dataclass(frozen=True)
class Plane:
    """One head's vectors in the plane: `points` of the shown samples, and the `centroids` of the support.

    `rank` is the head's place among `heads`, from 1; `accuracy` is that of its nearest centroid over all test samples.
    """

    head: tuple[int, int]
    rank: int
    heads: int
    accuracy: float
    points: Float[np.ndarray, "shown 2"]
    centroids: Float[np.ndarray, "class 2"]

    def __str__(self) -> str:
        layer, head = self.head
        return (
            f"layer {layer}, head {head}: rank {self.rank} of {self.heads}, "
            f"nearest centroid {100 * self.accuracy:.1f} % right"
        )


@dataclass(frozen=True)
class Projection:
    """The planes of a task's heads, the labels of the samples that are shown, and of how many."""

    task: Task
    planes: list[Plane]
    labels: Int[np.ndarray, " shown"]
    tested: int
    shots: int

    @property
    def caption(self) -> str:
        """What the figure shows, in words."""
        shown = f"{len(self.labels):,} test samples"
        if len(self.labels) < self.tested:
            shown = f"{len(self.labels):,} of {self.tested:,} test samples, of every class its share"
        return (
            f"t-SNE of directions, {shown}; crosses are the class means of {self.shots} support samples each,\n"
            "by which a head classifies. Distances between groups, and their sizes, mean little."
        )


def task_of(store: Store, model: str = "", task: str = "") -> Task:
    """Return the task, by default the only one, of a model, by default the only one.

    Raises ValueError suggesting the nearest name, and where one has to be chosen.
    """
    return Task(store[choose("model", store.models, model)], choose("task", list(store.benchmark.tasks), task))


def parse_head(text: str) -> tuple[int, int]:
    """Return the (layer, head in layer) of `20,3`. Raises ValueError showing the form."""
    try:
        layer, head = map(int, text.split(","))
    except ValueError:
        raise ValueError(f"{text!r} is no head: write its layer and its place there, 20,3") from None
    return layer, head


def stratified(
    labels: Int[np.ndarray, " sample"], most: int, generator: np.random.Generator
) -> Int[np.ndarray, " shown"]:
    """Return at most so many sorted places, of every class its share of them; all where there are not more.

    Places are taken evenly over the samples sorted by class, in random order within a class.
    """
    if len(labels) <= most:
        return np.arange(len(labels))
    order = np.lexsort((generator.random(len(labels)), labels))
    return np.sort(order[np.arange(most) * len(labels) // most])


def project(task: Task, head: tuple[int, int] | None = None, shots: int = 20) -> Projection:
    """Return the planes of a head, by default the best one on the support of draw 0, and of the median one.

    Heads are ranked as SAVs rank them: by count, then margin. Raises ValueError for a head that is not there.
    """
    draw = task.draw(shots, 0)
    support = task.support(draw)
    heads = task.vectors.heads
    ranking = learn([Savs(len(heads))], support)[0].heads
    chosen = int(ranking[0]) if head is None else heads.index([head])[0]
    labels = task.vectors.store.samples.label[draw.test]
    shown = stratified(labels, MOST_SAMPLES, np.random.default_rng(0))
    planes = []
    for one in (chosen, int(ranking[len(ranking) // 2])):
        vectors, centroids = task.vectors.read(draw.test, [one]), support.centroids[:, [one]]
        right = cosine(vectors, centroids)[:, :, 0].argmax(axis=1) == labels
        place = int(heads.layer[one]), int(heads.head_in_layer[one])
        points = embed(np.concatenate([vectors[shown, 0].astype(np.float64), centroids[:, 0]]), place)
        rank = int(np.flatnonzero(ranking == one)[0]) + 1
        ends = len(shown)
        planes.append(Plane(place, rank, len(heads), float(right.mean()), points[:ends], points[ends:]))
    return Projection(task, planes, labels[shown], len(labels), shots)


def embed(vectors: Float[np.ndarray, "point dim"], head: tuple[int, int]) -> Float[np.ndarray, "point 2"]:
    """Return vectors in the plane by t-SNE of their directions, as the cosine compares these: fixed seed, PCA start.

    Raises ValueError naming a head whose vectors lie on one line or point: there is no plane to start from.
    """
    from sklearn.manifold import TSNE

    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    if len(unit) < 4 or np.linalg.matrix_rank(unit - unit.mean(axis=0), tol=1e-6) < 2:
        raise ValueError(f"the vectors of head {head} have no two directions to spread in: choose another --head")
    perplexity = min(PERPLEXITY, (len(unit) - 1) / 3)
    return TSNE(2, perplexity=perplexity, init="pca", random_state=0).fit_transform(unit).astype(np.float64)


def draw_projection(found: Projection, path: Path) -> Path:
    """Draw the planes side by side, coloured by class, into `path` (its ending says the format) and return it."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    classes = found.task.classes
    with matplotlib.rc_context(REPRODUCIBLE | {"font.size": 8}):
        colours = _colours(len(classes))
        figure, axes = pyplot.subplots(1, 2, figsize=(9.6, 4.8), layout="constrained")
        for axis, plane in zip(axes, found.planes, strict=True):
            for label, name in enumerate(classes):
                points = plane.points[found.labels == label]
                axis.scatter(*points.T, s=7, color=colours[label], linewidths=0, alpha=0.8, label=name)
            style: dict[str, Any] = {"marker": "X", "s": 80, "edgecolors": "black", "linewidths": 1.2, "zorder": 3}
            axis.scatter(*plane.centroids.T, c=colours, **style)
            axis.set_title(str(plane), fontsize=8)
            axis.set_xticks([])
            axis.set_yticks([])
        if len(classes) <= MOST_NAMED:
            names = axes[0].get_legend_handles_labels()
            figure.legend(*names, loc="outside right center", frameon=False, markerscale=2)
        figure.suptitle(f"{found.task.vectors.name} on {found.task.name}", fontsize=9)
        figure.supxlabel(found.caption, fontsize=7)
        save_figure(figure, path)
    return path


def _colours(classes: int) -> np.ndarray:
    """Return one colour a class: apart from each other for few classes, a wheel of them for many."""
    from matplotlib import colormaps

    if classes <= MOST_NAMED:
        return colormaps["tab10" if classes <= 10 else "tab20"](np.arange(classes))
    return colormaps["hsv"](np.arange(classes) / classes)
