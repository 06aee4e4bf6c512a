"""Methods by name, and which of them are the same by algebra."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.sweeps import GRID
from savs_analyze.methods.context import Context
from savs_analyze.methods.kinds.heads import SELECTIONS, Savs
from savs_analyze.methods.kinds.layers import Layers
from savs_analyze.methods.learners import learn, predict
from savs_analyze.methods.protocols import PROTOCOLS
from savs_analyze.methods.recipes import METHODS, ZERO_SHOT
from savs_analyze.methods.settings import expand_settings, make_setting
from savs_analyze.parts.selection import Scoring
from savs_analyze.votes.batch import Batch
from savs_analyze.votes.heads import HeadVotes
from savs_analyze.votes.vote import VOTES

seeds = st.integers(0, 2**32 - 1)
# Draws have equally many samples of every class.
shapes = st.fixed_dictionaries(
    {
        "classes": st.integers(1, 5),
        "per_class": st.integers(2, 6),
        "heads": st.integers(1, 12),
        "dim": st.integers(2, 6),
        "pull": st.sampled_from([0, 0.5, 2]),
    }
)


def every_setting(k):
    """Return all methods with several values of all their hyperparameters, also in the papers' order."""
    names = [name for name in METHODS if isinstance(make_setting(name).method, Savs | Layers)]
    return [s for way in ("", *PROTOCOLS) for s in expand_settings(names, {**GRID, "k": k}, protocol=way)]


def run(methods, problem, seed, shape, restricted=False):
    """Return every method's heads and predictions of unseen samples, nothing made canonical."""
    vectors, labels = problem(seed, **shape)
    unseen, _ = problem(seed + 1, **shape)
    layer = np.arange(shape["heads"]) // 3
    support = Context(vectors, labels, shape["classes"], layer, seed=3)
    learnt = learn(methods, support)
    allowed = None
    if restricted:
        generator = np.random.default_rng(seed)
        allowed = generator.random((len(unseen), shape["classes"])) < 0.5
        allowed[np.arange(len(unseen)), generator.integers(0, shape["classes"], len(unseen))] = True
    votes = predict(learnt, Batch(np.arange(shape["heads"]), unseen, allowed))
    return [
        (
            one.heads.tolist(),
            np.asarray(one.own if isinstance(one, HeadVotes) else None).tolist(),
            of.predicted.tolist(),
        )
        for one, of in zip(learnt, votes, strict=True)
    ]


@settings(max_examples=20)
@given(seed=seeds, shape=shapes, k=st.integers(1, 14), restricted=st.booleans())
def test_settings_that_are_called_the_same_predict_the_same(problem, seed, shape, k, restricted):
    methods = [replace(setting.method, restricted=restricted) for setting in every_setting([k])]
    changed = [method for method in methods if method != method.canonical]
    found = run(changed, problem, seed, shape, restricted)
    expected = run([method.canonical for method in changed], problem, seed, shape, restricted)
    for method, mine, canonical in zip(changed, found, expected, strict=True):
        assert mine == canonical, method


@settings(max_examples=3)
@given(seed=seeds, shape=shapes, k=st.integers(1, 14))
def test_recipes_that_are_called_the_same_predict_the_same(problem, every_recipe, seed, shape, k):
    changed = [recipe for recipe in every_recipe(k) if recipe != recipe.canonical]
    found = run(changed, problem, seed, shape)
    expected = run([recipe.canonical for recipe in changed], problem, seed, shape)
    for recipe, mine, canonical in zip(changed, found, expected, strict=True):
        assert mine == canonical, recipe


def test_what_is_canonical_stays_so(every_recipe):
    for recipe in every_recipe(3):
        assert recipe.canonical.canonical == recipe.canonical


