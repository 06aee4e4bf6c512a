"""The formulas of every method, one number at a time, and the papers' procedure step by step."""

import math
from collections import Counter

import numpy as np

from savs_analyze.methods.kinds.layers import Layers

CLOSE = 1e-10  # values nearer than this, for their size, are equal


def dot(x, u):
    return sum(a * b for a, b in zip(x, u, strict=True))


def norm(x):
    return math.sqrt(dot(x, x))


def cosine(x, u):
    norms = norm(x) * norm(u)
    return dot(x, u) / norms if norms else 0.0


def squared_distance(x, u):
    return sum((a - b) ** 2 for a, b in zip(x, u, strict=True))


def l1_distance(x, u):
    return sum(abs(a - b) for a, b in zip(x, u, strict=True))


def similarity(kind, x, u):
    if kind.saturating:
        return saturating(kind, np.float32(x), np.float32(u))
    return {
        "cosine": lambda: cosine(x, u),
        "l2": lambda: -math.sqrt(squared_distance(x, u)),
        "l1": lambda: -l1_distance(x, u),
        "dot": lambda: dot(x, u),
        "rbf": lambda: -kind.gamma * squared_distance(x, u),
        "laplacian": lambda: -kind.gamma * l1_distance(x, u),
        "sigmoid": lambda: 2 * (kind.gamma * dot(x, u) + kind.beta),
    }[kind.name]()


def saturating(kind, x, u):
    gamma, beta = np.float32(kind.gamma), np.float32(kind.beta)
    if kind.name == "rbf":
        return float(np.exp(-gamma * squared_distance(x, u)))
    if kind.name == "laplacian":
        return float(np.exp(-gamma * l1_distance(x, u)))
    return float(np.tanh(gamma * dot(x, u) + beta))


def transformed(kind, scores):
    if kind.name == "none" or len(scores) == 1:
        return list(scores)
    found = []
    for place, own in enumerate(scores):
        others = [score for other, score in enumerate(scores) if other != place]
        mean = sum(others) / len(others)
        if kind.name == "penalty":
            found.append(own - mean)
        else:
            found.append(kind.a * (1 + artanh(own)) - kind.b * artanh(mean))
    return found


def artanh(cosine):
    return math.atanh(min(max(cosine, -1 + 1e-15), 1 - 1e-15))


def first_best(scores):
    """Return the place of the largest score, of equal ones the first."""
    size = max((abs(score) for score in scores if math.isfinite(score)), default=0)
    return next(place for place, score in enumerate(scores) if score >= max(scores) - CLOSE * size)


def centroid(vectors):
    return [sum(column) / len(vectors) for column in zip(*vectors, strict=True)]


def centroids(vectors, labels, classes):
    """Return the mean vector of every class, of one head's vectors."""
    return [centroid([v for v, y in zip(vectors, labels, strict=True) if y == label]) for label in range(classes)]


def support_similarities(kind, leave_one_out, vectors, labels, classes):
    """Return `[sample][class]` of one head; left out, a sample is compared with means that were made without it."""
    if not leave_one_out:
        means = centroids(vectors, labels, classes)
        return [[similarity(kind, x, mean) for mean in means] for x in vectors]
    found = []
    for place, x in enumerate(vectors):
        means = centroids(vectors[:place] + vectors[place + 1 :], labels[:place] + labels[place + 1 :], classes)
        found.append([similarity(kind, x, mean) for mean in means])
    return found


def margin(scores, label):
    others = [score for other, score in enumerate(scores) if other != label]
    return scores[label] - max(others) if others else 0.0


def mean(values):
    return sum(values) / len(values)


def recall(predicted, labels, label):
    return mean([p == label for p, y in zip(predicted, labels, strict=True) if y == label])


def one_vs_rest(predicted, labels, label):
    rest = [p != label for p, y in zip(predicted, labels, strict=True) if y != label]
    return (recall(predicted, labels, label) + (mean(rest) if rest else 1.0)) / 2


