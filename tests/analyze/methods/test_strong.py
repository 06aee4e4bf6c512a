"""Discriminants of heads, kernel ridge regression, CALM, and what is solved in as many dimensions as samples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.kernel_ridge import KernelRidge as KernelRidgeOfScikitLearn
from sklearn.linear_model import LogisticRegression, RidgeClassifierCV
from sklearn.preprocessing import StandardScaler

from savs_analyze.classifier.forms import read, written
from savs_analyze.methods.context import Context
from savs_analyze.methods.kinds.calm import Calm
from savs_analyze.methods.kinds.every_head import PENALTIES
from savs_analyze.methods.kinds.kernels import KernelRidge
from savs_analyze.methods.learners import learn
from savs_analyze.methods.settings import make_setting
from savs_analyze.parts.discriminant import Prior, posterior_scores
from savs_analyze.parts.kernel_ridge import coefficients, kernels, left_out, sharpness, summed_cosines, targets_of
from savs_analyze.parts.reliability import class_weights, reliability, shrunk
from savs_analyze.parts.shrinkage import in_samples, ledoit_wolf
from savs_analyze.votes.batch import Batch
from savs_analyze.votes.kernel import Kernel
from savs_analyze.votes.voting import softmax

seeds = st.integers(0, 2**32 - 1)


def drawn(seed, classes=3, per_class=4, heads=6, dim=5, unseen=7):
    """Return labelled vectors whose first heads know the class, and unseen ones."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat(np.arange(classes), per_class))
    means = 2 * generator.normal(size=(classes, heads, dim)) * (np.arange(heads) < heads // 2)[:, None]
    vectors = means[labels] + generator.normal(size=(len(labels), heads, dim))
    return vectors, labels, generator.normal(size=(unseen, heads, dim)) + means[generator.integers(0, classes, unseen)]


def said(name, vectors, labels, unseen, **parameters):
    """Return what a method learnt and the probabilities that it gives unseen samples."""
    heads = vectors.shape[1]
    context = Context(vectors, labels, int(labels.max()) + 1, np.zeros(heads, dtype=np.int64))
    [learnt] = learn([make_setting(name, **parameters).method], context)
    votes = learnt.votes(Batch(np.arange(heads), unseen))
    return learnt, learnt.probabilities(votes.scores)


def unit(vector):
    return vector / np.linalg.norm(vector)


def hec_posterior(x, vectors, labels, head, tau, regularisation, left_out=None):
    """Return the posterior of one vector by one head, as it was published: a pseudo-inverse, one class at a time."""
    seen = np.stack([unit(vector[head]) for vector in vectors])
    classes, dim = range(labels.max() + 1), seen.shape[1]
    means = [seen[labels == label].mean(axis=0) for label in classes]
    scatter = sum(np.outer(one - means[label], one - means[label]) for one, label in zip(seen, labels, strict=True))
    precision = dim * np.linalg.pinv(scatter + regularisation * np.trace(scatter) / (len(seen) - 1) * np.eye(dim))
    logits = []
    for label in classes:
        of_class = labels == label
        mean = means[label]
        if left_out is not None and of_class[left_out] and of_class.sum() > 1:
            mean = seen[of_class & (np.arange(len(seen)) != left_out)].mean(axis=0)
        logits.append(-(x - mean) @ precision @ (x - mean) / 2 + np.log(of_class.mean()))
    return softmax(np.array([logits]) / tau)[0]


@settings(max_examples=8, deadline=None)
@given(seed=seeds, dim=st.sampled_from([3, 20]), tau=st.sampled_from([1.0, 10.0]), r=st.sampled_from([0.3, 1.0]))
@pytest.mark.parametrize("leave_one_out", [False, True])
def test_head_scores_are_the_published_formula(leave_one_out, seed, dim, tau, r):
    """Of few dimensions by the scatter, of many by Woodbury."""
    vectors, labels, _ = drawn(seed, dim=dim)
    found = posterior_scores(vectors, labels, 3, Prior(r, as_published=True), tau, leave_one_out)
    for head in range(vectors.shape[1]):
        own = [
            hec_posterior(unit(x[head]), vectors, labels, head, tau, r, place if leave_one_out else None)[label]
            for place, (x, label) in enumerate(zip(vectors, labels, strict=True))
        ]
        assert found.value[head] == pytest.approx(np.mean(own), rel=1e-9)


@pytest.mark.parametrize("name", ["hec-v", "hec-v-loo"])
@settings(max_examples=8, deadline=None)
@given(seed=seeds, dim=st.sampled_from([3, 20]))
def test_answers_are_the_mean_posterior_of_the_best_heads(name, seed, dim):
    vectors, labels, unseen = drawn(seed, dim=dim)
    loo = name.endswith("loo")
    learnt, found = said(name, vectors, labels, unseen, k=2, tau=2.0, regularisation=0.5)
    scores = posterior_scores(vectors, labels, 3, Prior(0.5), 2.0, loo).value
    assert scores[learnt.heads] == pytest.approx(np.sort(scores)[:-3:-1])
    expected = [
        np.mean([hec_posterior(unit(x[head]), vectors, labels, head, 2.0, 0.5) for head in learnt.heads], axis=0)
        for x in unseen
    ]
    assert found == pytest.approx(np.array(expected), rel=1e-8)


def test_of_one_sample_a_class_the_published_one_knows_nothing_and_ours_the_nearest():
    vectors, labels, unseen = drawn(3, per_class=1)
    _, published = said("hec-v", vectors, labels, unseen)
    assert published == pytest.approx(np.full((7, 3), 1 / 3))
    learnt, ours = said("hec-v-loo", vectors, labels, unseen, k=1)
    [head] = learnt.heads
    cosines = np.array(
        [[unit(x[head]) @ unit(vectors[labels == label][0][head]) for label in range(3)] for x in unseen]
    )
    assert ours.argmax(axis=1).tolist() == cosines.argmax(axis=1).tolist()


@pytest.mark.parametrize("name", ["hec-v", "hec-v-loo", "kernel-ridge", "kernel-ridge-all", "kernel-ridge-weighted"])
@settings(max_examples=5, deadline=None)
@given(seed=seeds)
def test_turning_and_stretching_heads_changes_nothing(name, seed):
    vectors, labels, unseen = drawn(seed, per_class=6)
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(6, 5, 5)))[0]
    scale = np.random.default_rng(seed).uniform(0.1, 10, (6, 1))
    turned = [np.einsum("nhd,hde->nhe", of, turn) * scale for of in (vectors, unseen)]
    found, expected = said(name, turned[0], labels, turned[1])[1], said(name, vectors, labels, unseen)[1]
    assert found == pytest.approx(expected, abs=1e-6)


