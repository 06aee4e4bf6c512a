"""A classifier's file gives back what was written, or says why not; nothing of it is ever executed."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from kit.classifiers import planted_context, rewritten, setting
from savs_analyze.classifier import file as files
from savs_analyze.classifier import forms
from savs_analyze.classifier.classifier import About, Doubt
from savs_analyze.classifier.errors import ClassifierError
from savs_analyze.classifier.file import read_classifier, write_classifier
from savs_analyze.fitting.fit import fit
from savs_analyze.fitting.store import assemble
from savs_analyze.methods.learners import learn
from savs_analyze.methods.recipes import METHODS
from savs_analyze.methods.settings import make_setting

# One of every kind that is fitted, and of every way to vote.
NAMES = [
    *("savs", "savs-rbf", "savs-weighted", "savs-soft", "class-favoured", "class-similarity-balanced", "random"),
    *("knn", "linear-probe", "mlp-probe", "ridge", "gaussian", "lasso-one-vs-rest", "sparse-group-lasso-share", "auto"),
]


def make(name, classes=3):
    """Return a classifier of a method, and vectors that it has not seen."""
    context = planted_context(classes)
    heads = np.stack([context.layer, np.arange(len(context.layer)) % 4], axis=1)
    about = About([f"class {label}" for label in range(classes)], "all", "Which?", {"name": "toy"}, {}, {"asked": name})
    found = fit([make_setting(name).method], context)
    return assemble(found, about, heads), planted_context(classes, seed=1).vectors


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("classifier") / "toy.safetensors"
    classifier, vectors = make("ridge")
    write_classifier(classifier, path)
    return classifier, vectors, path


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_read_answers_as_what_was_written(name, classes, tmp_path):
    classifier, vectors = make(name, classes)
    write_classifier(classifier, tmp_path / "toy.safetensors")
    found = read_classifier(tmp_path / "toy.safetensors")
    assert found.about == classifier.about
    flat = [4 * layer + place for layer, place in found.heads.tolist()]
    for doubt in (Doubt(), Doubt(coverage=0.6, by_class=True, least=0.8)):
        one, other = (each.answer(vectors[:, flat], doubt) for each in (classifier, found))
        for field in ("predicted", "probabilities", "sets", "likeness", "unlike", "doubtful", "second"):
            assert (getattr(one, field) == getattr(other, field)).all(), field
    assert [path.name for path in tmp_path.iterdir()] == ["toy.safetensors"]


@pytest.mark.parametrize("name", NAMES)
def test_it_answers_as_the_method_does_on_all_heads(name):
    """Of all heads, the classifier keeps those that it needs; its answers are the method's."""
    context = planted_context(3)
    found = fit([make_setting(name).method], context)
    classifier, vectors = make(name)
    flat = [4 * layer + place for layer, place in classifier.heads.tolist()]
    from savs_analyze.votes.batch import Batch

    expected = found.fitted.votes(Batch(np.arange(vectors.shape[1]), vectors)).predicted
    answers = classifier.answer(vectors[:, flat])
    assert (answers.predicted == expected).all()
    assert (answers.probabilities.argmax(axis=1) == expected).all()  # also where votes are equal


def test_what_has_no_form_is_refused_by_name():
    with pytest.raises(ClassifierError, match="LayerVotes cannot be written to a classifier's file"):
        make("layers")


OF_ONE_SWEEP = "said", "debiased-question", "debiased-image", "debiased-group", "layers", "paper-knn", "laplacian-shot"


@pytest.mark.parametrize("setting", [make_setting("paper-knn"), make_setting("savs", protocol="savs")])
def test_what_follows_a_papers_code_is_refused(setting):
    context = replace(planted_context(3), order=np.array([2, 0, 1]))
    [fitted] = learn([setting.method], context)
    with pytest.raises(ClassifierError, match="cannot be written to a classifier's file"):
        forms.written(fitted, np.unique(fitted.heads))