@pytest.mark.parametrize(
    ("name", "same_as"),
    [
        ("savs", ""),
        ("savs-penalty", "savs"),
        ("savs-artanh", "savs"),
        ("savs-balanced", "savs"),
        ("savs-l2", ""),
        ("savs-rbf", "savs-l2"),
        ("savs-laplacian", "savs-l1"),
        ("savs-sigmoid", "savs-dot"),
        ("paper-rbf", ""),
        ("savs-margin", ""),
        ("savs-penalty-score", ""),
        ("savs-artanh-score", ""),
        ("savs-loo", ""),
        ("savs-weighted", ""),
        ("savs-soft", ""),
        ("class-favoured", ""),
        ("class-similarity", ""),
        ("random", ""),
        ("layers", ""),
        ("knn", ""),
        (ZERO_SHOT, ""),
    ],
)
@pytest.mark.parametrize("k", [1, 20])
def test_same_as_names_the_simplest(name, same_as, k):
    chosen = {"k": k} if "k" in METHODS[name].defaults else {}
    assert make_setting(name, **chosen).same_as == same_as


def test_same_as_is_a_method_with_the_same_canonical_recipe_and_itself_no_other():
    for setting in every_setting([7]):
        if setting.same_as:
            simplest = make_setting(setting.same_as, protocol=setting.protocol, k=7)
            assert simplest.method.canonical == setting.method.canonical
            assert not simplest.same_as


def test_all_pairs_of_artanh_and_all_gammas_are_one():
    grid = {"a": np.linspace(0.3, 1.5, 6).tolist(), "b": np.linspace(0.3, 1.5, 6).tolist(), "k": [20]}
    pairs = expand_settings(["savs", "savs-penalty", "savs-artanh"], grid)
    assert len(pairs) == 1 + 1 + 36
    assert len({setting.method.canonical for setting in pairs}) == 1
    kernels = expand_settings(["savs-rbf", "savs-l2"], {"gamma": [1e-5, 1, 1e5], "k": [20]})
    assert len({setting.method.canonical for setting in kernels}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("savs-l2", {}), ("savs", {})),
        (("savs-margin", {}), ("savs-penalty-score", {})),
        (("savs-artanh-score", {"a": 1.5}), ("savs-artanh-score", {"a": 0.3})),
        (("paper-rbf", {"gamma": 1}), ("paper-rbf", {"gamma": 0.01})),
        (("savs-soft", {"temperature": 0.05}), ("savs-soft", {"temperature": 3})),
        (("savs-loo", {}), ("savs", {})),
        (("savs-weighted", {}), ("savs", {})),
        (("class-favoured", {}), ("class-favoured-balanced", {})),
    ],
)
def test_what_does_differ_is_not_called_the_same(problem, one, other):
    pair = [make_setting(name, k=4, **parameters).method for name, parameters in (one, other)]
    assert pair[0].canonical != pair[1].canonical
    shape = {"classes": 4, "per_class": 4, "heads": 12, "dim": 4, "pull": 0.5}
    differ = [len({str(found) for found in run(pair, problem, seed, shape)}) == 2 for seed in range(30)]
    assert any(differ)


def test_methods_have_a_formula_a_source_and_their_defaults():
    for name, recipe in METHODS.items():
        assert recipe.formula, name
        assert recipe.source, name
        assert dict(make_setting(name).parameters) == recipe.defaults


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Savs(selection="best"), "unknown selection or vote: 'best', 'majority'"),
        (lambda: Savs(vote="loudest"), "unknown selection or vote: 'top', 'loudest'"),
        (lambda: Savs(vote="class-favoured"), "vote 'class-favoured' and heads for all classes do not fit"),
        (lambda: Savs(scoring=Scoring(per_class="recall")), "vote 'majority' and heads recall do not fit"),
        (lambda: Savs(selection="random", vote="weighted"), "the selection 'random' has no vote 'weighted'"),
        (
            lambda: Savs(selection="random", vote="class-favoured", scoring=Scoring(per_class="recall")),
            "the selection 'random' has no vote 'class-favoured'",
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_every_selection_that_is_not_refused_predicts(problem):
    shape = {"classes": 3, "per_class": 4, "heads": 6, "dim": 4}
    votes = {"top": VOTES, "random": [name for name, vote in VOTES.items() if vote.of_any]}
    assert set(votes) == set(SELECTIONS)
    fitting = [Savs(2, selection=s, vote=v) for s in votes for v in votes[s] if not VOTES[v].per_class] + [Layers(2)]
    for heads, _, predicted in run(fitting, problem, 0, shape):
        assert heads
        assert set(predicted) <= {0, 1, 2}
