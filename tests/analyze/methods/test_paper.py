"""SAVs as the first paper writes them, and as the code of both papers runs them, followed step by step."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import transcription as slow
from savs_analyze.methods.context import Context
from savs_analyze.methods.estimator import SAVClassifier
from savs_analyze.methods.kinds.heads import Savs
from savs_analyze.methods.learners import learn, predict
from savs_analyze.methods.protocols import PROTOCOLS
from savs_analyze.methods.recipes import METHODS
from savs_analyze.methods.settings import make_setting
from savs_analyze.parts.selection import tied_at_cut
from savs_analyze.votes.batch import Batch
from savs_analyze.votes.similarity import Similarity

seeds = st.integers(0, 2**32 - 1)


def planted(seed, classes, per_class=12, heads=24, dim=8):
    """Return random activations in which heads differ in how much they know."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), per_class)
    strength = np.linspace(0, 3, heads)
    directions = generator.normal(size=(classes, heads, dim))
    vectors = generator.normal(size=(len(labels), heads, dim)) + strength[:, None] * directions[labels]
    tests = generator.normal(size=(40, heads, dim)) + strength[:, None] * directions[generator.integers(0, classes, 40)]
    return vectors, labels, tests


def clean_cut(counts):
    """Return a number of heads near the middle at which no two heads tie."""
    return min((k for k in range(1, len(counts)) if not tied_at_cut(counts, k)), key=lambda k: abs(k - 8))


def by_protocol(name, protocol, k, problem, order=None, arithmetic=""):
    """Return what a method learns from (vectors, labels, tests), and what it predicts."""
    vectors, labels, tests = problem
    context = Context(vectors, labels, int(labels.max()) + 1, np.zeros(vectors.shape[1], dtype=np.int64), order=order)
    learnt = learn([make_setting(name, protocol=protocol, arithmetic=arithmetic, k=k).method], context)
    [votes] = predict(learnt, Batch(np.arange(vectors.shape[1]), tests))
    return learnt[0], votes.predicted.tolist()


def few_of_many(problem, seed, classes, heads, tied):
    """Return so few samples that heads tie at the cut and in the vote; `tied` ones have vectors without direction.

    These are as near to every class, so that the order of the classes decides; labels come in any order.
    """
    (vectors, labels), (tests, _) = problem(seed, classes, heads=heads, pull=1), problem(seed + 1, classes, heads=heads)
    if tied:
        generator = np.random.default_rng(seed)
        for some in (vectors, tests):
            some[generator.random(some.shape[:2]) < 0.4] = 0
    return vectors, labels, tests


def order_of(labels):
    return np.array(list(dict.fromkeys(labels.tolist())))


@pytest.mark.parametrize("classes", [2, 4, 10])
@pytest.mark.parametrize("seed", range(2))
def test_counts_heads_and_predictions_equal_the_formulas(classes, seed):
    vectors, labels, tests = planted(seed, classes)
    features, unseen = vectors.reshape(len(vectors), -1), tests.reshape(len(tests), -1)
    counts = SAVClassifier(head_dim=8).fit(features, labels).counts_
    k = clean_cut(counts.astype(float))
    model = SAVClassifier(n_heads=k, head_dim=8).fit(features, labels)
    expected = slow.Savs(Savs(k), vectors.tolist(), labels.tolist(), classes, [0] * 24)
    assert model.counts_.tolist() == expected.values
    assert model.heads_.tolist() == expected.heads
    assert set(expected.heads) == set(sorted(range(24), key=lambda head: -counts[head])[:k])
    assert model.predict(unseen).tolist() == [expected.votes(sample)[0] for sample in tests.tolist()]


problems = given(
    seed=seeds, classes=st.integers(1, 4), k=st.integers(1, 9), heads=st.integers(1, 8), tied=st.booleans()
)


@pytest.mark.parametrize("protocol", ["savs", "extension"])
@settings(max_examples=40)
@problems
def test_each_protocol_follows_its_papers_code(problem, protocol, seed, classes, k, heads, tied):
    vectors, labels, tests = few = few_of_many(problem, seed, classes, heads, tied)
    learnt, found = by_protocol("savs", protocol, k, few, order_of(labels))
    code = slow.PapersCode(vectors.tolist(), labels.tolist())
    kept = code.first_papers_heads(k) if protocol == "savs" else code.second_papers_heads(k)
    assert learnt.heads.tolist() == kept
    assert found == [code.majority(kept, sample) for sample in tests.tolist()]


