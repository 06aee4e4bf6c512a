"""Methods by name, their hyperparameters, and which of them are the same by algebra."""

import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savs_analyze.cells import cap_settings, parse_grid, parse_grids
from savs_analyze.learners import learn, predict
from savs_analyze.learnt import Support
from savs_analyze.methods import METHODS, SELECTIONS, ZERO_SHOT, Baseline, Savs
from savs_analyze.selection import Scoring
from savs_analyze.settings import Setting, expand_settings, make_setting
from savs_analyze.similarity import Similarity
from savs_analyze.voting import CLASS_VOTES

GRID = {"a": [0.3, 1.5], "b": [0.3, 1.5], "gamma": [0.01, 20], "beta": [-2, 1], "temperature": [0.05, 3]}
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
    names = [name for name in METHODS if isinstance(make_setting(name).method, Savs)]
    return [s for order in (False, True) for s in expand_settings(names, {**GRID, "k": k}, papers_order=order)]


def run(methods, problem, seed, shape, restricted=False):
    """Return every method's heads and predictions of unseen samples, nothing made canonical."""
    vectors, labels = problem(seed, **shape)
    unseen, _ = problem(seed + 1, **shape)
    layer = np.arange(shape["heads"]) // 3
    support = Support(vectors, labels, shape["classes"], layer, seed=3)
    learnt = learn(methods, support)
    allowed = None
    if restricted:
        generator = np.random.default_rng(seed)
        allowed = generator.random((len(unseen), shape["classes"])) < 0.5
        allowed[np.arange(len(unseen)), generator.integers(0, shape["classes"], len(unseen))] = True
    votes = predict(learnt, np.arange(shape["heads"]), unseen, support.centroids, allowed)
    return [
        (one.heads.tolist(), one.of_class.tolist(), of.predicted.tolist())
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
            simplest = make_setting(setting.same_as, papers_order=setting.papers_order, k=7)
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
    ("name", "words"),
    [
        ("svas", "there is no method 'svas'; did you mean 'savs'\\? \\(savs-analyze methods lists them\\)"),
        ("savs-rbff", "did you mean 'savs-rbf'"),
        ("class-favored", "did you mean 'class-favoured'"),
        ("zeroshot", "did you mean 'zero-shot'"),
        ("xyzzy", "there is no method 'xyzzy' \\(savs-analyze methods lists them\\)"),
    ],
)
def test_unknown_methods_suggest_the_nearest(name, words):
    for make in (make_setting, lambda name: expand_settings([name], {})):
        with pytest.raises(ValueError, match=words):
            make(name)


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("savs", {"k": 0}, "k must be at least 1, got 0"),
        ("savs", {"k": -3}, "k must be at least 1, got -3"),
        ("savs", {"k": 2.5}, "k must be a whole number, got 2.5"),
        ("knn", {"k": 0}, "k must be at least 1, got 0"),
        ("knn", {"neighbours": 0}, "neighbours must be at least 1, got 0"),
        ("layers", {"layers": 0}, "k must be at least 1"),
        ("ridge", {"strength": 0}, "strength must be above 0, got 0"),
        ("linear-probe", {"strength": -1.0}, "strength must be above 0, got -1"),
        ("savs-rbf", {"gamma": 0}, "gamma must be above 0"),
        ("savs-rbf", {"gamma": float("inf")}, "gamma must be a finite number, got inf"),
        ("savs-sigmoid", {"beta": float("nan")}, "beta must be a finite number, got nan"),
        ("savs-artanh", {"a": -1}, "a and b must be above 0"),
        ("savs-soft", {"temperature": 0}, "temperature must be above 0"),
        ("savs", {"gamma": 1.0}, "savs has no gamma; it has k"),
        ("savs-soft", {"gamma": 1.0, "a": 1}, "savs-soft has no a, gamma; it has k, temperature"),
        (ZERO_SHOT, {"k": 20}, "zero-shot has no k; it has nothing to set"),
        ("lasso", {"C": 0}, "C must be above 0, got 0"),
        ("lasso", {"layers": 0}, "layers must be at least 1, got 0"),
        ("sparse-group-lasso", {"alpha": -1}, "alpha must be above 0, got -1"),
        ("sparse-group-lasso", {"l1_ratio": 2}, "l1_ratio must be from 0 to 1, got 2"),
        ("sparse-group-lasso", {"C": 1}, "sparse-group-lasso has no C; it has layers, alpha, l1_ratio"),
        ("lasso", {"solver": "saga"}, "unknown solver or scaling: 'saga', 'none'"),
        ("lasso", {"scaling": "much"}, "unknown solver or scaling: 'working-set', 'much'"),
        ("sparse-group-lasso", {"solver": "liblinear"}, "the solver liblinear knows the lasso only"),
        ("lasso-one-vs-rest", {"solver": "group-lasso"}, "the solver group-lasso knows the multinomial loss only"),
    ],
)
def test_bad_hyperparameters_are_named(name, parameters, words):
    with pytest.raises(ValueError, match=words):
        make_setting(name, **parameters)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Savs(selection="best"), "unknown selection or vote: 'best', 'majority'"),
        (lambda: Savs(vote="loudest"), "unknown selection or vote: 'top', 'loudest'"),
        (lambda: Savs(vote="class-favoured"), "vote 'class-favoured' and heads for all classes do not fit"),
        (lambda: Savs(scoring=Scoring(per_class="recall")), "vote 'majority' and heads recall do not fit"),
        (lambda: Savs(selection="layers", vote="soft"), "the selection 'layers' has no vote 'soft'"),
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
    fitting = [Savs(2, selection=s, vote=v) for s, votes in SELECTIONS.items() for v in votes if v not in CLASS_VOTES]
    for heads, _, predicted in run(fitting, problem, 0, shape):
        assert heads
        assert set(predicted) <= {0, 1, 2}


