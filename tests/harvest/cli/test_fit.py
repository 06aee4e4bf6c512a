"""From a folder of pictures to answers for new ones, as a user types it."""

import csv
import re
import shutil

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from sklearn.datasets import load_digits
from typer.testing import CliRunner

from savs_analyze.classifier.file import read_classifier
from savs_analyze.cli.classifiers import check_name
from savs_analyze.report.drawing import save_figure
from savs_harvest.cli.commands import app
from savs_harvest.models.checkpoints import file_hashes
from savs_harvest.models.tiny import CHECKPOINT

QUESTION = "What number is written here?"
NAMES = "zero one two three four".split()


def draw(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = np.round(255 * (1 - image / 16)).astype(np.uint8)
    Image.fromarray(grey).resize((64, 64)).save(path)


def call(*words):
    return CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A folder with ten pictures of each of five digits, new pictures, and a classifier of the first."""
    folder = tmp_path_factory.mktemp("fit")
    digits = load_digits()
    for label, name in enumerate(NAMES):
        images = digits.images[digits.target == label]
        for number in range(10):
            draw(folder / "photos" / name / f"{number}.png", images[number])
            draw(folder / "new" / f"{name}-{number}.png", images[10 + number])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        found = call("fit", "--model", "tiny", "--data", "photos", "--question", QUESTION, "--out", "p.safetensors")
    assert found.exit_code == 0, found.output
    return folder, found


def test_new_pictures_are_answered(fitted, monkeypatch):
    folder, _ = fitted
    monkeypatch.chdir(folder)
    found = call("predict", "p.safetensors", "new", "--out", "answers.csv")
    assert found.exit_code == 0, found.output
    with open("answers.csv", newline="") as file:  # noqa: PTH123  the working folder is the fixture's
        rows = list(csv.DictReader(file))
    assert len(rows) == 50
    right = [row["class"] == row["file"].removeprefix("new/").split("-")[0] for row in rows]
    assert np.mean(right) > 0.85


def test_it_says_what_it_is_and_how_good(fitted):
    folder, found = fitted
    for words in (
        "5: four, one, three, two, zero",
        QUESTION,
        "50 labelled samples",
        "out of sample",
        "the model's own",
    ):
        assert words in found.stdout
    classifier = read_classifier(folder / "p.safetensors")
    assert classifier.about.question == QUESTION
    assert classifier.about.model["name"] == "tiny"


def test_one_more_picture_is_one_more_row(fitted, tmp_path, monkeypatch):
    shutil.copytree(fitted[0] / "photos", tmp_path / "photos")
    shutil.copytree(fitted[0] / "stores", tmp_path / "stores")
    shutil.copy(fitted[0] / "new/one-3.png", tmp_path / "photos/one/10.png")
    monkeypatch.chdir(tmp_path)
    found = call("fit", "--model", "tiny", "--data", "photos", "--question", QUESTION, "--out", "p.safetensors")
    assert found.exit_code == 0, found.output
    assert "50 of 51 rows taken over" in found.stderr
    assert read_classifier(tmp_path / "p.safetensors").samples == 51


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--method", "svs"], "there is no method 'svs'; did you mean 'savs'"),
        (["--method", "zero-shot"], "zero-shot learns nothing"),
        (["--shots", "many"], "--shots 'many' is neither a number nor 'all'"),
        (["--budget", "2"], "the budget is a share of the layers"),
        (["--out", "p.pkl"], "a classifier's file is named NAME.safetensors"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_harvested(fitted, tmp_path, monkeypatch, words, told):
    monkeypatch.chdir(tmp_path)
    data = ["--model", "tiny", "--data", fitted[0] / "photos", "--question", QUESTION, "--out", "p.safetensors"]
    with pytest.raises(ValueError, match=told):
        call("fit", *data, *words)
    assert list(tmp_path.iterdir()) == []


def test_a_classifier_of_a_hub_model_knows_the_hashes_of_its_files(fitted, hub, tmp_path, monkeypatch):
    """A copy of the model in a folder was refused, and nothing could prove that it was one."""
    monkeypatch.chdir(tmp_path)
    data = "--data", fitted[0] / "photos", "--question", QUESTION, "--out", "h.safetensors"
    assert call("fit", "--model", "owner/name", *data).exit_code == 0
    assert read_classifier(tmp_path / "h.safetensors").about.model["files"] == file_hashes(CHECKPOINT)
    answers = [call("predict", "h.safetensors", fitted[0] / "new", *words) for words in ((), ("--model", CHECKPOINT))]
    assert answers[0].stdout == answers[1].stdout
    assert "files" not in read_classifier(fitted[0] / "p.safetensors").about.model


@pytest.fixture
def folders(fitted, tmp_path, monkeypatch):
    """Return a function that makes a folder with so many pictures of each class; no model can be loaded."""
    monkeypatch.chdir(tmp_path)
    loaded = lambda *_, **__: pytest.fail("a model is loaded")  # noqa: E731
    monkeypatch.setattr("savs_harvest.batches.layout_check.load_model", loaded)

    def make(counts, split=""):
        for name, count in counts.items():
            for number in range(count):
                target = tmp_path / "photos" / split / name / f"{number}.png"
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(fitted[0] / "photos" / (name or "one") / f"{number}.png", target)
        return "--model", "tiny", "--data", "photos", "--question", QUESTION, "--out", "p.safetensors"

    return make


@pytest.mark.parametrize(
    ("counts", "words", "told"),
    [
        ({"one": 5}, [], "task 'all' has fewer than two classes"),
        ({"one": 5, "two": 1}, [], "class 'two' has 1 labelled samples to learn from, 2 are needed"),
        ({"one": 5, "two": 4}, ["--shots", "5"], "class 'two' has 4 labelled samples to learn from, 5 are needed"),
        ({"": 3}, [], "no sample has a label, so nothing can be learnt"),
        ({"one": 5, "two": 5}, ["--task", "some"], "photos has 1 task, there is no task 'some'"),
    ],
)
def test_labels_that_make_a_fit_impossible_are_told_before_a_model_is_loaded(folders, counts, words, told):
    """Hours on a GPU once went before it."""
    with pytest.raises(ValueError, match=told):
        call("fit", *folders(counts), *words)


@pytest.mark.parametrize(("least", "told"), [(2, "2 folds.*flatters"), (3, "3 folds where 5"), (5, None)])
def test_labels_that_make_a_fit_poor_are_told_before_a_model_is_loaded(folders, capsys, least, told):
    """The rule is that of the folds: as many as the scarcest class has samples, five at most."""
    words = folders({"one": 6, "two": least})
    with pytest.raises(pytest.fail.Exception, match="a model is loaded"):
        fit_with_words(words)
    error = capsys.readouterr().err
    assert re.search(f"fit: the scarcest class allows {told}", error) if told else "fit:" not in error


def fit_with_words(words):
    """Fit outside of the runner, which hides what was printed before a failure."""
    app(["fit", *words], standalone_mode=False)


def test_what_follows_a_harvest_is_what_can_be_done_with_it(fitted, folders, monkeypatch):
    assert "sweep" not in fitted[1].stderr  # the classifier is what was asked for
    monkeypatch.undo()
    monkeypatch.chdir(fitted[0])
    for name, labelled in (("new", False), ("photos", True)):
        found = call("run", "--model", "tiny", "--data", name, "--question", QUESTION)
        assert ("sweep" in found.stderr) == labelled
        assert ("nothing has a label" in found.stderr) != labelled


def test_an_option_that_run_does_not_know_is_refused(fitted):
    found = call("fit", "--out", "p.safetensors", "--model", "tiny", "--data", "digits", "--bogus", "3")
    assert found.exit_code == 2
    assert "No such option: --bogus" in found.stderr


@pytest.mark.parametrize("option", ["--out", "--html"])
def test_nothing_that_was_not_written_by_savs_is_replaced(fitted, tmp_path, option):
    """An answer table once took the place of the labels that it was read from."""
    kept = tmp_path / ("notes.csv" if option == "--out" else "notes.html")
    kept.write_text("mine")
    with pytest.raises(ValueError, match="is there and was not written by savs: move it"):
        call("predict", fitted[0] / "p.safetensors", fitted[0] / "new/one-1.png", option, kept)
    assert kept.read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("a.csv", "file,class,photographer"),
        ("a.csv", "file,class,probability,set,doubtful,second,likeness,status,mine"),
        ("a.jsonl", '{"file": "a.png", "label": "one"}'),
    ],
)
def test_a_table_that_only_looks_like_answers_is_not_replaced(fitted, tmp_path, name, line):
    """It was enough that a user's own table began with the same column."""
    (tmp_path / name).write_text(line + "\n")
    with pytest.raises(ValueError, match="is there and was not written by savs: move it"):
        call("predict", fitted[0] / "p.safetensors", fitted[0] / "new/one-1.png", "--out", tmp_path / name)
    assert (tmp_path / name).read_text() == line + "\n"


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_answers_are_replaced_by_answers(fitted, tmp_path, name):
    words = "predict", fitted[0] / "p.safetensors", fitted[0] / "new/one-1.png", "--out", tmp_path / name
    call(*words)
    first = (tmp_path / name).read_text()
    (tmp_path / name).write_text(first + first.splitlines()[-1] + "\n")  # longer than what is to come
    call(*words)
    assert (tmp_path / name).read_text() == first
    assert "one-1.png" in first


def test_a_users_own_figure_is_not_replaced_by_that_of_a_card(tmp_path):
    """Any picture that Matplotlib had drawn was taken for ours."""
    figure = Figure()
    figure.savefig(tmp_path / "mine.png")
    save_figure(figure, tmp_path / "ours.png")
    with pytest.raises(ValueError, match="is there and was not written by savs"):
        check_name(tmp_path / "mine.safetensors", card=True)
    check_name(tmp_path / "ours.safetensors", card=True)


def test_an_output_is_no_input(fitted, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text(f"file,class\n{fitted[0] / 'new/one-1.png'},one,\n")
    with pytest.raises(ValueError, match="is read by this command, and would be replaced"):
        call("predict", fitted[0] / "p.safetensors", table, "--out", table)
    with pytest.raises(ValueError, match=r"must end in \.html"):
        call("predict", fitted[0] / "p.safetensors", table, "--html", fitted[0] / "p.safetensors")


@pytest.mark.parametrize(("name", "card"), [("notes.safetensors", []), ("card.safetensors", ["--card"])])
def test_a_fit_replaces_nothing_of_others(fitted, tmp_path, monkeypatch, name, card):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.safetensors").write_text("mine")
    (tmp_path / "card.md").write_text("mine")
    with pytest.raises(ValueError, match="is there and was not written by savs"):
        call("fit", "--model", "tiny", "--data", fitted[0] / "photos", "--question", QUESTION, "--out", name, *card)
    assert {path.read_text() for path in tmp_path.iterdir()} == {"mine"}


@pytest.mark.parametrize(("wording", "lines"), [("td", 2), ("tdc", 12)])
def test_a_classifier_knows_the_wording_that_its_samples_were_asked_in(tmp_path, monkeypatch, wording, lines):
    """Of `tdc` the store said {classes} in place of the classes, so no classifier could be fitted on it."""
    monkeypatch.chdir(tmp_path)
    words = "--model", "tiny", "--data", "digits", "--limit", 100, "--wording", wording, "--method", "savs", "--k", 5
    assert call("fit", *words, "--out", "d.safetensors").exit_code == 0
    question = read_classifier(tmp_path / "d.safetensors").about.question
    assert question.startswith(QUESTION)
    assert question.endswith("\nAnswer in one word.")
    assert len(question.splitlines()) == lines
