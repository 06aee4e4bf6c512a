"""Objective and duality gap of a model, by other means than the solver's: slow, plain, double precision."""

import numpy as np
from scipy.optimize import brentq, root
from scipy.special import expit, log_softmax, softmax, xlogy


def one_hot(labels, classes=None):
    """Return targets [sample, output]: one output of 0 and 1 for two classes."""
    classes = np.unique(labels) if classes is None else classes
    hot = (np.asarray(labels)[:, None] == classes).astype(float)
    return hot[:, 1:] if len(classes) == 2 else hot


def chances(scores):
    return expit(scores) if scores.shape[1] == 1 else softmax(scores, axis=1)


def loss(scores, targets, share=None):
    """Return the mean loss; samples have equal shares of it, or those that are given."""
    if scores.shape[1] == 1:
        signs = 2 * targets - 1
        each = (np.log1p(np.exp(-np.abs(scores))) + np.maximum(-signs * scores, 0))[:, 0]
    else:
        each = -(targets * log_softmax(scores, axis=1)).sum(axis=1)
    return each.mean() if share is None else each @ share


def penalty(coef, groups, l1_ratio, weights):
    """Return the penalty of coef [feature, output]."""
    norms = [weight * np.linalg.norm(coef[groups == group]) for group, weight in enumerate(weights)]
    return l1_ratio * np.abs(coef).sum() + (1 - l1_ratio) * sum(norms)


def dual_norm(gradient, groups, l1_ratio, weights):
    """Return the least alpha that holds every group at zero: the root of each group's equation, by bracketing."""

    def over(alpha, values, weight):
        return np.linalg.norm(np.maximum(np.abs(values) - alpha * l1_ratio, 0)) - alpha * (1 - l1_ratio) * weight

    roots = [0.0]
    for group, weight in enumerate(weights):
        values = gradient[groups == group]
        if l1_ratio == 1:
            roots.append(np.abs(values).max())
        elif values.any():
            top = max(np.linalg.norm(values) / weight, np.abs(values).max()) / max(l1_ratio, 1 - l1_ratio)
            roots.append(brentq(over, 0, 2 * top, args=(values, weight), xtol=1e-16, rtol=1e-14))
    return max(roots)


def best_intercept(scores, targets, start, share=None):
    """Return the intercept at which predictions meet the class counts; of a softmax the first stays as it is."""
    fixed = start[: scores.shape[1] > 1]

    def off(free):
        residual = chances(scores + np.concatenate([fixed, free])) - targets
        return (residual.mean(axis=0) if share is None else share @ residual)[len(fixed) :]

    return np.concatenate([fixed, root(off, start[len(fixed) :], tol=1e-15).x])


def certificate(features, targets, coef, intercept, alpha, l1_ratio, groups, weights=None, free=True, share=None):
    """Return (objective, gap) of coef [feature, output]; targets [sample, output]."""
    share = np.full(len(features), 1 / len(features)) if share is None else share
    weights = np.sqrt(np.bincount(groups)) if weights is None else weights
    objective = loss(features @ coef + intercept, targets, share) + alpha * penalty(coef, groups, l1_ratio, weights)
    best = best_intercept(features @ coef, targets, intercept, share) if free else intercept
    residual = targets - chances(features @ coef + best)
    norm = dual_norm(features.T @ (share[:, None] * residual), groups, l1_ratio, weights)
    point = np.clip(targets - residual * min(1, alpha / norm), 0, 1)
    entropy = -xlogy(point, point)
    if targets.shape[1] == 1:
        entropy -= xlogy(1 - point, 1 - point)
    return objective, objective - share @ entropy.sum(axis=1)
