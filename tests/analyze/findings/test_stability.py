"""How alike selected heads are, against brute force."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom

from kit.sweeps import sweep
from savs_analyze.findings.stability import chance_jaccard, mean_jaccard, stability
from savs_analyze.runs.results import Results


@given(one=st.integers(0, 4), other=st.integers(0, 4), total=st.integers(4, 7))
def test_the_chance_is_the_mean_over_all_pairs_of_sets(one, other, total):
    first = set(range(one))
    overlaps = [
        len(first & set(s)) / len(first | set(s)) if one + other else 1.0 for s in combinations(range(total), other)
    ]
    assert chance_jaccard(one, other, total) == pytest.approx(np.mean(overlaps))


@pytest.mark.parametrize(
    ("one", "other", "total"), [(20, 20, 784), (50, 700, 784), (2560, 2560, 5120), (784, 784, 784)]
)
def test_chance_of_many_heads_is_scipys(one, other, total):
    common = np.arange(min(one, other) + 1)
    expected = hypergeom.pmf(common, total, one, other) @ (common / (one + other - common))
    assert chance_jaccard(one, other, total) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("draws", "value"),
    [([{1, 2}, {1, 2}], 1), ([{1}, {2}], 0), ([{1, 2}, {2, 3}, {1, 2}], (1 / 3 + 1 + 1 / 3) / 3), ([set(), set()], 1)],
)
def test_jaccard(draws, value):
    assert mean_jaccard(draws) == pytest.approx(value)


def test_planted_heads_are_stable_and_random_ones_are_not(toys, tmp_path):
    sweep([toys(4).path], tmp_path, shots=5, draws=4, heads=(3,), methods=["zero-shot", "savs", "random"])
    found = stability(Results(tmp_path).loaded()).set_index("setting")
    assert found.loc["SAVs, 3 heads", ["draws", "heads", "in all draws", "jaccard"]].tolist() == [4, 3, 3, 1]
    assert found.loc["random, 3 heads", "jaccard"] < 0.6
    assert found.loc["random, 3 heads", "by chance"] == pytest.approx(chance_jaccard(3, 3, 12))
    assert np.isnan(mean_jaccard([{1}]))