def criterion(name, scores, labels, classes):
    """Return how good one head is, from its `[sample][class]`."""
    predicted = [first_best(of_sample) for of_sample in scores]
    if name == "count":
        return float(sum(p == y for p, y in zip(predicted, labels, strict=True)))
    if name == "balanced":
        return mean([recall(predicted, labels, label) for label in range(classes)])
    if name == "margin":
        return mean([margin(of_sample, y) for of_sample, y in zip(scores, labels, strict=True)])
    return mean([of_sample[y] for of_sample, y in zip(scores, labels, strict=True)])


def class_criterion(name, scores, labels, label):
    predicted = [first_best(of_sample) for of_sample in scores]
    return {"recall": recall, "one-vs-rest": one_vs_rest}[name](predicted, labels, label)


def head_scores(scoring, vectors, labels, classes):
    """Return the values and the margins of all heads, each a list, or one list a class of them.

    `vectors` are `[sample][head]`. Margins, which break ties, are of the similarity that a kernel is a function of.
    """
    values, margins = [], []
    for head in range(len(vectors[0])):
        own = [sample[head] for sample in vectors]
        found = support_similarities(scoring.similarity, scoring.leave_one_out, own, labels, classes)
        plain = support_similarities(scoring.similarity.base, scoring.leave_one_out, own, labels, classes)
        scores = [transformed(scoring.transform, of_sample) for of_sample in found]
        of_sample = [margin(similarities, y) for similarities, y in zip(plain, labels, strict=True)]
        if scoring.per_class:
            values.append([class_criterion(scoring.per_class, scores, labels, label) for label in range(classes)])
            margins.append(
                [mean([m for m, y in zip(of_sample, labels, strict=True) if y == label]) for label in range(classes)]
            )
        else:
            values.append(criterion(scoring.criterion, scores, labels, classes))
            margins.append(mean(of_sample))
    if scoring.per_class:
        return [list(column) for column in zip(*values, strict=True)], [list(c) for c in zip(*margins, strict=True)]
    return values, margins


def ranking(values, margins):
    """Return the heads, best first: by value, then margin, then place."""
    return sorted(range(len(values)), key=lambda head: (-round(values[head], 9), -round(margins[head], 9), head))


def paper_ranking(values):
    """Return the heads by a stable sort, read from its end."""
    return sorted(range(len(values)), key=lambda head: round(values[head], 9))[::-1]


class Savs:
    """A recipe that has seen its support; `heads` are those that vote, or those of every class."""

    def __init__(self, method, vectors, labels, classes, layer):
        self.method, self.classes, self.layer = method, classes, layer
        self.whole_layers = isinstance(method, Layers)
        seen = self._voters(vectors)
        self.centroids = [centroids([sample[head] for sample in seen], labels, classes) for head in range(len(seen[0]))]
        values, margins = head_scores(method.scoring, seen, labels, classes)
        if method.scoring.per_class:
            self.heads = [self._order(v, m)[: method.k] for v, m in zip(values, margins, strict=True)]
        else:
            kept = self._order(values, margins)[: method.k]
            self.heads = sorted(kept) if self._papers and not method.protocol.best_first else kept
        self.values = values

    def _voters(self, vectors):
        if not self.whole_layers:
            return vectors
        numbers = sorted(set(self.layer))
        return [
            [[x for v, of in zip(sample, self.layer, strict=True) if of == number for x in v] for number in numbers]
            for sample in vectors
        ]

    def _order(self, values, margins):
        return paper_ranking(values) if self._papers else ranking(values, margins)

    @property
    def _papers(self):
        return not self.whole_layers and self.method.protocol is not None

    def votes(self, sample, allowed=None):
        """Return the class that one sample, `[head]`, is given, and the score of every class."""
        method, [sample] = self.method, self._voters([sample])
        vote = "majority" if self.whole_layers else method.vote
        among = range(self.classes) if allowed is None else allowed

        def similarities(head):
            found = [similarity(method.voting, sample[head], mean) for mean in self.centroids[head]]
            return [s if label in among else -math.inf for label, s in enumerate(found)]

        if vote == "class-favoured":
            counts = [
                float(sum(first_best(similarities(head)) == label for head in of_class))
                for label, of_class in enumerate(self.heads)
            ]
            scores = [count if label in among else -math.inf for label, count in enumerate(counts)]
            if method.protocol:
                return first_best(scores), scores
            near = [
                mean([similarities(head)[label] for head in of_class]) if scores[label] == max(scores) else -math.inf
                for label, of_class in enumerate(self.heads)
            ]
            return first_best(near), scores
        if vote.startswith("max-similarity"):
            read = standard_scores if vote.endswith("normalised") else list
            scores = [
                mean([read(similarities(head))[label] for head in of_class])
                for label, of_class in enumerate(self.heads)
            ]
            return first_best(scores), scores
        if vote == "soft":
            of_heads = [softmax(similarities(head), method.temperature) for head in self.heads]
            scores = [mean(column) for column in zip(*of_heads, strict=True)]
            return first_best(scores), scores
        votes = [first_best(similarities(head)) for head in self.heads]
        weights = [self.values[head] if vote == "weighted" else 1.0 for head in self.heads]
        scores = [sum(w for v, w in zip(votes, weights, strict=True) if v == label) for label in range(self.classes)]
        most = max(scores[vote] for vote in votes)
        return next(vote for vote in votes if scores[vote] >= most - CLOSE * abs(most)), scores


