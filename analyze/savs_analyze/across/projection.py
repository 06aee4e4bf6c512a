"""What a head sees: its vectors of the test samples in the plane, by t-SNE, beside those of a median head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from savs_analyze.across.transfer import choose_name
from savs_analyze.draws.task import Task
from savs_analyze.methods.kinds.heads import Savs
from savs_analyze.votes.similarity import cosine
from savs_stores import Store

MOST_SAMPLES = 2000
PERPLEXITY = 30


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
    return Task(
        store[choose_name("model", store.models, model)], choose_name("task", list(store.benchmark.tasks), task)
    )


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
    context = task.context(draw)
    heads = task.vectors.heads
    ranking = Savs(len(heads)).learn(context).heads
    chosen = int(ranking[0]) if head is None else heads.index([head])[0]
    labels = task.vectors.store.samples.label[draw.test]
    shown = stratified(labels, MOST_SAMPLES, np.random.default_rng(0))
    planes = []
    for one in (chosen, int(ranking[len(ranking) // 2])):
        vectors, centroids = task.vectors.read(draw.test, [one]), context.centroids[:, [one]]
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
