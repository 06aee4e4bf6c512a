"""From pictures to answers: what a classifier says of files is what it says of a harvest of them."""

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError
from PIL import Image
from safetensors.torch import load_file, save_file
from scipy.stats import mannwhitneyu
from typer.testing import CliRunner

from savs_analyze.classifier.calibration import Calibration, one_vote_each, share_as_far
from savs_analyze.classifier.classifier import Doubt
from savs_analyze.classifier.file import read_classifier, write_classifier
from savs_analyze.fitting.store import FitRequest, fit_store
from savs_benchmarks import BENCHMARKS, load_jsonl
from savs_benchmarks.digits.digits import benchmark_pictures
from savs_harvest.batches.layout_check import load_model
from savs_harvest.cli import commands as cli
from savs_harvest.cli.answers import Journal
from savs_harvest.cli.drift import Drift
from savs_harvest.models.checkpoints import file_hashes
from savs_harvest.models.specs import find_model
from savs_harvest.models.tiny import CHECKPOINT
from savs_harvest.run.harvest import harvest
from savs_harvest.run.settings import Settings
from savs_stores import open_store
from savs_stores.terminal import DONE_WITH_FAILURES, INTERRUPTED

QUESTION = next(iter(BENCHMARKS["digits"].samples())).question
DIGITS = [(digit, place) for digit in range(10) for place in range(9)]


@pytest.fixture(scope="module")
def tiny():
    return load_model(find_model("tiny"), "cpu")


@pytest.fixture(scope="module")
def classifier(tiny, tmp_path_factory):
    """A classifier of digits, fitted on the pool; its file."""
    folder = tmp_path_factory.mktemp("classifier")
    harvest(tiny, BENCHMARKS["digits"], folder / "digits.zarr", Settings(logits=False))
    request = FitRequest(shots=20, question=QUESTION, method="savs", k=6, budget=0.5)
    write_classifier(fit_store(open_store(folder / "digits.zarr")["tiny"], request), folder / "digits.safetensors")
    return folder / "digits.safetensors"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Pictures of digits of the test half, as files in folders."""
    folder = tmp_path_factory.mktemp("some") / "photos"
    for digit, place in DIGITS:
        (folder / str(digit)).mkdir(parents=True, exist_ok=True)
        benchmark_pictures("test", digit)[place].save(folder / str(digit) / f"{place}.png")
    return folder


@pytest.fixture
def predict(tmp_path, monkeypatch, classifier):
    """Return a function that predicts with the classifier, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments, of=classifier, **more):
        return CliRunner().invoke(cli.app, ["predict", str(of), *map(str, arguments)], **more)

    return run


def rows(path):
    text = path.read_text()
    if path.suffix == ".csv":
        return list(csv.DictReader(io.StringIO(text)))
    return [json.loads(line) for line in text.splitlines()]


def test_answers_are_those_for_a_harvest_of_the_same_pictures(predict, classifier, photos, tiny, tmp_path):
    assert predict(photos, "--out", "a.jsonl", "--coverage", "0.8").exit_code == 0
    found = rows(tmp_path / "a.jsonl")
    lines = [{"image": f"{d}/{p}.png", "question": QUESTION, "label": str(d)} for d, p in DIGITS]
    (photos / "all.jsonl").write_text("\n".join(map(json.dumps, lines)))
    harvest(tiny, load_jsonl(photos / "all.jsonl"), tmp_path / "s.zarr", Settings(logits=False))
    read = read_classifier(classifier)
    stored = open_store(tmp_path / "s.zarr")["tiny"].read(heads=[tuple(map(int, pair)) for pair in read.heads])
    expected = read.answer(stored, Doubt(0.8))
    assert [row["file"] for row in found] == [str(photos / f"{d}/{p}.png") for d, p in DIGITS]
    assert [row["class"] for row in found] == [read.classes[place] for place in expected.predicted]
    assert [row["second"] for row in found] == [read.classes[place] for place in expected.second]
    assert [row["doubtful"] for row in found] == expected.doubtful.tolist()
    assert [row["set"] for row in found] == [[read.classes[i] for i in np.flatnonzero(one)] for one in expected.sets]
    np.testing.assert_allclose([row["probability"] for row in found], expected.probabilities.max(1), atol=2e-3)
    np.testing.assert_allclose([row["likeness"] for row in found], expected.likeness, atol=2e-2)
    assert {row["status"] for row in found} == {"ok"}


