"""Benchmarks of others: one whose files are brought is found, opened and told of like those that come with savs."""

import pytest

from kit.replicas.writing import write_picture
from savs_benchmarks import BenchmarkError, find_benchmark, rooms
from savs_benchmarks.registry import BENCHMARKS, EMBEDDED, PUBLISHED, find_published

BIRDS = """
from savs_benchmarks.files.published import PaperSplit, Published
from savs_benchmarks.files.source import Source
from savs_benchmarks.sample import DEFAULT_TASK, Sample


def samples(folder):
    for picture in sorted(folder.glob("*/*.jpg")):
        yield Sample(picture.stem, (picture,), "Which bird?", picture.parent.name, split="either")


BENCHMARK = Published(
    name="birds",
    summary="which of two birds",
    source=Source(page="https://example.org", revision="1", size="1 MB", needs=("jay/*.jpg", "kite/*.jpg")),
    licence="CC0",
    metric="accuracy",
    prompt="Which bird?",
    counts={"either": 6},
    classes="2",
    tasks={DEFAULT_TASK: ("jay", "kite")},
    samples=samples,
    paper=PaperSplit(lost="it is in no paper"),
)
"""


@pytest.fixture
def registries():
    """Leave the registries as they were."""
    kept = [(registry, dict(registry)) for registry in (BENCHMARKS, EMBEDDED, PUBLISHED, rooms.ORIGINS)]
    yield
    for registry, before in kept:
        registry.clear()
        registry.update(before)


def test_a_benchmark_whose_files_are_brought_comes_from_outside(registries, tmp_path):
    (tmp_path / "birds.py").write_text(BIRDS)
    rooms.include([tmp_path / "birds.py"])
    assert rooms.ORIGINS["birds"] == str(tmp_path / "birds.py")
    assert find_published("birds").licence == "CC0"
    with pytest.raises(BenchmarkError, match=r"the files of birds are not here: .* lacks jay"):
        find_benchmark("birds", tmp_path)
    for number, name in enumerate(["jay"] * 3 + ["kite"] * 3):
        write_picture(tmp_path / f"birds/{name}/{number}.jpg", number)
    found = find_benchmark("birds", tmp_path, pool_per_class=None)
    assert [sample.label for sample in found.samples()] == ["jay"] * 3 + ["kite"] * 3
    with pytest.raises(BenchmarkError, match="the papers' split of birds cannot be reconstructed: it is in no paper"):
        find_benchmark("birds", tmp_path, splitting="paper")


def test_a_name_that_is_taken_stays_what_it_was(registries, tmp_path):
    (tmp_path / "birds.py").write_text(BIRDS.replace('"birds"', '"pets"'))
    with pytest.raises(BenchmarkError, match=r"the benchmark 'pets' of .*birds.py is taken: savs has one"):
        rooms.include([tmp_path / "birds.py"])
    assert find_published("pets").licence != "CC0"