@settings(max_examples=5, deadline=None)
@given(seed=seeds)
def test_turning_all_features_changes_no_discriminant_of_one_head(seed):
    """Shrinkage looks at the variance of every feature, so only features of one variance may be turned."""
    vectors, labels, unseen = drawn(seed, per_class=8, heads=2)
    order = np.random.default_rng(seed).permutation(5)
    expected = said("lda", vectors, labels, unseen)[1]
    assert said("lda", vectors[:, ::-1][..., order], labels, unseen[:, ::-1][..., order])[1] == pytest.approx(expected)


@settings(max_examples=10, deadline=None)
@given(seed=seeds, classes=st.integers(2, 3))
def test_leaving_a_sample_out_is_fitting_without_it(seed, classes):
    vectors, labels, _ = drawn(seed, classes=classes)
    cosines = summed_cosines(vectors) / vectors.shape[1]
    targets = targets_of(labels, classes)
    every = list(left_out(cosines, targets, kernels(cosines)))
    for found in (every[0], every[4], every[-1]):
        kernel = 1 + found.kernel(cosines)
        for place in range(len(labels)):
            others = np.arange(len(labels)) != place
            model = KernelRidgeOfScikitLearn(alpha=found.penalty, kernel="precomputed")
            model.fit(kernel[np.ix_(others, others)], targets[others])
            assert found.scores[place] == pytest.approx(model.predict(kernel[[place]][:, others])[0], abs=1e-7)
        assert found.error == pytest.approx(((targets - found.scores) ** 2).mean())


