"""The report says what its readers asked for: when, against what, along which axis, counted in what, of which data."""

import re

import numpy as np
import pytest

from kit.sweeps import sweep
from savs_analyze.cli.planted import write_planted
from savs_analyze.findings.findings import Findings
from savs_analyze.report.notes import counted_words
from savs_analyze.report.page import write_report
from savs_stores import BenchmarkInfo, write_store


def groups(path, slots, metric, generator, split=("pool", "test")):
    count = 40 * slots
    labels = generator.integers(2, size=count)
    return write_store(
        path,
        benchmark=BenchmarkInfo(path.stem, {"all": ["no", "yes"]}, metric=metric),
        samples={
            "label": [("no", "yes")[label] for label in labels],
            "group": [f"{number // slots}" for number in range(count)],
            "slot": [number % slots for number in range(count)],
            "split": np.repeat(split, count // 2).tolist(),
        },
        model="planted",
        heads=generator.normal(size=(count, 2, 3, 4)),
        logits=generator.normal(size=(count, 2)).astype(np.float32),
    )


@pytest.fixture(scope="module")
def swept(write_toy, tmp_path_factory):
    folder, generator = tmp_path_factory.mktemp("swept"), np.random.default_rng(0)
    logits = np.zeros((2 * 12 * 2, 2), dtype=np.float32)
    stores = [
        write_toy(folder, generator, "plain", classes=4).path,
        groups(folder / "grouped.zarr", 4, "question-image-group", generator).path,
        write_toy(folder, generator, "either", count=12, split=("either", "either"), logits=logits).path,
    ]
    sweep(stores, folder / "demo", shots=4, draws=3, heads=(1, 3))
    return folder / "demo"


@pytest.fixture(scope="module")
def page(swept):
    return write_report(swept, swept / "report.html").read_text()


def section(page, title):
    return re.search(rf"<h2[^>]*>{re.escape(title)}</h2>.*?</section>", page, re.DOTALL).group()


def test_it_says_when_it_was_made(swept, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    pages = [write_report(swept, tmp_path / f"{name}.html").read_text() for name in "ab"]
    assert "<dt>Made</dt><dd>2023-11-14 22:13 UTC</dd>" in pages[0]
    assert pages[0] == pages[1]
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    assert re.search(
        r"<dt>Made</dt><dd>20\d\d-\d\d-\d\d \d\d:\d\d UTC</dd>", write_report(swept, tmp_path / "c.html").read_text()
    )


def test_every_line_has_its_chance_level(page):
    found = section(page, "Results")
    assert "Chance is guessing" in found
    cells = [
        re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line) for line in re.findall(r"<tr[^>]*>(.*?)</tr>", found, re.DOTALL)
    ]
    column = [re.sub("<.*", "", cell) for cell in cells[0]].index("chance")
    chances = [line[column] for line in cells[1:]]
    assert chances == ["25.0", "6.2", "25.0", "25.0", "50.0", "50.0"]


def test_what_n_counts_is_said_where_there_is_an_n(page):
    for title in ("Results", "Which methods differ", "Classes", "Balanced accuracy and macro-F1"):
        assert "n counts" in section(page, title)
    assert "n counts tested samples, in grouped groups of 4 that are scored together; where a draw" in section(
        page, "Results"
    )


def test_n_is_said_of_what_is_there(make_store, generator, tmp_path):
    plain = make_store()
    sweep([plain.path], tmp_path / "plain", shots=4, draws=2, heads=(3,))
    assert counted_words(Findings.of_folder(tmp_path / "plain").cells) == "n counts tested samples."
    pairs = groups(tmp_path / "pairs.zarr", 2, "pair", generator)
    sweep([pairs.path], tmp_path / "paired", shots=4, draws=2, heads=(2,))
    assert (
        counted_words(Findings.of_folder(tmp_path / "paired").cells) == "n counts groups of 2 that are scored together."
    )


def test_every_chart_says_its_axes(page):
    maps = section(page, "Where the heads are")
    assert maps.count(">head</text>") == maps.count(">layer</text>") == maps.count("<svg") == 3
    curves = section(page, "Against the number of heads")
    assert curves.count("heads that vote") == curves.count('class="drawn"')
    assert curves.count("accuracy, %") == curves.count('class="drawn"')
    reliability = section(page, "Probabilities")
    assert reliability.count("probability of the answer, %") == reliability.count('class="drawn"')
    classes = section(page, "Classes")
    assert (
        classes.count("taken for</text>") == classes.count("true class</text>") == classes.count('<div class="matrix">')
    )


def test_made_up_data_are_called_so(tmp_path, page):
    store = write_planted(tmp_path / "vectors.zarr", classes=3, pool=8, test=8, layers=2, heads=4, dim=8)
    sweep([store.path], tmp_path / "demo", shots=4, draws=2, heads=(2,))
    made = write_report(tmp_path / "demo", tmp_path / "report.html").read_text()
    assert "Made-up data." in made
    assert "random numbers that no model gave" in made
    assert "from the attention heads of" not in made
    assert "Made-up data." not in page


@pytest.mark.parametrize(("layers", "heads", "wide"), [(28, 28, False), (32, 32, True), (80, 64, True)])
def test_large_maps_have_cells_to_see_and_name_their_heads(tmp_path, layers, heads, wide):
    store = write_planted(tmp_path / "large.zarr", classes=2, pool=6, test=6, layers=layers, heads=heads, dim=4)
    sweep([store.path], tmp_path / "demo", shots=4, draws=3, heads=(5,))
    maps = section(write_report(tmp_path / "demo", tmp_path / "report.html").read_text(), "Where the heads are")
    assert ('<figure class="wide">' in maps) == wide
    width, height = map(int, re.search(r'class="heat" x="\d+" y="\d+" width="(\d+)" height="(\d+)"', maps).groups())
    assert width == height >= 9
    chosen = re.findall(r"<title>layer (\d+), head (\d+): chosen in (\d) of 3 draws</title>", maps)
    assert sum(int(count) for _, _, count in chosen) == 3 * 5
    first = max(chosen, key=lambda one: (int(one[2]), -int(one[0]), -int(one[1])))
    assert f"Most often, of 3 draws: layer {first[0]} head {first[1]} ({first[2]})" in maps
    assert re.search(r'class="box map"', maps)


def test_small_maps_name_none(page):
    assert "Most often" not in section(page, "Where the heads are")
