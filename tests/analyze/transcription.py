"""The method section of Sparse Attention Vectors, formula by formula, one number at a time."""

import math
from collections import Counter


def cosine(a, b):
    norms = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / norms if norms else 0.0


def centroid(vectors):
    return [sum(column) / len(vectors) for column in zip(*vectors, strict=True)]


def nearest(vector, centroids):
    similarities = [cosine(vector, c) for c in centroids]
    return similarities.index(max(similarities))


def head_counts(vectors, labels, classes):
    """Count, for every head, the labelled samples whose nearest centroid is that of their class."""
    counts, centroids = [], []
    for head in range(len(vectors[0])):
        of_head = [[v[head] for v, y in zip(vectors, labels, strict=True) if y == c] for c in range(classes)]
        means = [centroid(members) for members in of_head]
        centroids.append(means)
        counts.append(sum(nearest(v[head], means) == y for v, y in zip(vectors, labels, strict=True)))
    return counts, centroids


def predict(vector, heads, centroids):
    """Return the class most of the selected heads vote for; the heads come best first."""
    votes = [nearest(vector[head], centroids[head]) for head in heads]
    counted = Counter(votes)
    return max(votes, key=lambda vote: (counted[vote], -votes.index(vote)))