@pytest.mark.parametrize("protocol", ["savs", "extension"])
@settings(max_examples=20)
@problems
def test_heads_of_classes_follow_the_papers_code(problem, protocol, seed, classes, k, heads, tied):
    vectors, labels, tests = few = few_of_many(problem, seed, classes, heads, tied)
    _, found = by_protocol("class-favoured", protocol, k, few, order_of(labels))
    code = slow.PapersCode(vectors.tolist(), labels.tolist())
    assert found == [code.class_favoured(k, sample) for sample in tests.tolist()]


@pytest.mark.parametrize("name", ["rbf", "laplacian", "sigmoid"])
@settings(max_examples=20)
@problems
def test_saturated_kernels_fall_back_to_the_class_that_appears_first(problem, name, seed, classes, k, heads, tied):
    vectors, labels, tests = few_of_many(problem, seed, classes, heads, tied)
    few = vectors, labels, tests = vectors * 30, labels, tests * 30  # as large as vectors of the 7B models
    learnt, found = by_protocol(f"paper-{name}", "extension", k, few, order_of(labels))
    kind = Similarity(name, saturating=True)
    code = slow.PapersCode(vectors.tolist(), labels.tolist(), lambda x, u: slow.similarity(kind, x, u))
    kept = code.second_papers_heads(k)
    assert learnt.heads.tolist() == kept
    assert found == [code.majority(kept, sample) for sample in tests.tolist()]


def test_the_order_of_classes_decides_where_kernels_saturate(problem):
    differ = 0
    for seed in range(20):
        vectors, labels, tests = few_of_many(problem, seed, 4, 8, tied=False)
        few = vectors * 30, labels, tests * 30
        by_name, by_appearance = (
            by_protocol("paper-sigmoid", "extension", 3, few, order)[1] for order in (None, np.array([3, 1, 0, 2]))
        )
        differ += by_name != by_appearance
        # What there was before the protocols were told apart knows names only.
        assert by_protocol("paper-sigmoid", "papers", 3, few, np.array([3, 1, 0, 2]))[1] == by_name
    assert differ > 0


def test_the_two_papers_lists_decide_tied_votes_otherwise(problem):
    differ = 0
    for seed in range(20):
        few = few_of_many(problem, seed, 3, 6, tied=False)
        (one, of_one), (other, of_other) = (by_protocol("savs", name, 4, few) for name in ("savs", "extension"))
        assert set(one.heads) == set(other.heads)
        differ += of_one != of_other
    assert differ > 0


@pytest.mark.parametrize("protocol", ["", "savs", "extension"])
@settings(max_examples=30)
@given(
    seed=seeds, classes=st.integers(1, 4), k=st.integers(1, 9), heads=st.integers(1, 8), neighbours=st.integers(1, 6)
)
def test_the_papers_neighbours_take_the_largest_class(problem, protocol, seed, classes, k, heads, neighbours):
    vectors, labels, tests = few_of_many(problem, seed, classes, heads, tied=False)
    context = Context(vectors, labels, classes, np.zeros(heads, dtype=np.int64), order=order_of(labels))
    setting = make_setting("paper-knn", protocol=protocol, k=k, neighbours=neighbours)
    learnt = learn([setting.method], context)
    [votes] = predict(learnt, Batch(np.arange(heads), tests))
    code = slow.PapersCode(vectors.tolist(), labels.tolist())
    if protocol:
        kept = code.first_papers_heads(k) if protocol == "savs" else code.second_papers_heads(k)
        assert learnt[0].heads.tolist() == kept
    kept = learnt[0].heads.tolist()
    assert votes.predicted.tolist() == [code.largest_neighbour(kept, sample, neighbours) for sample in tests.tolist()]


def test_the_largest_class_is_not_that_of_most_neighbours(problem):
    few = few_of_many(problem, 0, 4, 8, tied=False)
    assert by_protocol("paper-knn", "", 7, few)[1] != by_protocol("knn", "", 7, few)[1]


