"""A classifier from Python: an estimator, and the form of the pipeline of transformers."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import savs
from savs_analyze.classifier.errors import ClassifierError
from savs_analyze.classifier.file import read_classifier, write_classifier
from savs_analyze.fitting.store import FitRequest, fit_store
from savs_benchmarks import BENCHMARKS
from savs_benchmarks.digits.digits import benchmark_pictures
from savs_harvest.run.encoding import Encoder
from savs_stores import MismatchError, open_store

QUESTION = next(iter(BENCHMARKS["digits"].samples())).question


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    savs.harvest(savs.load_model("tiny", device="cpu"), "digits", folder / "digits.zarr", logits=False)
    request = FitRequest(shots=20, question=QUESTION, method="savs", k=6, budget=0.5)
    write_classifier(fit_store(open_store(folder / "digits.zarr")["tiny"], request), folder / "digits.safetensors")
    return folder / "digits.safetensors"


@pytest.fixture(scope="module")
def classifier(file):
    return savs.load(file, device="cpu")


@pytest.fixture(scope="module")
def pictures():
    return [benchmark_pictures("test", digit)[0] for digit in range(10)]


def test_it_answers_as_the_vectors_of_the_whole_model_do(classifier, file, pictures):
    read, model = read_classifier(file), savs.load_model("tiny", device="cpu")
    table = model.heads
    places = {pair: i for i, pair in enumerate(zip(table.layer.tolist(), table.head_in_layer.tolist(), strict=True))}
    vectors = model.encode(pictures, QUESTION)[:, [places[tuple(map(int, pair))] for pair in read.heads]]
    expected = read.answer(vectors)
    assert classifier.predict(pictures).tolist() == [read.classes[place] for place in expected.predicted]
    assert (classifier.predict_proba(pictures) == expected.probabilities).all()
    assert (classifier.answer(pictures).doubtful == expected.doubtful).all()
    assert classifier.classes_.tolist() == list(read.classes)
    assert (classifier.predict(pictures) == classifier.predict(pictures, QUESTION)).all()
    assert "10 classes" in repr(classifier)


def test_it_has_the_form_of_the_pipeline(classifier, pictures):
    [single, *_], several = classifier(pictures[3]), classifier(pictures)
    probabilities = classifier.predict_proba(pictures)
    assert set(single) == {"label", "score"}
    assert [len(scores) for scores in several] == [5] * 10
    assert several[3][0]["label"] == single["label"]
    assert [scores[0]["score"] for scores in several] == probabilities.max(1).tolist()
    assert all(left["score"] >= right["score"] for left, right in zip(several[0], several[0][1:], strict=False))
    assert len(classifier(pictures[3], top_k=2)) == 2
    assert sum(one["score"] for one in classifier(pictures[3], top_k=None)) == pytest.approx(1)


def test_pictures_come_as_files_and_arrays_too(classifier, pictures, tmp_path):
    pictures[7].save(tmp_path / "7.png")
    label = classifier(pictures[7].convert("RGB"))
    assert classifier(str(tmp_path / "7.png")) == label
    assert classifier(np.asarray(pictures[7].convert("RGB"))) == label


GREY = np.arange(400, dtype=np.uint8).reshape(20, 20)


def test_an_array_of_grey_is_the_picture_of_it(classifier):
    assert classifier(GREY) == classifier(Image.fromarray(GREY)) == classifier(np.stack([GREY] * 3, axis=2))


@pytest.mark.parametrize(
    "array",
    [
        GREY > 99,
        GREY / 255,
        np.stack([GREY] * 3, axis=2) / np.float32(255),
        GREY.astype(np.int64),
        GREY[..., None],
        np.stack([GREY] * 4, axis=2),
        np.stack([GREY] * 3),
        np.stack([GREY] * 3) / 255,
    ],
    ids=lambda array: f"{array.dtype} {array.shape}",
)
def test_an_array_that_is_no_picture_says_how_it_becomes_one(classifier, array):
    """The advice is followed, word for word: the answer is that of the grey picture, or of black and white."""
    with pytest.raises(ValueError, match=r"sample 0: .*: give (.*)") as told:
        classifier(array)
    for way in str(told.value).partition(": give ")[2].split(", and "):
        array = eval(way.partition(" where ")[0].partition(" of grey")[0].partition(" without")[0])  # noqa: S307
    expected = 255 * (GREY > 99).astype(np.uint8) if set(np.unique(array)) <= {0, 255} else GREY
    assert classifier(array) == classifier(expected)


def of_dtype(file, dtype):
    return savs.load(file, dtype=dtype, device="cpu")


def eager(file):
    changed = savs.load(file, device="cpu")
    changed.encoder.model.model.set_attn_implementation("eager")
    return changed


def of_budget(file, tokens):
    changed = savs.load(file, device="cpu")
    encoder = changed.encoder
    changed.encoder = Encoder(encoder.model, replace(encoder.settings, token_budget=tokens), encoder.heads.tolist())
    return changed


OTHERWISE = {
    "bfloat16": lambda file: of_dtype(file, "bfloat16"),
    "float16": lambda file: of_dtype(file, "float16"),
    "eager attention": eager,
    "one sample a batch": lambda file: of_budget(file, 1),
}


@pytest.fixture(scope="module")
def as_fitted(file):
    """The classifier that `auto` chooses; new pictures; its log probabilities and answers, computed as when fitted."""
    request = FitRequest(shots=20, question=QUESTION)
    place = file.with_name("auto.safetensors")
    write_classifier(fit_store(open_store(file.with_name("digits.zarr"))["tiny"], request), place)
    found = [picture for digit in range(10) for picture in benchmark_pictures("test", digit)]
    usual = savs.load(place, device="cpu")
    return place, found, np.log(usual.predict_proba(found)), usual.predict(found)


@pytest.mark.parametrize("how", OTHERWISE)
def test_other_rounding_changes_no_answer_but_where_two_classes_lie_closer_than_it_moves_them(as_fitted, how):
    """No class overtakes the best one unless both together move by the distance between them."""
    place, found, usual, answers = as_fitted
    other = OTHERWISE[how](place)
    moved = np.abs(np.log(other.predict_proba(found)) - usual).max(axis=1)
    changed = other.predict(found) != answers
    second, best = np.sort(usual, axis=1)[:, -2:].T
    print(f"{how}: {changed.sum()} of {len(found)} answers changed; log probabilities move by {np.median(moved):.3f}")
    assert (best - second <= 2 * moved)[changed].all()


def test_no_pictures_have_no_answers(classifier):
    assert classifier([]) == []
    assert classifier.predict([]).shape == (0,)


def test_the_model_waits_for_the_first_picture(file):
    assert "encoder" not in vars(savs.load(file))


def test_what_cannot_be_answered_is_named(classifier, file, tmp_path):
    picture = Image.new("RGB", (20, 20))
    with pytest.raises(ValueError, match=r"sample 1: nowhere.png"):
        classifier.predict([picture, "nowhere.png"])
    with pytest.raises(ValueError, match=f"was fitted on '{QUESTION[:8]}.*': its heads know no other question"):
        classifier.predict([picture], ["is it odd ?"])
    with pytest.raises(ClassifierError, match="is no file"):
        savs.load(tmp_path / "nothing.safetensors")
    with pytest.raises(ClassifierError, match=r"is a folder: name a classifier that 'fit' has written, NAME\.safet"):
        savs.load(tmp_path)
    (tmp_path / "text").write_text("text")
    with pytest.raises(ClassifierError):
        savs.load(tmp_path / "text")
    with pytest.raises(MismatchError, match="model: None when it was fitted, 'owner/name' now"):
        savs.load(file, model="owner/name").predict([picture])
