"""Settings: what a user may ask for, how it is written, and what is refused."""

import json
from itertools import combinations, product

import pytest

from kit.sweeps import GRID
from savs_analyze.methods.kinds.probes import Neighbours
from savs_analyze.methods.protocols import PROTOCOLS
from savs_analyze.methods.recipes import METHODS, ZERO_SHOT
from savs_analyze.methods.settings import Setting, expand_settings, make_setting
from savs_analyze.votes.similarity import Similarity


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


def test_an_arithmetic_that_no_method_computes_in_is_refused():
    """It was dropped unsaid, and the table spoke of double precision."""
    with pytest.raises(ValueError, match="no method here computes in float16: lda, lasso; only those that keep"):
        expand_settings(["lda", "lasso"], {}, protocol="extension", arithmetic="float16")
    found = expand_settings(["lda", "savs"], {}, protocol="extension", arithmetic="float16")
    assert [setting.arithmetic for setting in found] == ["", "float16"]


@pytest.mark.parametrize("restricted", [False, True])
@pytest.mark.parametrize(
    ("protocol", "arithmetic"), [("", ""), *product(PROTOCOLS, ["", "float16"]), ("extension", "bfloat16")]
)
@pytest.mark.parametrize("name", METHODS)
def test_settings_survive_json(name, protocol, arithmetic, restricted):
    setting = make_setting(name, restricted, protocol, arithmetic=arithmetic)
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
    assert make_setting("lasso", protocol="extension").method.solver == "liblinear"
    assert make_setting("lasso", protocol="extension", solver="working-set").method.solver == "working-set"
    assert make_setting("sparse-group-lasso", protocol="extension").method.solver == "working-set"


def test_solvers_and_scalings_are_for_the_lasso_and_its_relatives():
    found = expand_settings(["savs", "lasso"], {}, solver="liblinear", scaling="head_rms")
    assert [(setting.solver, setting.scaling) for setting in found] == [("", ""), ("liblinear", "head_rms")]
    for wanted in ({"solver": "liblinear"}, {"scaling": "head_rms"}):
        with pytest.raises(ValueError, match=f"no method here has a {next(iter(wanted))}: savs, ridge"):
            expand_settings(["savs", "ridge"], {}, **wanted)


def test_the_papers_order_votes_by_cosine_and_leaves_baselines_alone():
    assert make_setting("savs-rbf", protocol="extension").method.voting == Similarity("cosine")
    assert make_setting("savs-rbf").method.voting == Similarity("rbf")
    assert make_setting("knn", protocol="extension").method == Neighbours()