@pytest.mark.parametrize("arithmetic", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("protocol", ["savs", "extension"])
def test_protocols_compute_in_the_papers_numbers(problem, protocol, arithmetic):
    torch = pytest.importorskip("torch")
    dtype = getattr(torch, arithmetic)
    differ = 0
    for seed in range(8):
        vectors, labels, tests = few_of_many(problem, seed, 3, 8, tied=False)
        few = vectors.astype(np.float16), labels, tests.astype(np.float16)

        def mean_of(samples):
            total = torch.zeros(5, dtype=dtype)
            for sample in samples:
                total += torch.tensor(sample, dtype=dtype)
            return total / len(samples)

        def cosine(x, mean):
            x = torch.tensor(x, dtype=dtype)
            mean = torch.as_tensor(mean, dtype=dtype)
            if protocol == "extension":
                x, mean = x.float(), mean.float()
            return torch.nn.functional.cosine_similarity(x, mean, dim=0).item()

        code = slow.PapersCode(few[0].tolist(), labels.tolist(), cosine, cosine, mean_of)
        kept = code.first_papers_heads(4) if protocol == "savs" else code.second_papers_heads(4)
        learnt, found = by_protocol("savs", protocol, 4, few, order_of(labels), arithmetic)
        assert learnt.heads.tolist() == kept
        assert found == [code.majority(kept, sample) for sample in few[2].tolist()]
        _, nearest = by_protocol("paper-knn", protocol, 4, few, order_of(labels), arithmetic)
        assert nearest == [code.largest_neighbour(kept, sample, 5) for sample in few[2].tolist()]
        _, in_double = by_protocol("savs", protocol, 4, few, order_of(labels))
        differ += found != in_double
    assert differ > 0 or arithmetic != "bfloat16"


def test_settings_of_different_arithmetic_share_no_means(problem):
    vectors, labels, tests = few_of_many(problem, 3, 3, 8, tied=False)
    wanted = [make_setting("savs", protocol="savs", arithmetic=name, k=3).method for name in ("", "bfloat16")]
    context = Context(vectors, labels, 3, np.zeros(8, dtype=np.int64))
    together = learn([*wanted, make_setting("savs").method], context)
    for method, one in zip(wanted, together, strict=False):
        [alone] = learn([method], context)
        [mine], [theirs] = (predict([voter], Batch(np.arange(8), tests)) for voter in (one, alone))
        assert one.heads.tolist() == alone.heads.tolist()
        assert mine.predicted.tolist() == theirs.predicted.tolist()


@pytest.mark.parametrize("name", ["savs-penalty", "savs-artanh", "savs-balanced"])
def test_in_the_papers_order_their_variants_keep_and_predict_the_same(name):
    for seed in range(5):
        one, of_one = by_protocol("savs", "extension", 7, planted(seed, 4, per_class=5))
        other, of_other = by_protocol(name, "extension", 7, planted(seed, 4, per_class=5))
        assert one.heads.tolist() == other.heads.tolist()
        assert of_one == of_other


@pytest.mark.parametrize(
    "name", [name for name in METHODS if name.startswith(("savs-", "paper-")) and name != "paper-knn"]
)
def test_in_the_papers_order_every_ranking_votes_by_cosine_and_index(name):
    learnt, _ = by_protocol(name, "extension", 7, planted(0, 4))
    assert make_setting(name, protocol="extension", k=7).method.voting.name == "cosine"
    assert learnt.heads.tolist() == sorted(learnt.heads.tolist())


def test_the_order_matters_only_where_heads_or_votes_tie(problem):
    differ = 0
    for seed in range(40):
        (vectors, labels), (tests, _) = problem(seed), problem(seed + 1000)
        context = Context(vectors, labels, 3, np.zeros(6, dtype=np.int64))
        ours, papers = learn([Savs(3), Savs(3, protocol=PROTOCOLS["extension"])], context)
        votes = predict([ours, papers], Batch(np.arange(6), tests))
        if not ours.tied:
            assert set(ours.heads) == set(papers.heads)
            most = np.sort(votes[0].scores, axis=1)
            clear = most[:, -1] > most[:, -2]
            assert (votes[0].predicted[clear] == votes[1].predicted[clear]).all()
        differ += (votes[0].predicted != votes[1].predicted).sum()
    assert differ > 0