def test_a_folder_a_pattern_a_table_and_stdin_say_the_same(predict, photos, tmp_path):
    files = [str(photos / f"3/{p}.png") for p in range(9)]
    lines = [{"image": f"{p}.png", "question": QUESTION, "label": "x"} for p in range(9)]
    (photos / "3" / "table.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert predict(photos / "3", "--out", "folder.csv").exit_code == 0
    assert predict(photos / "3" / "*.png", "--out", "pattern.csv").exit_code == 0
    assert predict(*files, "--out", "files.csv").exit_code == 0
    assert predict("-", "--out", "stdin.csv", input="\n".join(files)).exit_code == 0
    assert predict(photos / "3" / "table.jsonl", "--out", "table.csv").exit_code == 0
    texts = {name: (tmp_path / f"{name}.csv").read_text() for name in "folder pattern files stdin table".split()}
    assert len(set(texts.values())) == 1


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_a_table_without_questions_is_asked_the_classifiers(predict, photos, tmp_path, name):
    names = [f"3/{p}.png" for p in range(9)]
    lines = names if name == "t.csv" else [json.dumps({"image": one}) for one in names]
    (photos / name).write_text("\n".join(["image", *lines] if name == "t.csv" else lines) + "\n")
    assert predict(photos / name, "--out", "table.csv").exit_code == 0
    assert predict(photos / "3", "--out", "folder.csv").exit_code == 0
    assert (tmp_path / "table.csv").read_text() == (tmp_path / "folder.csv").read_text()


def test_a_table_that_asks_here_and_there_is_refused(predict, photos):
    (photos / "u.csv").write_text("image,question\n3/0.png,is it odd ?\n3/1.png,\n")
    assert "it has no question, other rows have one" in str(predict(photos / "u.csv").exception)


def test_without_a_file_a_table_is_printed(predict, photos):
    result = predict(photos / "1", "--abstain", "--least", "0.9999")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["file", "class", "probability", "set", "doubtful", "second", "likeness", "status"]
    assert len(lines) == 10
    assert "9 pictures, " in result.stderr


def test_a_page_to_look_at_is_written_and_resumed_with_the_answers(predict, photos, begun, tmp_path):
    assert predict(photos, "--out", "a.csv", "--html", "a.html").exit_code == 0
    text = (tmp_path / "a.html").read_text()
    assert text.count("<article") == text.count("data:image/jpeg") == len(DIGITS)
    assert QUESTION in text


def test_a_doubtful_answer_names_no_class_where_it_shall_abstain(predict, photos, tmp_path):
    assert predict(photos, "--out", "a.jsonl", "--abstain", "--least", "0.9").exit_code == 0
    found = rows(tmp_path / "a.jsonl")
    assert {row["class"] is None for row in found if row["doubtful"]} == {True}
    assert {row["class"] is None for row in found if not row["doubtful"]} == {False}
    assert all(row["doubtful"] for row in found if row["probability"] < 0.9)


def test_what_cannot_be_read_has_a_status_and_the_others_answers(predict, photos, tmp_path):
    shutil.copytree(photos / "2", tmp_path / "mine")
    (tmp_path / "mine" / "text.png").write_bytes(b"no picture")
    whole = (tmp_path / "mine" / "0.png").read_bytes()
    (tmp_path / "mine" / "torn.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "mine" / "empty.png").touch()
    names = [*sorted(str(path) for path in (tmp_path / "mine").iterdir()), "nowhere.png"]
    result = predict("-", "--out", "a.csv", input="\n".join(names))
    assert result.exit_code == DONE_WITH_FAILURES
    statuses = {row["file"].rpartition("/")[2]: row["status"] for row in rows(tmp_path / "a.csv")}
    bad = {name: status for name, status in statuses.items() if status != "ok"}
    assert set(bad) == {"text.png", "torn.png", "empty.png", "nowhere.png"}
    assert bad["text.png"] == "not_an_image"
    assert bad["nowhere.png"] == "image_missing"
    assert len(statuses) == 13
    assert "failed: nowhere.png: image_missing" in result.stderr


def test_no_cell_is_computed_by_a_spreadsheet(predict, photos, tmp_path):
    for name in ("=1+1.png", "@SUM(A1).png", "+1.png", "-1.png"):
        shutil.copy(photos / "0" / "0.png", tmp_path / name)
    (tmp_path / "names").write_text("=1+1.png\n@SUM(A1).png\n+1.png\n-1.png\nnone\x1b[31m.png\n")
    assert predict("-", "--out", "a.csv", input=(tmp_path / "names").read_text()).exit_code == DONE_WITH_FAILURES
    text = (tmp_path / "a.csv").read_text()
    assert [line[:2] for line in text.splitlines()[1:]] == ["'=", "'@", "'+", "'-", "no"]
    assert "\x1b" not in text


@pytest.mark.skipif(os.name == "nt", reason="no such names, no pipes")
def test_no_name_stops_the_others(predict, photos, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    odd = [b"\xff.png", b"a\0b.png", b"a" * 400, b".", b"/dev/null", b"pipe.png", b"\xf0\x9f\x8d\x83.png"]
    names = [os.fsencode(photos / "0" / "0.png"), *odd]
    for ending in ("csv", "jsonl"):
        result = predict("-", "--out", f"a.{ending}", "--html", "a.html", input=b"\n".join(names))
        assert result.exit_code == DONE_WITH_FAILURES
        found = rows(tmp_path / f"a.{ending}")
        assert [row["status"] for row in found] == ["ok"] + ["image_missing"] * len(odd)


def stopped_in_the_middle(command, partial, how):
    """Run a command until its partial file has a first block of rows, and stop it; return its exit code."""
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    for _ in range(3000):
        if partial.exists() and partial.read_bytes().count(b"\n") > 1:
            break
        time.sleep(0.01)
    process.send_signal(how)
    return process.wait()


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
@pytest.mark.parametrize(
    ("how", "code"), [("SIGKILL", -9), pytest.param("SIGTERM", INTERRUPTED, marks=pytest.mark.slow)]
)
def test_stopped_in_the_middle_the_same_command_ends_with_the_same_bytes(
    predict, classifier, photos, tmp_path, how, code
):
    assert predict(*[photos] * 6, "--out", "whole.csv").exit_code == 0
    entry = "import sys; sys.argv[0] = 'savs-harvest'; from savs_harvest.cli import entry; entry()"
    words = [sys.executable, "-c", entry, "predict", classifier, *[photos] * 6, "--out", tmp_path / "a.csv"]
    command, partial = list(map(str, words)), tmp_path / "a.csv.partial"
    assert stopped_in_the_middle(command, partial, getattr(signal, how)) == code
    assert partial.exists()
    assert not (tmp_path / "a.csv").exists()
    with partial.open("ab") as file:
        file.write(b'{"file": "torn')
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert not partial.exists()


@pytest.fixture
def begun(predict, photos, tmp_path, monkeypatch):
    """A partial file: the first pictures are answered, then something fails."""
    with monkeypatch.context() as failing:
        failing.setattr(Journal, "finish", lambda *_: 1 / 0)
        assert predict(photos, "--out", "a.csv").exit_code != 0
    return tmp_path / "a.csv.partial"


def test_a_partial_file_is_continued_as_it_was_begun_only(predict, photos, begun, tmp_path, classifier):
    kept = begun.read_bytes()
    result = predict(photos, "--out", "a.csv", "--coverage", "0.8")
    assert result.exit_code == 1
    assert "coverage: 0.9 there, 0.8 now" in str(result.exception)
    assert begun.read_bytes() == kept
    result = predict(photos / "1", photos, "--out", "a.csv")
    assert "the pictures have changed" in str(result.exception)
    assert predict(photos, "--out", "a.csv").exit_code == 0
    begun.write_text("mine\n")
    assert "is no partial file of answers" in str(predict(photos, "--out", "a.csv").exception)
    assert begun.read_text() == "mine\n"


def test_answers_for_other_pictures_of_the_same_names_are_never_mixed(predict, photos, tmp_path, monkeypatch):
    """Pictures that were written anew kept the answers of those before."""
    shutil.copytree(photos, tmp_path / "mine")
    with monkeypatch.context() as failing:
        failing.setattr(Journal, "finish", lambda *_: 1 / 0)
        assert predict("mine", "--out", "a.csv").exit_code != 0
    shutil.copy(photos / "2" / "0.png", tmp_path / "mine" / "1" / "0.png")
    told = str(predict("mine", "--out", "a.csv").exception)
    assert "0.png, and it was written anew since: the pictures have changed" in told


@pytest.mark.parametrize(
    ("words", "kind", "told"),
    [
        (["--model", "tiny"], None, "model: None there, 'tiny' now"),
        (["--revision", "main"], None, "revision: None there, 'main' now"),
        ([], "NVIDIA H100", "device: .* there, 'NVIDIA H100' now"),
    ],
)
def test_answers_of_two_devices_or_models_are_never_mixed(predict, photos, begun, monkeypatch, words, kind, told):
    """Rows of both once stood in one table, and nothing said so."""
    kept = begun.read_bytes()
    if kind:
        monkeypatch.setattr("savs_harvest.run.provenance.device_name", lambda _: kind)
    assert re.search(told, str(predict(photos, "--out", "a.csv", *words).exception))
    assert begun.read_bytes() == kept


@pytest.mark.skipif(os.name == "nt", reason="no such locks")
def test_two_processes_never_write_the_same_answers(predict, photos, tmp_path):
    with Journal(tmp_path / "a.csv", {}).held():
        assert "is being written by another process" in str(predict(photos, "--out", "a.csv").exception)
    assert predict(photos, "--out", "a.csv").exit_code == 0


def test_what_counts_as_doubtful_is_for_the_user_to_say(predict, photos, classifier, tmp_path):
    for name, options in {"usual": [], "by-class": ["--by-class"], "alarms": ["--false-alarms", "0.5"]}.items():
        assert predict(photos, "--out", f"{name}.jsonl", *options).exit_code == 0
    usual, by_class, alarms = (rows(tmp_path / f"{name}.jsonl") for name in ("usual", "by-class", "alarms"))
    assert sum(row["doubtful"] for row in alarms) > sum(row["doubtful"] for row in usual)
    assert all(row["doubtful"] for row in alarms if row["likeness"] <= 0.5)
    assert [row["set"] for row in by_class] != [row["set"] for row in usual]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "there is no file, folder or pattern nowhere"),
        (["*.png"], "there is no file, folder or pattern"),
        (["."], "names no picture"),
        ([".", "--out", "a.txt"], "must end in .csv or .jsonl"),
        ([".", "--coverage", "1.5"], "coverage must be between 0 and 1"),
        (["-", "-"], "stdin can be read once"),
    ],
)
def test_what_cannot_be_done_is_said(predict, arguments, words):
    result = predict(*arguments)
    assert isinstance(result.exception, ValueError)
    assert words in str(result.exception)