def test_every_method_that_deploys_has_a_form():
    context = planted_context(3)
    context = replace(context, class_vectors=context.centroids + 1)
    without = "zero-shot", "hec-t-fixed", *OF_ONE_SWEEP
    assert [name for name in METHODS if not make_setting(name).method.deploys] == list(OF_ONE_SWEEP)
    learnt = learn([make_setting(name).method for name in METHODS if name not in without], context)
    assert {type(one) for one in learnt} <= set(forms.NAMES)
    assert set(forms.NAMES) == {form.kind for form in forms.FORMS.values()}


def test_what_would_be_too_large_to_be_read_is_not_written(tmp_path, monkeypatch):
    """A classifier of many samples on all heads was written, and no command could read it."""
    monkeypatch.setattr(files, "MOST_BYTES", files.MOST_HEADER + 1000)
    path = tmp_path / "large.safetensors"
    with pytest.raises(ClassifierError, match=r"large\.safetensors would have .*fewer labelled samples"):
        write_classifier(make("ridge")[0], path)
    assert not path.exists()


def test_the_same_fit_gives_the_same_bytes(written, tmp_path):
    write_classifier(make("ridge")[0], tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == written[2].read_bytes()


@given(st.data())
def test_no_flipped_bit_changes_an_answer_unseen(written, tmp_path_factory, data):
    classifier, vectors, path = written
    content = bytearray(path.read_bytes())
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    content[bit // 8] ^= 1 << bit % 8
    damaged = tmp_path_factory.mktemp("flip") / "toy.safetensors"
    damaged.write_bytes(content)
    try:
        found = read_classifier(damaged)
    except ClassifierError:
        return
    flat = [4 * layer + place for layer, place in classifier.heads.tolist()]
    assert (found.answer(vectors[:, flat]).probabilities == classifier.answer(vectors[:, flat]).probabilities).all()
    assert found.about == classifier.about


@pytest.mark.parametrize("share", [0, 0.001, 0.01, 0.3, 0.9, 0.999])
def test_a_file_that_was_cut_is_refused(written, tmp_path, share):
    content = written[2].read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(content[: int(share * len(content))])
    with pytest.raises(ClassifierError, match=r"cut\.safetensors"):
        read_classifier(tmp_path / "cut.safetensors")


HEADERS = {
    "unknown kind": (setting("fitted", "final", "kind", value="deep"), "answers by 'deep', which this savs does not"),
    "a field more": (setting("fitted", "final", "code", value="import os"), "its fields are not those of linear"),
    "logistic as a word": (setting("fitted", "final", "logistic", value="yes"), "logistic is 'yes', not of type bool"),
    "one class": (setting("classes", value=["one"]), "not two or more different words"),
    "classes twice": (setting("classes", value=["a", "a", "b"]), "not two or more different words"),
    "another class": (setting("classes", value=["a", "b", "c", "d"]), "'likeness.means' do not fit"),
    "dim": (setting("dim", value=3), "do not fit"),
    "no dim": (setting("dim", value=True), "its heads have True numbers"),
    "question": (setting("question", value=3), "'question' of its header is of another kind"),
    "a voter less": (lambda header: header["fitted"].pop("fold0"), "names other voters than its 5 folds"),
    "a field of the header": (setting("more", value=1), "the fields of its header are not"),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_a_header_that_the_format_does_not_know_is_refused(written, tmp_path, kind):
    change, words = HEADERS[kind]
    path = rewritten(written[2], tmp_path / "bad.safetensors", header=change)
    with pytest.raises(ClassifierError, match=rf"bad\.safetensors: .*{words}"):
        read_classifier(path)


ARRAYS = {
    "lost": (lambda arrays: arrays.pop("final/weights"), "lacks the array 'weights'"),
    "of nothing": (lambda arrays: arrays.update({"more": np.zeros(2)}), "an array of nothing: 'more'"),
    "unknown": (lambda arrays: arrays.update({"final/more": np.zeros(2)}), "its kind does not know: 'more'"),
    "not finite": (lambda arrays: arrays["final/weights"].fill(np.nan), "'weights' holds numbers that are not finite"),
    "too large": (lambda arrays: arrays["final/weights"].fill(1e308), "'weights' holds .* or above 1e"),
    "no scale": (lambda arrays: arrays["final/standard.scale"].fill(0), "'standard.scale' holds .* not above 0"),
    "no such head": (lambda arrays: arrays["final/heads"].fill(99), "'heads' counts from 99 to 99, of"),
    "negative": (lambda arrays: arrays["likeness.heads"].fill(-1), "'likeness.heads' do not fit"),
    "no fold": (lambda arrays: arrays["calibration.fold"].fill(7), "'calibration.fold' do not fit"),
    "no temperature": (lambda arrays: arrays["calibration.temperature"].fill(0), "'calibration.temperature' do not"),
    "a head twice": (lambda arrays: arrays["heads"].fill(1), "'heads' do not fit"),
    "short": (lambda arrays: arrays.update({"final/intercept": np.zeros(5)}), "has 5 of output, others have 3"),
    "words": (lambda arrays: arrays.update({"heads": np.zeros((2, 2))}), "'heads' is float64"),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_that_do_not_fit_are_refused(written, tmp_path, kind):
    change, words = ARRAYS[kind]
    path = rewritten(written[2], tmp_path / "bad.safetensors", arrays=change)
    with pytest.raises(ClassifierError, match=words):
        read_classifier(path)


def test_a_later_version_is_refused_with_what_to_do(written, tmp_path):
    path = rewritten(written[2], tmp_path / "later.safetensors", version=2)
    with pytest.raises(ClassifierError, match="has version 2, this savs reads version 1: update savs"):
        read_classifier(path)


def pickled(path):
    path.write_bytes(pickle.dumps({"format": "savs classifier"}))


def of_another_program(path):
    save_file({"weight": np.zeros(3)}, path, {"format": "pt"})


def too_long_a_header(path):
    path.write_bytes((2**40).to_bytes(8, "little") + b"{}")


def deeply_nested(path):
    save_file({"weight": np.zeros(3)}, path, {files.FORMAT: "[" * 10**5})


@pytest.mark.parametrize(
    ("make_file", "words"),
    [
        (pickled, "it is no safetensors file: name a classifier"),
        (of_another_program, "it is no classifier"),
        (too_long_a_header, "its header has 1.1 TB"),
        (deeply_nested, "is no classifier's file: maximum recursion depth"),
        (lambda path: path.mkdir(), "is a folder: name a classifier"),
        (lambda path: path.write_text(""), "it is no safetensors file"),
        (lambda path: None, "is no file: name a classifier that 'fit' has written"),
    ],
)
def test_what_is_no_classifier_is_refused(tmp_path, make_file, words):
    make_file(tmp_path / "foreign.safetensors")
    with pytest.raises(ClassifierError, match=words):
        read_classifier(tmp_path / "foreign.safetensors")


def test_a_write_that_fails_leaves_the_file_before_it(written, tmp_path, monkeypatch):
    path = tmp_path / "toy.safetensors"
    path.write_bytes(written[2].read_bytes())

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        write_classifier(written[0], path)
    assert path.read_bytes() == written[2].read_bytes()
    assert [one.name for one in tmp_path.iterdir()] == ["toy.safetensors"]


def test_vectors_of_other_heads_are_refused(written):
    classifier, _, _ = written
    with pytest.raises(ValueError, match=r"vectors must be \[sample, \d+ heads, 8\]"):
        classifier.answer(np.zeros((3, 1, 8)))
    with pytest.raises(ValueError, match="not finite"):
        classifier.answer(np.full((3, len(classifier.heads), 8), np.nan))


@pytest.mark.parametrize("wrong", [{"coverage": 1.0}, {"coverage": 0.0}, {"false_alarms": 2.0}, {"least": -1.0}])
def test_doubts_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=r"must be between 0 and 1, got"):
        replace(Doubt(), **wrong)
