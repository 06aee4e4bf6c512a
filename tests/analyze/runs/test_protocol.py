"""The papers' protocol, and predictions among the options that a prompt prints."""

from functools import partial

import numpy as np
import pytest

from kit import transcription as slow
from kit.sweeps import FEW, run
from savs_analyze.draws.validation import Validation
from savs_analyze.methods.method import CLASS_VECTORS
from savs_analyze.methods.recipes import METHODS
from savs_analyze.methods.settings import make_setting
from savs_analyze.report.notes import footnotes
from savs_analyze.runs.audit import audit
from savs_analyze.runs.results import Results
from savs_analyze.votes.similarity import Similarity


def papers(store, out, protocol="extension", **settings):
    return run(store, out, protocol=protocol, keep_leaks=True, **settings)


# Weak heads, of which many tie at the cut and in the vote; of some samples nothing is known.
def weaken(vectors):
    generator = np.random.default_rng(7)
    vectors += generator.normal(size=vectors.shape) * 4
    vectors[generator.random(vectors.shape[:3]) < 0.2] = 0


@pytest.mark.parametrize("class_order", [{}, {"all": ["dog", "ant", "cat", "bee"]}])
@pytest.mark.parametrize("protocol", ["savs", "extension"])
def test_each_protocol_follows_its_papers_code(make_store, tmp_path, protocol, class_order):
    store = make_store(classes=4, change=weaken, class_order=class_order)
    methods = ["savs", "savs-artanh", "paper-sigmoid", "class-favoured"]
    papers(store, tmp_path / "out", protocol, methods=methods, draws=2, heads=(2, 5))
    vectors, labels = store["planted"].read().astype(float).tolist(), store.samples.label
    names = store.benchmark.tasks["all"]
    first = class_order["all"] if class_order else names  # a planted pool has class after class
    cells = list(Results(tmp_path / "out").loaded())
    for cell in cells:
        assert cell.rows[0]["keep_leaks"]
        assert [names[place] for place in cell.facts.order] == list(first)
        # The support as a training file that begins with one sample of each class.
        support = sorted(cell.facts.support, key=lambda sample: first.index(names[labels[sample]]))
        score = slow.cosine
        if cell.facts.method == "paper-sigmoid":
            score = partial(slow.similarity, Similarity("sigmoid", saturating=True))
        code = slow.PapersCode([vectors[i] for i in support], labels[support].tolist(), score)
        for place, k in enumerate((2, 5)):
            kept = code.first_papers_heads(k) if protocol == "savs" else code.second_papers_heads(k)
            tested = [vectors[i] for i in cell.arrays["sample"]]
            if cell.facts.method == "class-favoured":
                expected = [code.class_favoured(k, sample) for sample in tested]
            else:
                expected = [code.majority(kept, sample) for sample in tested]
                assert sorted(4 * layer + head for layer, head in cell.facts.kept[place]) == sorted(kept)
            assert cell.arrays["predicted"][place].tolist() == expected
    assert any(row["tied_at_cut"] for cell in cells for row in cell.rows)
    ours = run(store, tmp_path / "ours", methods=["savs"], draws=2, heads=(2, 5))
    assert set(ours.value) != {row["value"] for cell in cells for row in cell.rows if row["method"] == "savs"}
    said = any("does not say how classes first appear" in note for note in Results(tmp_path / "out").notes())
    assert said == (not class_order)
    findings = {finding.checked: finding.sound for finding in audit(tmp_path / "out", seed=0)}
    assert findings["again"]
    assert all(findings.values())


def test_leaks_are_kept_by_the_papers_protocol(make_store, tmp_path):
    images = [(1 + i % 60,) for i in range(120)]  # every test image is one of the pool
    store = make_store(image_hash=images)
    ours, theirs = run(store, tmp_path / "ours", draws=1), papers(store, tmp_path / "papers", draws=1)
    assert set(ours.leaked) == {10}
    assert set(ours.n) == {50}
    assert set(theirs.leaked) == {0}
    assert set(theirs.n) == {60}