def test_all_that_was_mistyped_is_said_at_once_and_before_a_model_is_loaded(predict, photos, tmp_path, monkeypatch):
    """One name that was mistyped once stopped everything, and the next one stopped it again."""
    monkeypatch.setattr("savs_harvest.run.expected.load_model", lambda *_: pytest.fail("a model is loaded"))
    (tmp_path / "empty").mkdir()
    told = str(predict(photos / "1", "here", photos / "2", "*.there", "empty", "here").exception).splitlines()
    assert [words in line for line, words in zip(told, ("pattern here", "*.there", "empty names no"), strict=True)]


def test_a_mistyped_model_is_said(predict, photos):
    assert "did you mean 'tiny'" in str(predict(photos / "1", "--model", "tin").exception)


def test_another_question_is_refused(predict, photos):
    (photos / "4" / "other.jsonl").write_text(json.dumps({"image": "0.png", "question": "is it odd ?", "label": "x"}))
    result = predict(photos / "4" / "other.jsonl")
    assert f"asks 'is it odd ?', the classifier was fitted on {QUESTION!r}" in str(result.exception)


def test_what_is_wrong_with_tables_is_said_before_a_model_is_loaded(predict, photos, tmp_path, monkeypatch):
    """Tables were looked at behind the model, and a pattern of tables was none."""
    monkeypatch.setattr("savs_harvest.run.expected.load_model", lambda *_: pytest.fail("a model is loaded"))
    shutil.copy(photos / "4" / "0.png", tmp_path)
    line = {"image": "0.png", "label": "x"}
    (tmp_path / "first.jsonl").write_text(json.dumps(line | {"question": "is it odd ?"}))
    (tmp_path / "second.jsonl").write_text(json.dumps(line | {"question": "is it even ?"}))
    (tmp_path / "third.csv").write_text("picture\n")
    told = str(predict("*.jsonl", "third.csv").exception)
    assert "asks 'is it odd ?'" in told
    assert "asks 'is it even ?'" in told
    assert "third.csv" in told