@pytest.mark.parametrize(
    ("text", "name", "values"),
    [
        ("gamma=1", "gamma", [1]),
        ("gamma=0.1,1,10", "gamma", [0.1, 1, 10]),
        ("gamma=0.01:100:5log", "gamma", [0.01, 0.1, 1, 10, 100]),
        ("a=0.3:1.5:6lin", "a", [0.3, 0.54, 0.78, 1.02, 1.26, 1.5]),
        ("a=1e-5:1e2:8log", "a", [1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100]),
        ("beta=-1:1:3lin", "beta", [-1, 0, 1]),
        ("beta=2:2:1lin", "beta", [2]),
        ("gamma=10:1:2log", "gamma", [10, 1]),
    ],
)
def test_grids(text, name, values):
    assert parse_grid(text) == (name, values)


@pytest.mark.parametrize(
    "text",
    [
        "",
        *"gamma =1 gamma= gamma==1 gamma=a gamma=1, gamma=1,,2 gamma=1:2 gamma=1:2:3 gamma=1:2:log".split(),
        *"gamma=1:2:0log gamma=1:2:-1lin gamma=1:2:1.5lin gamma=0:1:3log gamma=1:2:3:4log".split(),
    ],
)
def test_what_is_no_grid_is_refused_with_all_forms(text):
    with pytest.raises(ValueError, match=r"is no grid: write gamma=.*5log or a=.*6lin"):
        parse_grid(text)


def test_a_grid_that_is_given_twice_has_both():
    texts = ["gamma=1,2", "a=0.5", "gamma=2:8:3lin"]
    assert parse_grids(texts) == {"gamma": [1, 2, 5, 8], "a": [0.5]}
    assert parse_grids([]) == {}


def test_expanding_gives_every_combination_of_what_each_method_has():
    grid = {"k": [5, 20], "gamma": [0.1, 1], "temperature": [0.5]}
    found = expand_settings(["savs", "savs-rbf", "savs-soft", "layers", "savs"], grid)
    assert [(setting.name, dict(setting.parameters)) for setting in found] == [
        ("savs", {"k": 5}),
        ("savs", {"k": 20}),
        *[("savs-rbf", {"k": k, "gamma": gamma}) for k in (5, 20) for gamma in (0.1, 1)],
        *[("savs-soft", {"k": k, "temperature": 0.5}) for k in (5, 20)],
        ("layers", {"layers": 2}),
    ]