@pytest.mark.parametrize(("name", "parameters"), [("kernel-ridge-k", {"k": 3}), ("kernel-ridge-all", {})])
@settings(max_examples=8, deadline=None)
@given(seed=seeds)
def test_kernel_ridge_is_scikit_learns_by_the_kernel_of_least_error(name, parameters, seed):
    vectors, labels, unseen = drawn(seed)
    learnt, found = said(name, vectors, labels, unseen, **parameters)
    if name == "kernel-ridge-k":
        scores = posterior_scores(vectors, labels, 3, Prior(), 10.0, True).value
        assert learnt.heads.tolist() == np.argsort(-scores)[:3].tolist()
    seen, asked = (
        np.concatenate([of[:, head] / np.linalg.norm(of[:, head], axis=1, keepdims=True) for head in learnt.heads], 1)
        / np.sqrt(len(learnt.heads))
        for of in (vectors, unseen)
    )
    best = min(
        left_out(seen @ seen.T, targets_of(labels, 3), kernels(seen @ seen.T)), key=lambda one: round(one.error, 12)
    )
    model = KernelRidgeOfScikitLearn(alpha=best.penalty, kernel="precomputed")
    model.fit(1 + best.kernel(seen @ seen.T), targets_of(labels, 3))
    expected = model.predict(1 + best.kernel(asked @ seen.T))
    assert found == pytest.approx(softmax(expected * sharpness(best.scores, labels)), abs=1e-6)


@pytest.mark.parametrize("many", [False, True])
def test_the_number_of_heads_and_the_weights_are_chosen_by_what_is_left_out(many, monkeypatch):
    """Of many samples the linear kernel alone chooses the heads, and all kernels are tried on these."""
    monkeypatch.setattr("savs_analyze.methods.kinds.kernels.JOINTLY", 23 if many else 24)
    vectors, labels, unseen = drawn(0, per_class=8, heads=40)
    targets = targets_of(labels, 3)
    ranked = np.argsort(-posterior_scores(vectors, labels, 3, Prior(), 10.0, True).value)
    cosines = {size: summed_cosines(vectors[:, ranked[:size]]) / size for size in (5, 10, 20, 40)}
    tried = {size: [Kernel()] if many else kernels(of) for size, of in cosines.items()}
    errors = {size: min(one.error for one in left_out(of, targets, tried[size])) for size, of in cosines.items()}
    size = min(errors, key=errors.get)
    learnt, _ = said("kernel-ridge", vectors, labels, unseen)
    assert len(learnt.heads) == size
    best = min(left_out(cosines[size], targets, kernels(cosines[size])), key=lambda one: round(one.error, 12))
    assert (learnt.linear, learnt.gamma) == (best.kernel.linear, pytest.approx(best.kernel.gamma))
    weighted, _ = said("kernel-ridge-weighted", vectors, labels, unseen)
    assert set(weighted.heads) == set(ranked[:8])  # above the 80th percentile


def test_sharpness_has_the_least_log_loss():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 200)
    scores = targets_of(labels, 3) + generator.normal(size=(200, 3))
    loss = [-np.log(softmax(scores * power)[np.arange(200), labels]).mean() for power in np.logspace(-2, 1, 301)]
    assert sharpness(scores, labels) == pytest.approx(np.logspace(-2, 1, 301)[np.argmin(loss)], rel=0.03)
    kernel = summed_cosines(generator.normal(size=(9, 2, 3)))
    [chosen] = [one for one in left_out(kernel / 2, scores[:9], kernels(kernel / 2)) if one.kernel.linear][3:4]
    assert (1 + kernel / 2 + chosen.penalty * np.eye(9)) @ coefficients(
        kernel / 2, scores[:9], chosen
    ) == pytest.approx(scores[:9])