def test_a_pattern_of_tables_is_read_as_tables(predict, photos, tmp_path):
    shutil.copy(photos / "4" / "0.png", tmp_path)
    line = {"image": "0.png", "question": QUESTION, "label": "x"}
    for name in ("one", "two"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(line))
    assert predict("*.jsonl", "--out", "a.csv").exit_code == 0
    assert [row["file"] for row in rows(tmp_path / "a.csv")] == [str(tmp_path / "0.png")] * 2


@pytest.fixture
def changed(classifier, tmp_path):
    """Return a function that writes the classifier with other fields of its model's identity, or its `about`."""

    def write(about=None, files=None, **fields):
        read = read_classifier(classifier)
        model = {**read.about.model, "identity": {**read.about.model["identity"], **fields}}
        model |= {"files": files} if files else {}
        write_classifier(
            replace(read, about=replace(read.about, model=model, **(about or {}))), tmp_path / "c.safetensors"
        )
        return tmp_path / "c.safetensors"

    return write


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("weights", "0" * 64, "weights: '000"),
        ("chat_template", "0" * 64, "chat_template: "),
        ("images", "some other rules", "images: 'some other rules' when it was fitted, 'exif"),
        ("heads", [[0, 8, 8, "gated"]], "heads: "),
        ("image_processor", {"size": 3}, "image_processor size: 3 when it was fitted"),
        ("in_context", {"shots": 4}, "in_context: "),
        ("adapter", "0" * 64, "adapter: "),
        ("model", "owner/name", "model: 'owner/name' when it was fitted, None now"),
    ],
)
def test_another_model_than_was_fitted_is_refused_with_the_fields(predict, photos, changed, field, value, words):
    result = predict(photos / "1", "--model", "tiny", of=changed(**{field: value}))
    assert isinstance(result.exception, ValueError)
    assert words in str(result.exception)
    assert result.stdout == ""


