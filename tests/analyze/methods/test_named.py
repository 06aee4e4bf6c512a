"""Methods that compare with class vectors, against plain formulas; what has none is told in words."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from savs_analyze.classifier.forms import read, written
from savs_analyze.methods.context import Context
from savs_analyze.methods.estimator import SAVClassifier
from savs_analyze.methods.kinds.named import ALPHAS, NamedFixed
from savs_analyze.methods.learners import learn
from savs_analyze.methods.recipes import METHODS
from savs_analyze.methods.settings import Setting, make_setting
from savs_analyze.votes.batch import Batch

NAMED = [name for name in METHODS if make_setting(name).method.needs == "class vectors"]
LEARNING = [name for name in NAMED if make_setting(name).method.learns]
seeds = st.integers(0, 2**32 - 1)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def soft(logits):
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def drawn(seed, classes=3, per_class=4, heads=6, dim=5, unseen=7):
    """Return a context whose first heads know the class by pictures and by texts, and unseen vectors."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat(np.arange(classes), per_class))
    means = 2 * generator.normal(size=(classes, heads, dim)) * (np.arange(heads) < heads // 2)[:, None]
    vectors = means[labels] + generator.normal(size=(len(labels), heads, dim))
    texts = means + generator.normal(size=means.shape)
    asked = generator.normal(size=(unseen, heads, dim)) + means[generator.integers(0, classes, unseen)]
    return Context(vectors, labels, classes, np.repeat([0, 1], heads // 2), class_vectors=texts), asked


def learnt(context, asked, name, **parameters):
    [found] = learn([make_setting(name, **parameters).method], context)
    votes = found.votes(Batch(np.arange(asked.shape[1]), asked))
    return found, votes.scores


def text_posterior(x, texts, head, tau=1.0):
    """Return softmax(-|x - t|^2 / 2 tau) of one vector by one head."""
    distance = [((unit(x[head]) - unit(text[head])) ** 2).sum() for text in texts]
    return soft(-np.array(distance) / 2 / tau)


def best_by_text(context, k, tau=1.0):
    scores = [
        np.mean(
            [
                text_posterior(x, context.class_vectors, head, tau)[y]
                for x, y in zip(context.vectors, context.labels, strict=True)
            ]
        )
        for head in range(context.vectors.shape[1])
    ]
    return np.argsort(-np.array(scores), kind="stable")[:k]


def gaussian_logits(context, head, x, left_out=None):
    """Return logits of one vector by one head: unit vectors, the pooled scatter, and the sample out of its own mean."""
    seen = unit(context.vectors[:, head])
    means = np.stack([seen[context.labels == c].mean(axis=0) for c in range(context.classes)])
    scatter = sum(np.outer(s - means[y], s - means[y]) for s, y in zip(seen, context.labels, strict=True))
    dim, count = seen.shape[1], len(seen)
    precision = dim * np.linalg.inv(scatter + np.trace(scatter) / (count - 1) * np.eye(dim))
    if left_out is not None:
        own = context.labels[left_out]
        others = (context.labels == own) & (np.arange(count) != left_out)
        means[own] = seen[others].mean(axis=0)
    share = np.log(np.bincount(context.labels) / count)
    return np.array([-(x - m) @ precision @ (x - m) / 2 for m in means]) + share


@given(seeds, st.sampled_from([0.5, 1.0, 3.0]))
def test_hec_t_is_the_mean_posterior_of_the_heads_best_by_text(seed, tau):
    context, asked = drawn(seed)
    found, scores = learnt(context, asked, "hec-t", k=3, tau=tau)
    assert found.heads.tolist() == best_by_text(context, 3, tau).tolist()
    expected = [
        np.mean([text_posterior(x, context.class_vectors, head, tau) for head in found.heads], axis=0) for x in asked
    ]
    np.testing.assert_allclose(scores, expected, atol=1e-12)


@given(seeds, st.sampled_from([0.1, 1.0, 10.0]))
def test_hec_vt_adds_alpha_times_hec_v(seed, alpha):
    context, asked = drawn(seed)
    found, scores = learnt(context, asked, "hec-vt", k=2, text_k=3, alpha=alpha)
    _, by_text = learnt(context, asked, "hec-t", k=3)
    _, by_picture = learnt(context, asked, "hec-v", k=2)
    np.testing.assert_allclose(scores, by_text + alpha * by_picture, atol=1e-12)
    assert set(found.heads.tolist()) == set(found.kept.tolist())
    assert found.kept[:3].tolist() == best_by_text(context, 3).tolist()


@given(seeds)
def test_hec_vt_loo_weighs_by_the_least_log_loss_left_out(seed):
    context, asked = drawn(seed)
    found, _ = learnt(context, asked, "hec-vt-loo", k=2, text_k=3, tau=2.0)
    text, picture = (found.heads[places] for places in (found.text_heads, found.picture_heads))
    losses = []
    for alpha in ALPHAS:
        said = []
        for place, (x, y) in enumerate(zip(context.vectors, context.labels, strict=True)):
            by_text = np.mean([text_posterior(x, context.class_vectors, head) for head in text], axis=0)
            seen = [soft(gaussian_logits(context, h, unit(x[h]), place) / 2.0) for h in picture]
            said.append(-np.log(((by_text + alpha * np.mean(seen, axis=0)) / (1 + alpha))[y]))
        losses.append(np.mean(said))
    assert np.isclose(losses[ALPHAS.index(found.alpha)], min(losses), rtol=1e-9)


@given(seeds)
def test_the_prior_of_texts_is_weighed_by_the_least_log_loss_left_out(seed):
    context, asked = drawn(seed, per_class=3, heads=4)
    found, scores = learnt(context, asked, "gaussian-text", k=2, scale=10.0)

    def logits(x, head, alpha, left_out=None):
        cosines = unit(context.class_vectors[:, head]) @ unit(x[head])
        return 10 * cosines + alpha * gaussian_logits(context, head, unit(x[head]), left_out)

    losses, found_scores = [], []
    for alpha in ALPHAS:
        said = np.array(
            [[soft(logits(x, head, alpha, place)) for head in range(4)] for place, x in enumerate(context.vectors)]
        )
        own = said[np.arange(len(said)), :, context.labels]
        score = own.mean(axis=0)
        found_scores.append(score)
        losses.append(-np.log(own[:, np.argsort(-score, kind="stable")[:2]].mean(axis=1)).mean())
    alpha = found.report["alpha_chosen"]
    assert np.isclose(losses[ALPHAS.index(alpha)], min(losses), rtol=1e-9)
    score = found_scores[ALPHAS.index(alpha)]
    np.testing.assert_allclose(score[found.heads], -np.sort(-score)[:2], rtol=1e-9)  # saturated ones may tie
    expected = [np.mean([soft(logits(x, head, alpha)) for head in found.heads], axis=0) for x in asked]
    np.testing.assert_allclose(scores, expected, atol=1e-9)


@pytest.mark.parametrize("head", [(0, 3), (2, 0), (0, 999)])
def test_fixed_heads_that_are_not_here_are_named(head):
    """Results that were made up ended `audit` with an IndexError."""
    context, _ = drawn(0)
    with pytest.raises(ValueError, match=rf"by head \({head[0]}, {head[1]}\), .*which is not here"):
        learn([NamedFixed(heads=((0, 0), head))], context)


@given(seeds, st.permutations(range(6)))
def test_fixed_heads_answer_in_any_order_and_without_a_support(seed, order):
    context, asked = drawn(seed)
    pairs = [(head // 3, head % 3) for head in order[:3]]
    nothing = replace(context, vectors=context.vectors[:0], labels=context.labels[:0])
    [found] = learn([NamedFixed(heads=tuple(pairs))], nothing)
    assert found.heads.tolist() == order[:3]
    scores = found.votes(Batch(np.arange(6), asked)).scores
    expected = [np.mean([text_posterior(x, context.class_vectors, head) for head in order[:3]], axis=0) for x in asked]
    np.testing.assert_allclose(scores, expected, atol=1e-12)


@pytest.mark.parametrize("name", LEARNING)
@pytest.mark.parametrize("per_class", [1, 5])
def test_one_sample_a_class_and_heads_without_variance_make_no_nan(name, per_class):
    context, asked = drawn(0, per_class=per_class)
    context.vectors[:, 0] = 1.0
    context.class_vectors[:, 1] = context.class_vectors[0, 1]
    context.class_vectors[:, 2] = 0.0
    _, scores = learnt(context, asked, name, k=6)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("name", LEARNING)
def test_they_are_read_as_they_were_written(name):
    context, asked = drawn(1)
    found, scores = learnt(context, asked, name, k=2)
    axis = np.unique(found.heads)
    again = read(*written(found, axis), {"class": 3, "head": len(axis), "dim": 5})
    np.testing.assert_allclose(again.votes(Batch(np.arange(len(axis)), asked[:, axis])).scores, scores, atol=1e-12)


@pytest.mark.parametrize("name", NAMED)
def test_without_class_vectors_they_say_so(name):
    context, _ = drawn(0)
    method = make_setting(name).method
    method = method.on_heads([(0, 1)]) if name == "hec-t-fixed" else method
    with pytest.raises(ValueError, match="compares with class vectors, of texts that name classes: there are none"):
        learn([method], replace(context, class_vectors=None))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (3, r"class_vectors are \(\), \[class, head, dim\] of y and X is \(3, 6, 5\)"),
        ([1.0, 2.0, 3.0], r"class_vectors are \(3,\), "),
        (np.full((3, 6, 5), np.nan), "Input class_vectors contains NaN"),
    ],
)
def test_class_vectors_that_are_none_are_refused_by_name(wrong, words):
    """A number had no words, and vectors of NaN were called those of X."""
    context, _ = drawn(3)
    with pytest.raises(ValueError, match=words):
        SAVClassifier(2, method="hec-t").fit(context.vectors, context.labels, class_vectors=wrong)


@pytest.mark.parametrize("name", LEARNING)
@pytest.mark.parametrize("flat", [False, True])
def test_the_estimator_takes_class_vectors(name, flat):
    context, asked = drawn(3, per_class=8)
    named = context.class_vectors.reshape(3, -1) if flat else context.class_vectors
    model = SAVClassifier(2, method=name).fit(context.vectors, context.labels, class_vectors=named)
    _, scores = learnt(context, asked, name, k=2)
    assert model.predict(asked).tolist() == scores.argmax(axis=1).tolist()
    for wrong in (named[:2], named[..., :-1]):
        with pytest.raises(ValueError, match=r"class_vectors are .*\[class, head, dim\] of y and X is \(3, 6, 5\)"):
            SAVClassifier(2, method=name).fit(context.vectors, context.labels, class_vectors=wrong)


def test_the_numbering_of_classes_by_appearance_takes_class_vectors_along():
    context, _ = drawn(0)
    turned = replace(context, order=np.array([2, 0, 1])).by_appearance
    for old, new in zip(context.labels, turned.labels, strict=True):
        np.testing.assert_array_equal(turned.class_vectors[new], context.class_vectors[old])


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("hec-t", {"k": 0}, "k must be at least 1"),
        ("hec-t", {"tau": 0}, "tau must be above 0"),
        ("hec-vt", {"alpha": -1}, "alpha must be above 0"),
        ("hec-vt", {"text_k": 0}, "text_k must be at least 1"),
        ("hec-vt", {"text_k": 1.5}, "text_k must be a whole number"),
        ("gaussian-text", {"scale": 0}, "scale must be above 0"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(name, parameters, words):
    with pytest.raises(ValueError, match=words):
        make_setting(name, **parameters)


def test_a_setting_with_heads_is_read_as_it_was_written():
    setting = replace(make_setting("hec-t-fixed"), heads=((0, 1), (3, 2)))
    assert Setting.from_json(setting.to_json()) == setting
    assert setting.column() == "hec-t-fixed, 2 heads of other tasks"
    assert setting.same_as == ""
    with pytest.raises(ValueError, match="finds its heads on the support"):
        _ = replace(make_setting("savs"), heads=((0, 1),)).method
