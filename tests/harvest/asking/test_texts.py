"""What a store keeps for people: paths as seen from here, never absolute, and questions."""

import os
from pathlib import Path

import pytest
from PIL import Image

from savs_benchmarks import Reading, Sample, load_own
from savs_benchmarks.pictures.pictures import StoredPicture
from savs_harvest.asking import texts
from savs_harvest.asking.index import index_samples
from savs_harvest.asking.texts import texts_of


@pytest.fixture
def data(tmp_path):
    for number, name in enumerate(["cat/1.png", "cat/2.png", "dog/1.png", "dog/é 2.png"]):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (60 * number, 9, 9)).save(tmp_path / "data" / name)
    return tmp_path / "data"


def paths_of(path, **reading):
    benchmark = load_own(path, Reading(question="Which animal?", **reading))
    found = index_samples(benchmark, list(benchmark.samples())).texts
    assert set(found.question.tolist()) == {"Which animal?"}
    return found.image_path[:, 0].tolist()


NAMES = ["cat/1.png", "cat/2.png", "dog/1.png", "dog/é 2.png"]


def test_paths_lead_from_the_working_folder_to_the_pictures(data, monkeypatch):
    monkeypatch.chdir(data.parent)
    assert paths_of(data) == [f"data/{name}" for name in NAMES]
    assert all(os.path.isfile(name) for name in paths_of(data))  # noqa: PTH113


def test_elsewhere_they_lead_from_the_folder_of_the_data(data, tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert paths_of(data) == NAMES
    (data / "table.csv").write_text("image,label\n" + "\n".join(f"{name},{name[:3]}" for name in NAMES))
    assert paths_of(data / "table.csv") == NAMES
    (tmp_path / "table.csv").write_text("image,label\n" + "\n".join(f"{name},{name[:3]}" for name in NAMES))
    assert paths_of(tmp_path / "table.csv", image_root=data) == NAMES


def test_pictures_of_no_named_folder_lead_from_the_one_that_all_are_below(data, tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    benchmark = load_own(data, Reading(question="Which animal?"))
    samples = [Sample(name, (data / name,), "Which?", "cat", "test") for name in NAMES]
    object.__setattr__(benchmark, "folder", None)
    assert texts_of(benchmark, samples).image_path[:, 0].tolist() == NAMES


def test_pictures_without_a_file_have_no_path_and_those_in_tables_say_their_row(data, monkeypatch):
    monkeypatch.chdir(data.parent)
    benchmark = load_own(data, Reading(question="Which animal?"))
    pictures = (Image.new("RGB", (2, 2)), StoredPicture(data / "a.parquet", 7, "image"))
    found = texts_of(benchmark, [Sample("1", pictures, "Which?", "cat", "test")])
    assert found.image_path.tolist() == [["", "data/a.parquet, row 7, image"]]


def test_no_path_is_absolute_or_names_the_user(data, tmp_path, monkeypatch):
    for place in (tmp_path, data, data / "cat", tmp_path / "other", Path("/")):
        place.mkdir(exist_ok=True)
        monkeypatch.chdir(place)
        assert not any(os.path.isabs(name) or ".." in name for name in paths_of(data))  # noqa: PTH117
        assert not any(tmp_path.name in name for name in paths_of(data))


ELSEWHERE = {
    "users": (["/home/ann/0.png", "/home/bob/1.png"], ["0.png", "1.png"]),
    "users, names again": (["/home/ann/0.png", "/home/bob/0.png"], ["0.png", "0.png"]),
    "disks": (["/home/ann/a/0.png", "/var/tmp/ann/b/0.png", "/srv/ann/1.png"], ["a/0.png", "b/0.png", "1.png"]),
    "one disk": (["/srv/pets/a/0.png", "/srv/pets/b/0.png"], ["a/0.png", "b/0.png"]),
}


@pytest.mark.parametrize("case", ELSEWHERE)
def test_no_home_is_in_paths_of_pictures_that_lie_here_and_there(data, monkeypatch, case):
    files, expected = ELSEWHERE[case]
    benchmark = load_own(data, Reading(question="Which animal?"))
    samples = [Sample(file, (Path(file),), "Which?", "cat", "test") for file in files]
    monkeypatch.chdir("/")
    assert texts_of(benchmark, samples).image_path[:, 0].tolist() == expected


def test_of_questions_that_are_too_long_to_be_kept_the_paths_stay(data, monkeypatch):
    """A thousand classes in 150,000 questions took 5 GB, and then neither was kept."""
    monkeypatch.chdir(data.parent)
    question = "Welches Tier wäre es ?"  # 23 bytes
    benchmark = load_own(data, Reading(question=question))
    for most, asked in ((4 * (23 + 4), question), (4 * (23 + 4) - 1, "")):
        monkeypatch.setattr(texts, "MOST_TEXT_BYTES", most)
        found = texts_of(benchmark, list(benchmark.samples()))
        assert found.question.tolist() == [asked] * 4
        assert found.image_path[:, 0].tolist() == [f"data/{name}" for name in NAMES]