def test_what_moves_vectors_by_rounding_is_told_and_allowed(predict, photos, changed):
    found = predict(photos / "1", of=changed(attention="eager", batching="one sample", dtype="float32"))
    assert found.exit_code == 0
    assert "model: attention: 'eager' when it was fitted, 'sdpa' now" in found.stderr
    found = predict(photos / "1", "--dtype", "bfloat16")
    assert "model: dtype: 'float32' when it was fitted, 'bfloat16' now" in found.stderr


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"weights": "0" * 64}, "name it with --model"),
        ({"model": "/etc", "revision": "0" * 40}, "name it with --model"),
        ({"model": "../x", "revision": "0" * 40}, "name it with --model"),
        ({"model": "owner/name", "revision": "main"}, "name it with --model"),
        ({"model": "owner/name", "revision": "0" * 40}, "the model owner/name, which would be downloaded"),
        ({"adapter": "0" * 64}, "name it with --adapter"),
    ],
)
def test_a_file_from_anywhere_loads_nothing_by_itself(predict, photos, changed, monkeypatch, fields, words):
    asked = []

    def offline(*_, local_files_only=False, **__):
        asked.append(local_files_only)
        raise LocalEntryNotFoundError("not here")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    result = predict(photos / "1", of=changed(**fields))
    assert isinstance(result.exception, ValueError)
    assert words in str(result.exception)
    assert all(asked)  # nothing but the cache was looked at


def test_a_folder_here_is_not_taken_for_the_hub(predict, photos, changed, tmp_path):
    (tmp_path / "owner" / "name").mkdir(parents=True)
    result = predict(photos / "1", of=changed(model="owner/name", revision="0" * 40))
    assert "a folder here has that name: say --model" in str(result.exception)


COMMIT = "1" * 40
OF_HUB = {"model": "owner/name", "revision": COMMIT, "weights": None, "configs": None}
SAME = "model: its files are, byte for byte, those of"


def test_a_copy_of_a_hub_model_in_a_folder_is_the_same_model_and_told(predict, photos, changed, hub):
    """By the cache of the hub, or by the hashes in the classifier's file where there is none."""
    assert f"{SAME} owner/name" in predict(photos / "1", "--model", CHECKPOINT, of=changed(**OF_HUB)).stderr
    written = changed(files=file_hashes(CHECKPOINT), **OF_HUB)
    shutil.rmtree(hub)
    assert f"{SAME} owner/name" in predict(photos / "1", "--model", CHECKPOINT, of=written).stderr
    found = predict(photos / "1", "--model", CHECKPOINT, of=changed(**OF_HUB))
    assert "may be a copy of it" in str(found.exception)
    assert f"hf download owner/name --revision {COMMIT}" in str(found.exception)