@pytest.mark.parametrize("classes", [2, 4])
@settings(max_examples=6, deadline=None)
@given(seed=seeds)
def test_every_head_together_is_scikit_learns(classes, seed):
    vectors, labels, unseen = drawn(seed, classes=classes, per_class=6)
    seen, asked = vectors.reshape(len(vectors), -1), unseen.reshape(len(unseen), -1)
    scaler = StandardScaler().fit(seen)
    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(seen, labels)
    assert said("lda", vectors, labels, unseen)[1] == pytest.approx(lda.predict_proba(asked), abs=1e-9)
    logistic = LogisticRegression(max_iter=1000, tol=1e-9).fit(scaler.transform(seen), labels)
    expected = logistic.predict_proba(scaler.transform(asked))
    assert said("linear-probe-all", vectors, labels, unseen)[1] == pytest.approx(
        expected, abs=5e-3
    )  # lbfgs stops there
    ridge = RidgeClassifierCV(PENALTIES).fit(scaler.transform(seen), labels)
    found = said("ridge-gcv", vectors, labels, unseen)[1].argmax(axis=1)
    assert found.tolist() == ridge.predict(scaler.transform(asked)).tolist()


@pytest.mark.parametrize("shots", [2, 3])
@pytest.mark.parametrize("scale", [2.0**-8, 1.0, 2.0**8])
def test_two_samples_a_class_give_a_discriminant_whatever_the_unit(shots, scale):
    """Of two samples Ledoit and Wolf find no shrinkage: answers followed the unit of the vectors."""
    vectors, labels, unseen = drawn(0, per_class=shots, dim=16, unseen=60)
    expected = said("lda", vectors, labels, unseen)[1]
    assert said("lda", scale * vectors, labels, scale * unseen)[1] == pytest.approx(expected, rel=1e-6)
    small = (scale * vectors).astype(np.float16).astype(np.float64)
    assert said("lda", small, labels, scale * unseen)[1] == pytest.approx(expected, abs=0.02)


def test_no_feature_is_lost_beside_one_of_larger_numbers():
    """With one head a million times as large, the discriminant knew that one only."""
    vectors, labels, unseen = drawn(0, per_class=5)
    scale = np.array([1e6, 1, 1e-5, 1, 1, 1])[:, None]
    expected = said("lda", vectors, labels, unseen)[1]
    assert said("lda", vectors * scale, labels, unseen * scale)[1] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("block", [1, 10**4])
def test_features_come_in_blocks(monkeypatch, block):
    vectors, labels, unseen = drawn(2, per_class=5)
    expected = said("lda", vectors, labels, unseen)[1]
    monkeypatch.setattr("savs_analyze.parts.shrinkage.BLOCK_BYTES", block)
    monkeypatch.setattr("savs_analyze.votes.kernel.HEAD_BLOCK", 4)
    assert said("lda", vectors, labels, unseen)[1] == pytest.approx(expected)
    monkeypatch.setattr("savs_analyze.parts.discriminant.BLOCK_BYTES", block)
    assert np.isfinite(said("kernel-ridge", vectors, labels, unseen)[1]).all()


