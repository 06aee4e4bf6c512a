"""What methods learn and predict, against the recipes followed one number at a time, and scikit-learn."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import ledoit_wolf
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from kit import transcription as slow
from kit.registered import added
from savs_analyze.methods.context import Context
from savs_analyze.methods.kinds.calm import Calm
from savs_analyze.methods.kinds.every_head import OnEveryHead
from savs_analyze.methods.kinds.heads import Savs
from savs_analyze.methods.kinds.kernels import KernelRidge
from savs_analyze.methods.kinds.layers import Layers
from savs_analyze.methods.kinds.probes import Gaussian, Logistic, Neighbours, Perceptron, Probe, Ridge
from savs_analyze.methods.kinds.sparse import Sparse
from savs_analyze.methods.learners import learn, predict
from savs_analyze.methods.recipes import METHODS
from savs_analyze.methods.settings import make_setting
from savs_analyze.parts.selection import Scoring
from savs_analyze.parts.transform import Transform
from savs_analyze.votes.batch import Batch
from savs_analyze.votes.similarity import KERNELS, Kernel, Similarity, class_means

NAMES = [name for name in METHODS if not make_setting(name).method.needs]
SPARSE = [name for name in NAMES if isinstance(make_setting(name).method, Sparse)]
OF_TWO_CLASSES = [
    "auto",
    *(n for n in NAMES if isinstance(make_setting(n).method, Probe | KernelRidge) and "knn" not in n),
]
ON_EVERY_HEAD = ["kernel-ridge-all", *(n for n in NAMES if isinstance(make_setting(n).method, OnEveryHead))]
CHOOSING = ("kernel-ridge", "kernel-ridge-weighted")  # as many heads as they find best
seeds = st.integers(0, 2**32 - 1)
shapes = st.fixed_dictionaries(
    {
        "classes": st.integers(1, 4),
        "per_class": st.integers(2, 4),
        "heads": st.integers(1, 6),
        "dim": st.integers(2, 5),
        "pull": st.sampled_from([0, 1]),
    }
)


def run(methods, vectors, labels, unseen, classes, layer=None, allowed=None, seed=0):
    """Return what methods learnt and their votes on unseen samples."""
    layer = np.zeros(vectors.shape[1], dtype=np.int64) if layer is None else layer
    learnt = learn(methods, Context(vectors, labels, classes, layer, seed))
    return learnt, predict(learnt, Batch(np.arange(vectors.shape[1]), unseen, allowed))


def random_allowed(seed, samples, classes):
    generator = np.random.default_rng(seed)
    allowed = generator.random((samples, classes)) < 0.5
    allowed[np.arange(samples), generator.integers(0, classes, samples)] = True
    return allowed


def assert_equal_to_the_formulas(method, vectors, labels, unseen, classes, layer, allowed, tolerance=1e-6):
    [learnt], [votes] = run([method], vectors, labels, unseen, classes, layer, allowed)
    expected = slow.Savs(method, vectors.tolist(), labels.tolist(), classes, layer.tolist())
    if method.scoring.per_class:
        assert learnt.own.tolist() == expected.heads
    elif isinstance(method, Savs) and method.ranks:
        assert learnt.heads.tolist() == expected.heads
    for row, sample in enumerate(unseen.tolist()):
        among = np.flatnonzero(allowed[row]).tolist() if method.restricted else None
        predicted, scores = expected.votes(sample, among)
        assert votes.predicted[row] == predicted, method
        assert votes.scores[row] == pytest.approx(np.array(scores), rel=tolerance, abs=tolerance), method


@settings(max_examples=80)
@given(data=st.data(), seed=seeds, shape=shapes, k=st.integers(1, 8), restricted=st.booleans(), uneven=st.booleans())
def test_every_recipe_equals_its_formulas(problem, every_recipe, data, seed, shape, k, restricted, uneven):
    recipes = [recipe for recipe in every_recipe(k) if not recipe.scoring.similarity.saturating]
    method = replace(data.draw(st.sampled_from(recipes)), restricted=restricted)
    vectors, labels = problem(seed, **shape)
    if uneven:  # classes of other sizes: two samples of the first
        kept = np.sort(np.concatenate([np.flatnonzero(labels == 0)[:2], np.flatnonzero(labels != 0)]))
        vectors, labels = vectors[kept], labels[kept]
    unseen, _ = problem(seed + 1, **{**shape, "per_class": 1})
    allowed = random_allowed(seed, len(unseen), shape["classes"])
    layer = np.zeros(shape["heads"], dtype=np.int64)
    assert_equal_to_the_formulas(method, vectors, labels, unseen, shape["classes"], layer, allowed)


@settings(max_examples=60)
@given(
    data=st.data(),
    seed=seeds,
    shape=shapes,
    kind=st.sampled_from(list(KERNELS)),
    k=st.integers(1, 4),
    loo=st.booleans(),
)
def test_layers_equal_their_formulas(problem, data, seed, shape, kind, k, loo):
    criterion = data.draw(st.sampled_from(["count", "balanced", "margin"]))
    kind = Similarity(kind, 0.4, 0.1)
    method = Layers(k, Scoring(kind, Transform("penalty"), criterion, loo), kind, restricted=loo)
    vectors, labels = problem(seed, **shape)
    unseen, _ = problem(seed + 1, **{**shape, "per_class": 1})
    layer = np.sort(np.random.default_rng(seed).integers(0, 3, size=shape["heads"])) * 2
    allowed = random_allowed(seed, len(unseen), shape["classes"])
    assert_equal_to_the_formulas(method, vectors, labels, unseen, shape["classes"], layer, allowed)


@settings(max_examples=40)
@given(
    seed=seeds,
    name=st.sampled_from([name for name, kernel in KERNELS.items() if kernel.of]),
    classes=st.integers(1, 4),
    power=st.integers(-1, 3),
    loo=st.booleans(),
)
def test_saturating_recipes_equal_float32_arithmetic_and_its_ties(problem, seed, name, classes, power, loo):
    # All means of these numbers, and sums of their products, have few enough digits to be exact.
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), 4)
    vectors, unseen = (generator.integers(-3, 4, size=(n, 5, 4)) * 12 / 64 * 2.0**power for n in (4 * classes, 6))
    method = Savs(2, Scoring(Similarity(name, saturating=True), leave_one_out=loo))
    layer = np.zeros(5, dtype=np.int64)
    [learnt], _ = run([method], vectors, labels, unseen, classes)
    assert learnt.heads.tolist() == slow.Savs(method, vectors.tolist(), labels.tolist(), classes, layer.tolist()).heads


@pytest.mark.parametrize("name", [name for name in NAMES if name not in (*SPARSE, *CHOOSING, "auto")])
def test_more_heads_than_there_are_all_take_part(problem, name):
    vectors, labels = problem(0)
    unseen, _ = problem(1)
    parameters = [key for key in METHODS[name].defaults if key in ("k", "layers")]
    exact = {"k": 6, "layers": 2}
    layer = np.array([0, 0, 0, 1, 1, 1])
    settings = [make_setting(name, **{key: n(key) for key in parameters}).method for n in (exact.get, lambda _: 1000)]
    learnt, votes = run(settings, vectors, labels, unseen, 3, layer)
    assert sorted(learnt[1].heads.tolist()) == (list(range(6)) if parameters or name in ON_EVERY_HEAD else [3, 4, 5])
    assert (votes[0].predicted == votes[1].predicted).all()
    assert (votes[0].scores == votes[1].scores).all()
    assert [one.tied for one in learnt] == [0, 0]


@pytest.mark.parametrize("name", NAMES)
def test_of_a_single_class_it_is_the_answer_or_refused(problem, name):
    vectors, labels = problem(0, classes=1)
    method = make_setting(name).method
    if name in OF_TWO_CLASSES + SPARSE:
        who = "the lasso" if name in SPARSE else name
        with pytest.raises(ValueError, match=f"{who} tells classes apart: samples of one class teach it nothing"):
            run([method], vectors, labels, vectors, 1)
        return
    [learnt], [votes] = run([method], vectors, labels, vectors, 1)
    assert votes.predicted.tolist() == [0] * len(labels)
    assert (learnt.probabilities(votes.scores) == 1).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_class_with_one_sample_is_learnt_or_refused(problem, name):
    vectors, labels = problem(0)
    kept = np.sort(np.concatenate([np.flatnonzero(labels == 2)[:1], np.flatnonzero(labels != 2)]))
    method = make_setting(name).method
    if isinstance(method, Calm) or (isinstance(method, Savs) and method.scoring.leave_one_out):
        with pytest.raises(ValueError, match=r"class 2 has one sample: leave-one-out needs two of every class"):
            run([method], vectors[kept], labels[kept], vectors, 3)
        return
    if name == "auto":
        with pytest.raises(ValueError, match=r"class 2 has one sample, .* cannot be split into folds"):
            run([method], vectors[kept], labels[kept], vectors, 3)
        return
    _, [votes] = run([method], vectors[kept], labels[kept], vectors, 3)
    assert np.isfinite(votes.scores).all()
    assert set(votes.predicted.tolist()) <= {0, 1, 2}


@pytest.mark.parametrize("name", NAMES)
def test_zero_vectors_are_given_to_some_class(name):
    labels = np.repeat([0, 1, 2], 4)
    method = make_setting(name).method
    [learnt], [votes] = run([method], np.zeros((12, 5, 4)), labels, np.zeros((2, 5, 4)), 3)
    assert np.isfinite(votes.scores).all()
    assert learnt.probabilities(votes.scores).sum(axis=1) == pytest.approx([1, 1])
    if isinstance(method, Savs | Layers):
        assert votes.predicted.tolist() == [0, 0]  # all alike: the first


@pytest.mark.parametrize("name", NAMES)
def test_float16_predicts_as_the_same_numbers_in_float64(problem, name):
    (vectors, labels), (unseen, _) = problem(0), problem(1)
    vectors, unseen = vectors.astype(np.float16), unseen.astype(np.float16)
    method = make_setting(name).method
    [half], [of_half] = run([method], vectors, labels, unseen, 3)
    [double], [of_double] = run([method], vectors.astype(float), labels, unseen.astype(float), 3)
    assert half.heads.tolist() == double.heads.tolist()
    assert of_half.predicted.tolist() == of_double.predicted.tolist()
    assert of_half.scores == pytest.approx(of_double.scores)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_support_that_is_not_finite_is_refused(problem, name, value):
    vectors, labels = problem(0)
    vectors[3, 2, 1] = value
    with (
        pytest.raises(ValueError, match=f"class {labels[3]} has vectors that are not finite"),
        np.errstate(all="ignore"),
    ):
        run([make_setting(name).method], vectors, labels, vectors, 3)


@pytest.mark.parametrize("name", NAMES)
def test_restricted_methods_predict_only_what_is_allowed(problem, name):
    (vectors, labels), (unseen, _) = problem(0, classes=4), problem(1, classes=4, per_class=30)
    free = make_setting(name).method
    allowed = random_allowed(2, len(unseen), 4)
    [_, learnt], [unrestricted, restricted] = run(
        [free, replace(free, restricted=True)], vectors, labels, unseen, 4, None, allowed
    )
    assert allowed[np.arange(len(unseen)), restricted.predicted].all()
    assert not allowed[np.arange(len(unseen)), unrestricted.predicted].all()
    # Of what sees all samples at once, a sample's neighbours are restricted too.
    same = allowed.all(axis=1) & (not learnt.transductive)
    assert (restricted.predicted[same] == unrestricted.predicted[same]).all()
    found = learnt.probabilities(restricted.scores)
    assert found.sum(axis=1) == pytest.approx(np.ones(len(unseen)))
    assert (found[~allowed] == 0).all()


def test_a_restricted_baseline_takes_its_best_allowed_class(problem):
    (vectors, labels), (unseen, _) = problem(0, classes=4), problem(1, classes=4)
    allowed = random_allowed(2, len(unseen), 4)
    methods = [make_setting(name).method for name in OF_TWO_CLASSES]
    _, free = run(methods, vectors, labels, unseen, 4)
    _, among = run([replace(m, restricted=True) for m in methods], vectors, labels, unseen, 4, None, allowed)
    for one, other in zip(free, among, strict=True):
        assert (other.predicted == np.where(allowed, one.scores, -np.inf).argmax(axis=1)).all()


def test_methods_do_not_disturb_each_other(problem):
    (vectors, labels), (unseen, _) = problem(0), problem(1)
    methods = [make_setting(name, **({"k": 3} if "k" in METHODS[name].defaults else {})).method for name in NAMES]
    layer = np.repeat([0, 1], 3)
    learnt, votes = run(methods, vectors, labels, unseen, 3, layer)
    for method, together, of in zip(methods, learnt, votes, strict=True):
        [alone], [of_alone] = run([method], vectors, labels, unseen, 3, layer)
        assert alone.heads.tolist() == together.heads.tolist()
        assert (of_alone.predicted == of.predicted).all()
        assert (of_alone.scores == of.scores).all()


def test_only_the_heads_that_are_needed_are_asked_for(problem):
    (vectors, labels), (unseen, _) = problem(0), problem(1)
    context = Context(vectors, labels, 3, np.repeat([0, 1], 3))
    for name in NAMES:
        method = make_setting(name, **{key: 1 for key in ("k", "layers") if key in METHODS[name].defaults}).method
        learnt = learn([method], context)
        needed = np.unique(learnt[0].heads)
        [few] = predict(learnt, Batch(needed, unseen[:, needed]))
        [all_of_them] = predict(learnt, Batch(np.arange(6), unseen))
        assert (few.predicted == all_of_them.predicted).all()


def test_similarities_of_several_methods_are_computed_once(problem):
    (vectors, labels), (unseen, _) = problem(0), problem(1)
    calls = []

    def compare(x, u):
        calls.append(x.shape[1])
        return np.matmul(x, u.transpose(0, 2, 1))

    with added(KERNELS, Kernel("counted", compare)):
        kind = Similarity("counted")
        methods = [Savs(k, Scoring(kind), vote=vote, voting=kind) for k in (1, 2, 5) for vote in ("majority", "soft")]
        learnt = learn(methods, Context(vectors, labels, 3, np.zeros(6, dtype=np.int64)))
        assert calls == [len(vectors)]
        predict(learnt, Batch(np.arange(6), unseen))
        assert calls == [len(vectors), len(unseen)]


@pytest.mark.parametrize("k", [1, 4, 6])
def test_random_heads_are_distinct_seeded_and_nested(problem, k):
    vectors, labels = problem(0)
    chosen = {}
    for seed in range(20):
        layer = np.zeros(6, dtype=np.int64)
        few, all_of_them = learn(
            [Savs(k, selection="random"), Savs(6, selection="random")], Context(vectors, labels, 3, layer, seed)
        )
        [other_labels] = learn([Savs(k, selection="random")], Context(vectors, (labels + 1) % 3, 3, layer, seed))
        assert len(set(few.heads.tolist())) == k
        assert few.heads.tolist() == all_of_them.heads[:k].tolist() == other_labels.heads.tolist()
        chosen[seed] = tuple(few.heads)
    assert len(set(chosen.values())) > 1
    assert {head for heads in chosen.values() for head in heads} == set(range(6))


@pytest.mark.parametrize(
    ("method", "tied"),
    [
        (Savs(2), 4),
        (Savs(5), 0),
        (Savs(2, Scoring(criterion="balanced")), 4),
        (Savs(2, Scoring(per_class="recall"), vote="class-favoured"), 4),
        (Savs(2, selection="random"), 0),
        (Layers(1), 2),
        (Ridge(2), 4),
        (Logistic(last_layer=True), 0),
    ],
    ids=str,
)
def test_ties_at_the_cut_are_those_of_what_is_ranked(method, tied):
    labels = np.repeat([0, 1], 6)
    vectors = np.zeros((12, 5, 3))
    vectors[:, :4, :2] = np.eye(2)[labels][:, None]  # four heads know all
    vectors[:, 4] = 1.0
    vectors += np.random.default_rng(0).normal(size=vectors.shape) * 0.01
    vectors[:6, 4], vectors[6:, 4] = np.random.default_rng(1).normal(size=(2, 6, 3))  # and one next to nothing
    [learnt], _ = run([method], vectors, labels, vectors, 2, layer=np.array([0, 0, 1, 1, 1]))
    assert learnt.tied == tied


def nearest_neighbours(vectors, labels, unseen, heads, neighbours, classes):
    """Return the majority over heads of the commonest class among the nearest by cosine, the first of equal ones."""
    predicted = []
    for sample in unseen.tolist():
        votes = []
        for head in heads:
            cosines = [slow.cosine(sample[head], known) for known in vectors[:, head].tolist()]
            near = sorted(range(len(labels)), key=lambda i: -cosines[i])[:neighbours]
            of_class = [[1 + cosines[i] for i in near if labels[i] == label] for label in range(classes)]
            votes.append(max(range(classes), key=lambda label: (len(of_class[label]), sum(of_class[label]))))
        predicted.append(max(votes, key=lambda vote: (votes.count(vote), -votes.index(vote))))
    return predicted


@pytest.mark.parametrize("neighbours", [1, 3, 100])
@settings(max_examples=10)
@given(seed=seeds)
def test_neighbours_are_the_nearest_by_cosine(problem, neighbours, seed):
    (vectors, labels), (unseen, _) = problem(seed), problem(seed + 1, per_class=2)
    [learnt], [votes] = run([Neighbours(4, neighbours=neighbours)], vectors, labels, unseen, 3)
    expected = nearest_neighbours(vectors, labels, unseen, learnt.heads, neighbours, 3)
    assert votes.predicted.tolist() == expected


@settings(max_examples=10)
@given(seed=seeds)
def test_the_gaussian_is_the_mean_posterior_by_mahalanobis_distances(problem, seed):
    (vectors, labels), (unseen, _) = problem(seed, per_class=6), problem(seed + 1)
    [learnt], [votes] = run([Gaussian(4)], vectors, labels, unseen, 3)
    means = class_means(vectors, labels, 3)
    posteriors = []
    for head in learnt.heads:
        covariance = np.zeros((5, 5))
        for label in range(3):
            scaler = StandardScaler().fit(vectors[labels == label, head])
            shrunk, _ = ledoit_wolf(scaler.transform(vectors[labels == label, head]))
            covariance += scaler.scale_[:, None] * shrunk * scaler.scale_ / 3
        away = unseen[:, head, None] - means[:, head]
        squared = np.einsum("scd,de,sce->sc", away, np.linalg.inv(covariance), away)
        powers = np.exp(-(squared - squared.min(axis=1, keepdims=True)) / 2)
        posteriors.append(powers / powers.sum(axis=1, keepdims=True))
    assert votes.scores == pytest.approx(np.mean(posteriors, axis=0), rel=1e-6, abs=1e-9)
    assert (votes.predicted == np.mean(posteriors, axis=0).argmax(axis=1)).all()


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("strength", [0.01, 1, 50])
def test_ridge_is_its_closed_form(problem, classes, strength):
    (vectors, labels), (unseen, _) = problem(0, classes=classes, per_class=8), problem(1, classes=classes)
    [learnt], [votes] = run([Ridge(3, strength)], vectors, labels, unseen, classes)
    flat, new = (x[:, learnt.heads].reshape(len(x), -1) for x in (vectors, unseen))
    scaler = StandardScaler().fit(flat)
    x, targets = scaler.transform(flat), 2.0 * np.eye(classes)[labels] - 1
    weights = np.linalg.solve(x.T @ x + np.eye(15) / strength, x.T @ (targets - targets.mean(axis=0)))
    expected = scaler.transform(new) @ weights + targets.mean(axis=0)
    assert votes.scores == pytest.approx(expected)
    assert (votes.predicted == expected.argmax(axis=1)).all()


@pytest.mark.parametrize("name", ["linear-probe", "last-layer-probe", "mlp-probe"])
def test_probes_are_scikit_learns_on_standardised_heads(problem, name):
    (vectors, labels), (unseen, _) = problem(0, per_class=8), problem(1)
    method = make_setting(name, strength=0.3).method
    [learnt], [votes] = run([replace(method, k=3)], vectors, labels, unseen, 3, np.array([0, 0, 1, 1, 2, 2]), seed=9)
    if name == "last-layer-probe":
        assert learnt.heads.tolist() == [4, 5]
    model = (
        MLPClassifier((64,), solver="lbfgs", alpha=1e-3 / 0.3, max_iter=300, random_state=9)
        if name == "mlp-probe"
        else LogisticRegression(C=0.3, max_iter=1000)
    )
    flat, new = (x[:, learnt.heads].reshape(len(x), -1) for x in (vectors, unseen))
    expected = make_pipeline(StandardScaler(), model).fit(flat, labels).predict_proba(new)
    assert learnt.probabilities(votes.scores) == pytest.approx(expected)
    assert (votes.predicted == expected.argmax(axis=1)).all()


def test_baselines_learn_on_the_heads_that_savs_choose(problem):
    vectors, labels = problem(0, heads=10, per_class=8)
    probes = Neighbours, Gaussian, Logistic, Perceptron, Ridge
    learnt, _ = run([Savs(4), *(probe(4) for probe in probes)], vectors, labels, vectors, 3)
    assert len({tuple(one.heads) for one in learnt}) == 1


@pytest.mark.parametrize("name", ["linear-probe", "mlp-probe"])
def test_a_probe_that_stops_early_says_so(problem, monkeypatch, name):
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    (vectors, labels), _ = problem(0), problem(1)
    [done], _ = run([make_setting(name).method], vectors, labels, vectors, 3)
    assert done.report == {}
    for kind in (LogisticRegression, MLPClassifier):
        fit = kind.fit
        monkeypatch.setattr(kind, "fit", lambda self, *given, fit=fit: fit(self.set_params(max_iter=1), *given))
    [stopped], _ = run([make_setting(name).method], vectors, labels, vectors, 3)
    assert stopped.report == {"converged": False}