def test_a_folder_that_was_fitted_may_come_from_the_hub(predict, photos, classifier, hub):
    assert f"{SAME} the folder" in predict(photos / "1", "--model", "owner/name").stderr
    shutil.rmtree(hub)
    assert "hf download owner/name, and its files are compared" in str(
        predict(photos / "1", "--model", "owner/name").exception
    )


@pytest.mark.parametrize("name", ["weights", "configs"])
def test_a_copy_of_other_files_is_another_model(predict, photos, changed, hub, tmp_path, name):
    other = tmp_path / "copy"
    shutil.copytree(CHECKPOINT, other)
    if name == "weights":
        weights = load_file(other / "model.safetensors")
        save_file({key: value + 0 for key, value in weights.items()}, other / "model.safetensors", {"other": "bytes"})
    else:
        (other / "config.json").write_text((other / "config.json").read_text() + "\n")
    found = predict(photos / "1", "--model", other, of=changed(**OF_HUB))
    lines = str(found.exception).splitlines()[1:]
    assert [line.split(":")[0].strip() for line in lines] == [name]


def test_a_download_that_is_confirmed_begins(predict, photos, changed, monkeypatch):
    names = []

    def offline(name, *_, local_files_only=False, **__):
        names.append((name, local_files_only))
        raise LocalEntryNotFoundError("not here")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    result = predict(photos / "1", "--yes", of=changed(model="owner/name", revision="0" * 40))
    assert "hub cannot be reached and owner/name" in str(result.exception)
    assert names[-1] == ("owner/name", False)


def test_pictures_that_ask_their_own_come_in_tables(predict, photos, changed, tmp_path):
    own = changed({"question": None})
    assert "give a table with one for each picture" in str(predict(photos, of=own).exception)
    (photos / "5" / "own.jsonl").write_text(json.dumps({"image": "0.png", "question": "is it odd ?", "label": "x"}))
    assert predict(photos / "5" / "own.jsonl", "--out", "a.csv", of=own).exit_code == 0
    assert rows(tmp_path / "a.csv")[0]["question"] == "is it odd ?"


def test_only_the_layers_that_are_needed_are_loaded(predict, classifier, photos, monkeypatch):
    from savs_harvest.cli import deployed

    depths = []
    answers = deployed.Deployed.answers

    def look(one, vectors):
        depths.append((len(one.encoder.model.model.get_decoder().layers), vectors.shape[1]))
        return answers(one, vectors)

    monkeypatch.setattr(deployed.Deployed, "answers", look)
    assert predict(photos / "1").exit_code == 0
    read = read_classifier(classifier)
    assert read.last_layer == 2
    assert depths == [(3, len(read.heads))]


def test_drift_is_the_one_sided_mann_whitney_test():
    generator = np.random.default_rng(0)
    for shift in (0, 0.3, 1):
        known, new = generator.normal(size=200), generator.normal(shift, size=60)
        drift = Drift(200)
        for one in new:
            drift.add((1 + (known >= one).sum()) / 201)
        assert drift.p == pytest.approx(mannwhitneyu(new, known, alternative="greater", method="asymptotic").pvalue)
        assert bool(drift.words()) == (drift.p < 0.01)
    assert Drift(200).p == 1


@pytest.mark.parametrize(("groups", "size"), [(20, 1), (20, 10), (50, 20)])
def test_drift_of_pictures_of_the_same_kind_is_told_as_rarely_as_said(classifier, groups, size):
    """It counted samples where likeness counts groups: of ten frames a clip, drift was told for nothing."""
    read, cluster, told = read_classifier(classifier), np.repeat(np.arange(groups), size), 0
    none = np.zeros(len(cluster), int)
    grouped = replace(read, calibration=Calibration(1.0, np.ones(1), none, none * 1.0, none, cluster))
    for seed in range(100):
        generator = np.random.default_rng(seed)
        known = generator.normal(size=groups)[cluster] + 0.05 * generator.normal(size=groups * size)
        likeness = share_as_far(known, one_vote_each(len(cluster), cluster), generator.normal(size=200))
        drift = Drift(grouped.clusters)
        for one in likeness:
            drift.add(float(one))
        told += bool(drift.words())
    assert told <= 4  # 1 of 100 is said


def test_pictures_of_another_kind_are_told(predict, photos, tmp_path):
    (tmp_path / "noise").mkdir()
    generator = np.random.default_rng(0)
    for number in range(12):
        noise = generator.integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "noise" / f"{number}.png")
    assert "drift: these 12 pictures as a whole are unlike" in predict(tmp_path / "noise").stderr
    assert "drift" not in predict(photos).stderr