def standard_scores(similarities):
    """Return z-scores over the classes that are allowed, 0 where all are alike."""
    known = [s for s in similarities if math.isfinite(s)]
    spread = math.sqrt(mean([(s - mean(known)) ** 2 for s in known]))
    alike = spread <= CLOSE * max(map(abs, known))
    return [(0.0 if alike else round((s - mean(known)) / spread, 10)) if math.isfinite(s) else s for s in similarities]


def softmax(scores, temperature=1.0):
    powers = [math.exp((score - max(scores)) / temperature) for score in scores]
    return [power / sum(powers) for power in powers]


class PapersCode:
    """What both papers' code does with one support, a sample at a time.

    `names` are the samples' classes in the order of the training file: they are numbered as they come. A stable sort
    stands for theirs. `score` compares a head's vector with a mean when heads are ranked; the vote is by `cosine`.
    """

    def __init__(self, support, names, score=cosine, cosine=cosine, mean_of=None):
        self.numbers = list(dict.fromkeys(names))
        self.labels = [self.numbers.index(name) for name in names]
        self.support, self.score, self.cosine = support, score, cosine
        mean_of = mean_of or centroid
        self.heads = range(len(support[0]))
        self.means = [
            [
                mean_of([s[head] for s, y in zip(support, self.labels, strict=True) if y == label])
                for label in range(len(self.numbers))
            ]
            for head in self.heads
        ]

    def nearest(self, sample, head, by):
        found = [by(sample[head], mean) for mean in self.means[head]]
        return found.index(max(found))

    def argsort(self, of_class=None):
        """Return the heads, those that are right of most samples (of one class) last."""
        own = [place for place, y in enumerate(self.labels) if of_class in (None, y)]
        counts = [
            sum(self.nearest(self.support[place], head, self.score) == self.labels[place] for place in own)
            for head in self.heads
        ]
        return sorted(self.heads, key=lambda head: counts[head])

    def first_papers_heads(self, k):
        return self.argsort()[-k:][::-1]

    def second_papers_heads(self, k):
        return sorted(self.argsort()[-k:])

    def majority(self, heads, sample):
        """Return the class of most heads; of equal ones that which is counted first."""
        votes = Counter(self.nearest(sample, head, self.cosine) for head in heads)
        return self.numbers[votes.most_common(1)[0][0]]

    def class_favoured(self, k, sample):
        kept = [self.argsort(label)[-k:] for label in range(len(self.numbers))]
        votes = [
            sum(self.nearest(sample, head, self.cosine) == label for head in heads) for label, heads in enumerate(kept)
        ]
        return self.numbers[votes.index(max(votes))]

    def largest_neighbour(self, heads, sample, neighbours):
        """Return what most heads say by the largest class number among the nearest samples, laid class after class."""
        pairs = list(zip(self.support, self.labels, strict=True))
        stacked = [s for label in range(len(self.numbers)) for s, y in pairs if y == label]
        shots = len(stacked) // len(self.numbers)
        votes = []
        for head in heads:
            near = sorted(range(len(stacked)), key=lambda place: -self.cosine(sample[head], stacked[place][head]))
            votes.append(max(place // shots for place in near[:neighbours]))
        return self.numbers[Counter(votes).most_common(1)[0][0]]
