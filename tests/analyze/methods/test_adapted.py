"""Adapters of class vectors, against plain formulas and scikit-learn."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from savs_analyze.methods.context import Context
from savs_analyze.methods.learners import learn
from savs_analyze.methods.settings import make_setting
from savs_analyze.parts.adaptation import MOMENTUM, RATE, STEPS, clap_prototypes, joint, telling, text_weights
from savs_analyze.votes.batch import Batch

NAMES = ["tip-adapter", "cross-modal", "clap"]
seeds = st.integers(0, 2**32 - 1)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def soft(logits):
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def drawn(seed, classes=3, per_class=4, heads=4, dim=5, unseen=6):
    """Return a context of heads that all know the class by pictures and by texts, and unseen vectors."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat(np.arange(classes), per_class))
    means = 2 * generator.normal(size=(classes, heads, dim))
    vectors = means[labels] + generator.normal(size=(len(labels), heads, dim))
    texts = means + generator.normal(size=means.shape)
    asked = generator.normal(size=(unseen, heads, dim)) + means[generator.integers(0, classes, unseen)]
    return Context(vectors, labels, classes, np.zeros(heads, dtype=np.int64), class_vectors=texts), asked


def scores_of(context, asked, name, **parameters):
    [found] = learn([make_setting(name, **parameters).method], context)
    return found.votes(Batch(np.arange(asked.shape[1]), asked)).scores, found


def mean_cosine(x, y):
    """Return the mean over heads of the cosine of two vectors [head, dim]."""
    return float(np.mean([unit(x[head]) @ unit(y[head]) for head in range(len(x))]))


@given(seed=seeds, a=st.floats(0.1, 5), b=st.floats(0.1, 20))
@settings(max_examples=15, deadline=None)
def test_tip_adapter_is_its_formula(seed, a, b):
    context, asked = drawn(seed)
    found, _ = scores_of(context, asked, "tip-adapter", k=4, a=a, b=b)
    for row, x in enumerate(asked):
        for label in range(3):
            cache = [np.exp(-b * (1 - mean_cosine(x, seen))) for seen in context.vectors[context.labels == label]]
            wanted = 100 * mean_cosine(x, context.class_vectors[label]) + a * sum(cache)
            assert found[row, label] == pytest.approx(wanted, abs=1e-8)


@given(seed=seeds, classes=st.integers(2, 4))
@settings(max_examples=15, deadline=None)
def test_cross_modal_is_a_regression_on_samples_and_texts(seed, classes):
    """Four samples a class weigh half each, a text of a class as much as all of them."""
    context, asked = drawn(seed, classes)
    found, _ = scores_of(context, asked, "cross-modal", k=4)
    rows = np.concatenate([joint(context.vectors), *[joint(context.class_vectors)] * 4])
    labels = np.concatenate([context.labels, *[np.arange(classes)] * 4])
    model = LogisticRegression(C=50.0, fit_intercept=False, max_iter=10_000, tol=1e-8).fit(rows, labels)
    np.testing.assert_allclose(soft(found), model.predict_proba(joint(asked)), atol=1e-4)


@given(seed=seeds)
@settings(max_examples=8, deadline=None)
def test_clap_steps_as_torch_steps(seed):
    context, _ = drawn(seed)
    features, texts = joint(context.vectors), joint(context.class_vectors)
    weights = text_weights(features, context.labels, texts, 100.0)
    held = torch.tensor(texts)
    found = held.clone().requires_grad_()
    descent = torch.optim.SGD([found], lr=RATE, momentum=MOMENTUM)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(descent, STEPS)
    for _ in range(STEPS):
        descent.zero_grad()
        logits = 100 * torch.tensor(features) @ found.T
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(context.labels))
        (loss + (torch.tensor(weights) * ((found - held) ** 2).sum(dim=1)).sum()).backward()
        descent.step()
        rates.step()
        with torch.no_grad():
            found.copy_(found / found.norm(dim=1, keepdim=True))
    wanted = found.detach().numpy()
    np.testing.assert_allclose(clap_prototypes(features, context.labels, texts, 100.0, weights), wanted, atol=1e-5)


def test_zero_shot_is_trusted_as_far_as_it_is_right():
    features = unit(np.array([[1.0, 0.2], [1.0, 0.1], [1.0, 0.0]]))
    texts = np.array([[1.0, 0.0], [0.0, 1.0]])
    weights = text_weights(features, np.array([0, 0, 1]), texts, 100.0)
    assert weights[0] > 0.999
    assert weights[1] < 1e-3


def test_the_more_a_class_is_trusted_the_nearer_its_prototype_stays_to_its_text():
    context, _ = drawn(7)
    features, texts = joint(context.vectors), np.roll(joint(context.class_vectors), 1, axis=0)  # of other classes
    moved = [
        ((clap_prototypes(features, context.labels, texts, 100.0, np.full(3, weight)) - texts) ** 2).sum()
        for weight in (0.0, 1.0, 4.0)
    ]
    assert moved == sorted(moved, reverse=True)
    assert moved[0] > 1.5 * moved[2]


@pytest.mark.parametrize("name", NAMES)
def test_a_head_that_gives_all_samples_the_same_is_left_out(name):
    """As an encoder's text head does, where all samples ask one question."""
    context, asked = drawn(3, heads=2)
    context.vectors[:, 1], asked[:, 1] = context.vectors[0, 1], context.vectors[0, 1]
    assert telling(context.vectors).tolist() == [True, False]
    found, fitted = scores_of(context, asked, name)
    assert fitted.heads.tolist() == [0]
    alone, _ = scores_of(context.on(np.array([0])), asked[:, :1], name)
    np.testing.assert_allclose(found, alone)


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("tip-adapter", {"b": 0}, "b must be above 0, got 0"),
        ("cross-modal", {"share": 1.0}, "share must be below 1, got 1.0"),
        ("clap", {"k": 0}, "k must be above 0, got 0"),
    ],
)
def test_numbers_that_make_no_adapter(name, parameters, words):
    with pytest.raises(ValueError, match=words):
        make_setting(name, **parameters)