@pytest.mark.parametrize(
    ("names", "grid", "words"),
    [
        (["savs"], {"gamma": [1.0]}, "no method here has gamma: savs"),
        (["savs", "ridge"], {"gamma": [1.0], "beta": [0.0], "k": [5]}, "no method here has beta, gamma: savs, ridge"),
        ([ZERO_SHOT], {"k": [5]}, "no method here has k: zero-shot"),
    ],
)
def test_a_hyperparameter_that_no_method_has_is_refused(names, grid, words):
    with pytest.raises(ValueError, match=words):
        expand_settings(names, grid)


def test_settings_are_capped_by_what_there_is_each_once():
    found = expand_settings(["savs", "layers", "savs-rbf"], {"k": [5, 50, 100], "layers": [1, 9, 30], "gamma": [200]})
    capped = cap_settings(found, heads=12, layers=3)
    assert [(setting.name, dict(setting.parameters)) for setting in capped] == [
        ("savs", {"k": 5}),
        ("savs", {"k": 12}),
        ("layers", {"layers": 1}),
        ("layers", {"layers": 3}),
        ("savs-rbf", {"k": 5, "gamma": 200}),
        ("savs-rbf", {"k": 12, "gamma": 200}),
    ]


@pytest.mark.parametrize("restricted", [False, True])
@pytest.mark.parametrize("papers_order", [False, True])
@pytest.mark.parametrize("name", METHODS)
def test_settings_survive_json(name, papers_order, restricted):
    setting = make_setting(name, restricted, papers_order)
    assert Setting.from_json(json.loads(json.dumps(setting.to_json()))) == setting


def test_columns_name_settings_apart():
    grid = {**GRID, "k": [5, 20], "layers": [1, 2], "neighbours": [1, 5], "strength": [0.1, 1.0]}
    found = [s for restricted in (False, True) for s in expand_settings(list(METHODS), grid, restricted)]
    columns = [setting.column() for setting in found]
    for one, other in combinations(range(len(found)), 2):
        assert columns[one] != columns[other], (found[one], found[other])


@pytest.mark.parametrize(
    ("setting", "column"),
    [
        (make_setting("savs"), "SAVs, 20 heads"),
        (make_setting("savs-rbf", k=5, gamma=0.5), "savs-rbf, 5 heads, gamma=0.5"),
        (make_setting("layers", layers=3, restricted=True), "layers, 3 layers, printed options"),
        (make_setting(ZERO_SHOT), "zero-shot"),
        (make_setting("lasso", layers=1), "lasso, 1 layer, C=1"),
        (make_setting("lasso", solver="liblinear"), "lasso, 4 layers, C=1, by liblinear"),
        (
            make_setting("sparse-group-lasso", True, scaling="head_rms", l1_ratio=0),
            "sparse-group-lasso, 4 layers, alpha=0.01, l1_ratio=0, head_rms, printed options",
        ),
    ],
)
def test_columns(setting, column):
    assert setting.column() == column


def test_the_papers_lasso_is_liblinears():
    assert make_setting("lasso", papers_order=True).method.solver == "liblinear"
    assert make_setting("lasso", papers_order=True, solver="working-set").method.solver == "working-set"
    assert make_setting("sparse-group-lasso", papers_order=True).method.solver == "working-set"


def test_solvers_and_scalings_are_for_the_lasso_and_its_relatives():
    found = expand_settings(["savs", "lasso"], {}, solver="liblinear", scaling="head_rms")
    assert [(setting.solver, setting.scaling) for setting in found] == [("", ""), ("liblinear", "head_rms")]
    for wanted in ({"solver": "liblinear"}, {"scaling": "head_rms"}):
        with pytest.raises(ValueError, match=f"no method here has a {next(iter(wanted))}: savs, ridge"):
            expand_settings(["savs", "ridge"], {}, **wanted)


def test_the_papers_order_votes_by_cosine_and_leaves_baselines_alone():
    assert make_setting("savs-rbf", papers_order=True).method.voting == Similarity("cosine")
    assert make_setting("savs-rbf").method.voting == Similarity("rbf")
    assert make_setting("knn", papers_order=True).method == Baseline("knn")
