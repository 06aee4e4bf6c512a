"""Votes on samples that are seen together: against a plain loop, in any order, in one pass over a store."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kit.sweeps import sweep
from savs_analyze.methods.context import Context
from savs_analyze.methods.learners import learn
from savs_analyze.methods.settings import make_setting
from savs_analyze.runs.results import Results
from savs_analyze.votes.batch import Batch
from savs_stores import BenchmarkInfo, open_store, write_store

seeds = st.integers(0, 2**32 - 1)


def drawn(seed, unseen=12, heads=4, dim=3, classes=3):
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), 4)
    means = generator.normal(size=(classes, heads, dim))
    vectors = means[labels] + 0.5 * generator.normal(size=(len(labels), heads, dim))
    asked = means[generator.integers(0, classes, unseen)] + 0.5 * generator.normal(size=(unseen, heads, dim))
    return Context(vectors, labels, classes, np.zeros(heads, dtype=np.int64)), asked


def votes(context, asked, **parameters):
    [learnt] = learn([make_setting("laplacian-shot", **parameters).method], context)
    return learnt, learnt.votes(Batch(np.arange(asked.shape[1]), asked))


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@example(3480113, 3, 0.5, 1.0)  # it settles so slowly that 100 rounds were too few
@given(seeds, st.integers(1, 4), st.sampled_from([0.05, 0.5]), st.sampled_from([0.1, 1.0]))
def test_it_is_the_plain_fixed_point(seed, neighbours, temperature, strength):
    context, asked = drawn(seed)
    learnt, found = votes(context, asked, k=2, neighbours=neighbours, temperature=temperature, strength=strength)
    x = [np.concatenate([unit(one[head]) for head in learnt.heads]) for one in asked]
    u = [np.concatenate([unit(mean[head]) for head in learnt.heads]) for mean in context.centroids]
    near = [
        sorted((p for p in range(len(x)) if p != q), key=lambda p: -x[q] @ x[p])[:neighbours] for q in range(len(x))
    ]
    logits = np.array([[one @ mean / 2 / temperature for mean in u] for one in x])
    said = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for _ in range(3000):
        raised = np.exp(logits + strength * np.array([said[of].sum(axis=0) for of in near]))
        said = raised / raised.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.scores, said, atol=1e-4)


@given(seeds, st.permutations(range(12)))
def test_the_order_of_the_samples_makes_no_difference(seed, order):
    context, asked = drawn(seed)
    _, one = votes(context, asked, k=2)
    _, other = votes(context, asked[list(order)], k=2)
    np.testing.assert_allclose(other.scores, one.scores[list(order)], atol=1e-9)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_samples_have_fewer_neighbours(count):
    context, asked = drawn(0, unseen=count)
    _, found = votes(context, asked, k=2, neighbours=5)
    np.testing.assert_allclose(found.scores.sum(axis=1), 1)


def test_a_sweep_asks_it_of_all_tested_samples_at_once(tmp_path):
    generator = np.random.default_rng(0)
    labels = generator.permutation(np.repeat(np.arange(3), 40))
    heads = generator.normal(size=(3, 6, 4))[labels] + generator.normal(size=(120, 6, 4))
    store = tmp_path / "toy.zarr"
    write_store(
        store,
        benchmark=BenchmarkInfo("toy", {"all": ["a", "b", "c"]}),
        samples={"label": ["abc"[label] for label in labels], "split": ["either"] * len(labels)},
        model="toy",
        heads=heads.astype(np.float16),
        shard_samples=16,
    )
    sweep([store], tmp_path / "out", methods=["laplacian-shot", "savs"], heads=(3,), shots=4, draws=2)
    vectors = open_store(store)["toy"]
    cells = [cell for cell in Results(tmp_path / "out").loaded() if cell.facts.method == "laplacian-shot"]
    assert len(cells) == 2
    for cell in cells:
        support, test = np.array(cell.facts.support), cell.arrays["sample"]
        context = Context(vectors.read(support), labels[support], 3, vectors.heads.layer)
        _, found = votes(context, vectors.read(test), k=3)
        assert cell.arrays["predicted"][0].tolist() == found.predicted.tolist()


@pytest.mark.parametrize(
    "wrong", [{"k": 0}, {"neighbours": 0}, {"temperature": 0}, {"strength": -1}], ids=lambda wrong: next(iter(wrong))
)
def test_numbers_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        make_setting("laplacian-shot", **wrong)
