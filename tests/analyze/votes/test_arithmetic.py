"""Numbers of half precision without torch: each as torch has it."""

from copy import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savs_analyze.votes.arithmetic import (
    LARGEST,
    ROUNDINGS,
    Arithmetic,
    MeanError,
    rounded,
    rounded_cosine,
    rounded_mean,
)
from savs_analyze.votes.similarity import Similarity, class_means, similarities

torch = pytest.importorskip("torch")
HALF = ["float16", "bfloat16"]
# Ties between two neighbours, the largest and the smallest numbers, and what is none.
EDGES = np.array(
    [1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-11, 1 + 3 * 2**-11, 65504, 65519.99, 65520, 3.4e38, 2**-24, 2**-25, 1e-40, 0],
    dtype=np.float32,
)


@pytest.mark.parametrize("name", ROUNDINGS)
@settings(max_examples=200)
@given(bits=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=50))
def test_numbers_round_as_torch_rounds_them(name, bits):
    for values in (np.array(bits, dtype=np.uint32).view(np.float32), EDGES, -EDGES, np.float32([np.inf, np.nan])):
        expected = torch.from_numpy(values).to(getattr(torch, name)).float().numpy()
        np.testing.assert_array_equal(rounded(values, name), expected)


@pytest.mark.parametrize("name", HALF)
@pytest.mark.parametrize("scale", [0.01, 1, 30])
def test_means_are_those_of_tensors_that_are_summed_in_place(name, scale):
    vectors = np.random.default_rng(0).normal(size=(20, 3, 8)).astype(np.float16) * np.float16(scale)
    total = torch.zeros(3, 8, dtype=getattr(torch, name))
    for vector in vectors:
        total += torch.from_numpy(vector).to(total.dtype)
    found = rounded_mean(vectors, name)
    np.testing.assert_array_equal(found, (total / len(vectors)).float().numpy())
    assert not np.array_equal(found, vectors.astype(np.float64).mean(axis=0))


@pytest.mark.parametrize("name", HALF)
@pytest.mark.parametrize(("dim", "equal"), [(5, 1.0), (128, 0.95)])  # sums of many depend on their order
def test_cosines_are_torchs(name, dim, equal):
    generator = np.random.default_rng(1)
    x, u = generator.normal(size=(4, 50, dim)), generator.normal(size=(4, 3, dim))
    found = rounded_cosine(x, u, name)
    tensors = [torch.from_numpy(of.astype(np.float32)).to(getattr(torch, name)) for of in (x, u)]
    expected = torch.nn.functional.cosine_similarity(tensors[0][:, :, None], tensors[1][:, None], dim=-1).float()
    assert (found == expected.numpy()).mean() >= equal
    np.testing.assert_allclose(found, expected.numpy(), atol={"float16": 2**-11, "bfloat16": 2**-8}[name])


def test_a_vector_without_direction_is_like_nothing():
    x = np.zeros((1, 1, 4))
    assert rounded_cosine(x, np.ones((1, 2, 4)), "bfloat16").tolist() == [[[0, 0]]]


def test_an_unknown_type_is_refused():
    with pytest.raises(ValueError, match="unknown arithmetic 'float8'; there is float16, bfloat16, float32"):
        Arithmetic("float8")


@pytest.mark.parametrize("name", ROUNDINGS)
def test_the_largest_number_is_torchs(name):
    assert LARGEST[name] == torch.finfo(getattr(torch, name)).max


@pytest.mark.parametrize(
    ("values", "name", "words"),
    [
        (
            [3e4] * 3,
            "float16",
            "class 1: its vectors, or their sum, are too large for float16, whose largest number is",
        ),
        ([7e4, -7e4, 0], "float16", "65504: compute in --arithmetic bfloat16"),
        ([3e38] * 3, "bfloat16", r"too large for bfloat16, whose largest number is 3.38953e\+38$"),
        ([np.inf, 0, 0], "float16", "class 1 has vectors that are not finite"),
        ([3e4, 3e4, 0], "float16", ""),
    ],
)
def test_a_mean_that_is_too_large_says_so_and_names_its_class(values, name, words):
    """All vectors of 3e4 are finite; their sum is no number of float16."""
    vectors = np.array([1, 1, 1, *values], dtype=np.float32)[:, None, None]
    labels = np.repeat([0, 1], 3)
    if not words:
        assert class_means(vectors, labels, 2, arithmetic=name)[1, 0, 0] == 2e4
        return
    with pytest.raises(ValueError, match=words) as raised:
        class_means(vectors, labels, 2, arithmetic=name)
    if isinstance(raised.value, MeanError):
        there = copy(raised.value.of(["ant", "bee"]))  # made as one from another process is
        assert str(there) == str(raised.value).replace("class 1", "class 'bee'")


@pytest.mark.parametrize(
    ("kind", "value", "means", "of", "fits"),
    [
        ("cosine", 7e4, "float16", "float16", False),
        ("cosine", 7e4, "float16", "float32", False),
        ("cosine", 6e4, "float16", "float16", False),  # the length of four of them
        ("cosine", 3e4, "float16", "float16", True),
        ("cosine", 6e4, "float16", "float32", True),
        ("cosine", 7e4, "bfloat16", "bfloat16", True),
        ("l1", 3e4, "float16", "float16", False),
        ("l1", 3e4, "float16", "float32", True),
    ],
)
def test_a_vector_that_is_too_large_is_refused_and_never_no_number(kind, value, means, of, fits):
    """Its cosines were NaN: SAVs said the first class with probability 1, and savs-soft gave NaN."""
    vectors = np.array([[[1, 0, 0, 0]], [[value, value, -value, value]]], dtype=np.float32)
    centroids = np.random.default_rng(0).normal(size=(2, 1, 4))
    asked = Similarity(kind, arithmetic=Arithmetic(means, of))
    if fits:
        exact = similarities(Similarity(kind), vectors, centroids)
        np.testing.assert_allclose(similarities(asked, vectors, centroids), exact, rtol=0.05, atol=0.02)
        return
    with pytest.raises(ValueError, match="a vector, its length or its similarity is too large for float16"):
        similarities(asked, vectors, centroids)