@pytest.mark.parametrize("difference", [1e-3, 1e-4, 1e-5])
def test_vectors_that_are_all_but_parallel_are_told_apart_and_written(difference, tmp_path):
    """Their kernel is so narrow that its classifier's file was refused."""
    vectors, labels, unseen = drawn(0, per_class=6, heads=4, dim=8)
    common = np.random.default_rng(1).normal(size=(4, 8))
    near, asked = (common + difference * of for of in (vectors, unseen))
    learnt, found = said("kernel-ridge", near, labels, asked)
    assert found.argmax(axis=1).tolist() == said("hec-v", near, labels, asked)[1].argmax(axis=1).tolist()
    plain, arrays = written(learnt, np.arange(4))
    again = read(plain, arrays, {"class": 3, "head": 4, "dim": 8})
    assert again.votes(Batch(np.arange(4), asked)).scores == pytest.approx(
        learnt.votes(Batch(np.arange(4), asked)).scores
    )


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: KernelRidge(k=0), "k must be at least 1"),
        (lambda: KernelRidge(among="nonsense"), "unknown heads: 'nonsense'"),
        (lambda: Calm(by="nonsense"), "unknown reliability: 'nonsense'"),
        (lambda: Calm(shrinkage=-1), "shrinkage"),
        (lambda: make_setting("hec-v", tau=0), "tau must be above 0"),
        (lambda: make_setting("hec-v", regularisation=0), "regularisation must be above 0"),
        (lambda: make_setting("kernel-ridge-k", k=0), "k must be at least 1"),
    ],
)
def test_what_is_no_hyperparameter_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        wrong()


@given(seed=seeds, samples=st.integers(3, 9), features=st.integers(2, 12))
def test_shrinkage_and_axes_of_few_samples(seed, samples, features):
    found = np.random.default_rng(seed).normal(size=(samples, features))
    centred = found - found.mean(axis=0)
    assert ledoit_wolf(centred @ centred.T, features) == pytest.approx(
        ledoit_wolf_shrinkage(centred, assume_centered=True), abs=1e-9
    )
    spanned, axes = in_samples(centred)
    assert spanned @ axes == pytest.approx(centred)
    assert axes @ axes.T == pytest.approx(np.eye(len(axes)), abs=1e-6)


SURE = {
    "calm": lambda p, label: max(0.0, p[label] - max(np.delete(p, label))),
    "calm-probability": lambda p, label: p[label],
    "calm-brier": lambda p, label: 1 - ((p - np.eye(len(p))[label]) ** 2).sum() / 2,
}


@pytest.mark.parametrize("name", SURE)
@settings(max_examples=6, deadline=None)
@given(seed=seeds, k=st.integers(1, 6), strength=st.sampled_from([0.0, 3.0]))
def test_calm_is_its_formula(name, seed, k, strength):
    vectors, labels, unseen = drawn(seed)

    def posterior(x, head, without=None):
        kept = np.ones(len(labels), dtype=bool) if without is None else np.arange(len(labels)) != without
        means = [vectors[kept & (labels == label), head].mean(axis=0) for label in range(3)]
        return softmax(np.array([[unit(x) @ unit(mean) / 0.07 for mean in means]]))[0]

    found = np.array(
        [
            [
                np.mean(
                    [SURE[name](posterior(vectors[i, head], head, i), label) for i in np.flatnonzero(labels == label)]
                )
                for head in range(6)
            ]
            for label in range(3)
        ]
    )
    found = 4 / (4 + strength) * found + strength / (4 + strength) * found.mean()
    scores = np.zeros((len(unseen), 3))
    for label in range(3):
        best = np.argsort(-np.round(found[label], 12), kind="stable")[:k]
        trust = found[label, best] if found[label, best].sum() > 0 else np.ones(len(best))
        for row, x in enumerate(unseen):
            each = [posterior(x[head], head)[label] for head in best]
            scores[row, label] = np.average(each, weights=trust)
    _, said_of = said(name, vectors, labels, unseen, k=k, shrinkage=strength)
    assert said_of == pytest.approx(scores / scores.sum(axis=1, keepdims=True), rel=1e-6, abs=1e-9)


def test_a_class_of_which_no_head_is_sure_has_equal_weights():
    posterior = np.full((4, 2, 3), 0.5)
    found = reliability(posterior, np.array([0, 0, 1, 1]), "margin")
    assert found.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert class_weights(found, 2) == pytest.approx(np.array([[0.5, 0.5, 0], [0.5, 0.5, 0]]))
    assert shrunk(np.array([[0.0, 1.0]]), np.array([4]), 4.0) == pytest.approx(np.array([[0.25, 0.75]]))