def test_printed_options_restrict_every_method(make_store, tmp_path):
    generator = np.random.default_rng(3)
    names = ["ant", "bee", "cat", "dog"]
    labels = np.tile(np.repeat(np.arange(4), 30), 2)
    options = [[names[label], names[(label + generator.integers(1, 4)) % 4]] for label in labels]
    options[:60] = [[]] * 60  # these print none
    store = make_store(
        classes=4,
        options=options,
        change=lambda vectors: vectors.__iadd__(generator.normal(size=vectors.shape) * 5),
        logits=generator.normal(size=(240, 4)).astype(np.float32),
    )
    methods = [name for name in METHODS if make_setting(name).method.needs != CLASS_VECTORS]
    free = run(store, tmp_path / "free", methods=methods, draws=1, heads=(3,))
    among = run(store, tmp_path / "among", methods=methods, draws=1, heads=(3,), restricted=True)
    assert set(among.setting) == {f"{setting}, printed options" for setting in free.setting}
    for cell in Results(tmp_path / "among").loaded():
        for predicted in cell.arrays["predicted"]:
            for sample, label in zip(cell.arrays["sample"], predicted, strict=True):
                assert not options[sample] or names[label] in options[sample], cell.facts.method
    # Half of the classes are ruled out, and never the right one.
    by_method = [rows[rows.metric == "accuracy"].set_index("method").value for rows in (free, among)]
    assert (by_method[1] > by_method[0]).all()


def test_options_that_are_not_printed_restrict_nothing(toys, tmp_path):
    store = toys(4)
    free = run(store, tmp_path / "free", methods=FEW, draws=1)
    among = run(store, tmp_path / "among", methods=FEW, draws=1, restricted=True)
    assert free.value.tolist() == among.value.tolist()


def test_a_restricted_zero_shot_takes_the_best_printed_option(make_store, tmp_path):
    logits = np.random.default_rng(5).normal(size=(240, 4)).astype(np.float32)
    names = ["ant", "bee", "cat", "dog"]
    printed = np.random.default_rng(6).random((240, 4)) < 0.5
    options = [[name for name, shown in zip(names, row, strict=True) if shown] for row in printed]
    store = make_store(classes=4, logits=logits, options=options)
    run(store, tmp_path / "out", methods=["zero-shot"], restricted=True)
    [cell] = Results(tmp_path / "out").loaded()
    for sample, label in zip(cell.arrays["sample"], cell.arrays["predicted"][0], strict=True):
        among = [names.index(name) for name in options[sample]] or range(4)
        assert label == max(among, key=lambda place: logits[sample, place])


@pytest.mark.parametrize(("shots", "draws", "said"), [(30, 2, True), (30, 1, False), (29, 2, False)])
def test_draws_that_are_all_one_are_told(toy, tmp_path, shots, draws, said):
    rows = run(toy, tmp_path / "out", methods=["savs"], shots=shots, draws=draws)
    notes = [note for note in Results(tmp_path / "out").notes() if "all draws are one" in note]
    assert (
        notes
        == [
            "toy, planted: there are just 30 labelled samples of every class to learn from, so all draws are "
            "one: intervals say nothing of other draws (--draws 1)."
        ]
        * said
    )
    if said:
        assert rows.groupby(["setting", "metric", "split"]).value.nunique().eq(1).all()


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        (["lda"], ["supports are random"]),
        (["savs", "lda"], ["supports are random", "means and similarities", "of equal heads"]),
        (["sparse-group-lasso"], ["supports are random", "a sparse-group lasso"]),
    ],
)
def test_footnotes_speak_of_the_methods_that_are_there(make_store, tmp_path, methods, said):
    papers(make_store(), tmp_path / "out", methods=methods, draws=1, validation=Validation(0.25, first=True))
    notes = [note for note in footnotes(Results(tmp_path / "out").loaded()) if note.startswith("Unlike the papers: ")]
    assert [any(words in note for words in said) for note in notes] == [True] * len(said)


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ("pool", "class 'dog': its vectors, or their sum, are too large for float16, .* --arithmetic bfloat16"),
        ("test", "a vector, its length or its similarity is too large for float16, .* --arithmetic bfloat16"),
    ],
)
def test_vectors_that_are_too_large_for_an_arithmetic_are_told(write_toy, tmp_path, split, words):
    def enlarge(vectors):
        # Of the second class of the pool the last layer, of the test the heads that vote.
        if split == "pool":
            vectors[30:60, -1] = 30000
        else:
            vectors[60:, 0] = 60000

    store = write_toy(tmp_path, np.random.default_rng(0), change=enlarge)
    with pytest.raises(ValueError, match=words):
        papers(store, tmp_path / "out", "savs", methods=["savs", "savs-soft"], arithmetic="float16", draws=1)
    for other in ("bfloat16", ""):
        papers(store, tmp_path / "out", "savs", methods=["savs", "savs-soft"], arithmetic=other, draws=1)
