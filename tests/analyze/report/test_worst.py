"""The worst answers of a report: the surest errors, their pictures where they are at hand, and what is near them."""

import base64
import io
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from kit.sweeps import sweep
from savs_analyze.cli.commands import app
from savs_analyze.findings.findings import Findings
from savs_analyze.report import thumbnails as of_thumbnails
from savs_analyze.report.page import write_report
from savs_analyze.report.thumbnails import MOST_BYTES, Thumbnails
from savs_analyze.report.worst import LARGE, MOST_OF_FAMILY, NEAREST, worst_answers
from savs_analyze.runs.results import Results
from savs_analyze.runs.sources import Sources, find_sources
from savs_stores import open_store
from savs_stores.format.fingerprint import short_hash

COUNT = 240


def picture(number, side=200):
    return Image.effect_noise((side, side), 40).convert("RGB").point(lambda value: (value + number) % 256)


def hash_of(image):
    return short_hash(repr(image.size).encode(), image.tobytes())


@pytest.fixture(scope="module")
def swept(write_toy, tmp_path_factory):
    """Results of four noisy classes, whose pictures lie in `data` beside the stores."""
    folder, generator = tmp_path_factory.mktemp("swept"), np.random.default_rng(0)
    (folder / "data").mkdir()
    hashes = []
    for number in range(COUNT):
        image = picture(number)
        image.save(folder / "data" / f"{number}.png")
        hashes.append([hash_of(image)])
    store = write_toy(
        folder / "stores",
        generator,
        "one",
        classes=4,
        change=lambda vectors: np.add(vectors, generator.normal(size=vectors.shape) * 5, out=vectors),
        sample_id=[f"data/{number}.png" for number in range(COUNT)],
        image_path=[f"data/{number}.png" for number in range(COUNT)],
        question=["Which <b>animal</b>?"] * COUNT,
        image_hash=hashes,
    )
    sweep([store.path], folder / "demo", shots=5, draws=3, heads=(3,), methods=("savs", "ridge"))
    return folder / "demo"


def parts_of(folder):
    found = Findings.of_folder(folder)
    return found, find_sources(Results(folder), [cell.facts for cell in found.cells])


def section_of(folder, **options):
    made = Thumbnails(**options)
    return worst_answers(*parts_of(folder), made), made


def cards_of(section):
    return [card for block in section.blocks for card in block.cards]


def test_the_surest_errors_come_first(swept):
    """The oracle means the scores of all draws by hand and ranks by the lead over the truth."""
    found, _ = parts_of(swept)
    best = found.best(found.chosen).iloc[0]
    kept = {}
    for cell in found.of(method=best["method"]):
        scores = np.exp(cell.scores(cell.facts.columns.index(best["setting"])).astype(float))
        scores /= scores.sum(axis=1, keepdims=True)
        for row, label, said, of, out in zip(
            cell.arrays["sample"], cell.arrays["label"], cell.arrays["predicted"][0], scores, cell.arrays["validation"],
            strict=True,
        ):  # fmt: skip
            if not out:
                kept.setdefault(row, (label, [], []))[1].append(of)
                kept[row][2].append(said)
    leads = {}
    for row, (label, of, said) in kept.items():
        mean, votes = np.mean(of, axis=0), np.bincount(said, minlength=4)
        if (votes + mean / 2).argmax() != label:
            leads[row] = np.delete(mean, label).max() - mean[label]
    expected = sorted(leads, key=lambda row: -leads[row])[:MOST_OF_FAMILY]
    section, _ = section_of(swept)
    assert [card.name for card in cards_of(section)] == [f"data/{row}.png" for row in expected]
    for card in cards_of(section):
        assert card.label != card.answer
        assert sum(truth for _, _, truth in card.scores) == 1
        assert re.fullmatch(r"wrong in [1-3] of [1-3] draws|", card.drawn)


def test_near_samples_are_the_nearest_by_the_chosen_heads(swept):
    found, sources = parts_of(swept)
    store = sources.stores["one", "planted"]
    section, _ = section_of(swept)
    ids = store.samples.sample_id.tolist()
    best = found.best(found.chosen).iloc[0]
    for card in cards_of(section):
        row = ids.index(card.name)
        wrong = [
            cell
            for cell in found.of(method=best["method"])
            if cell.arrays["predicted"][0][np.flatnonzero(cell.arrays["sample"] == row)] != store.samples.label[row]
        ]
        chosen = wrong[0] if best["method"] == "savs" else found.of(method="savs", draw=wrong[0].facts.draw)[0]
        heads = [4 * layer + head for layer, head in chosen.facts.kept[0]]
        vectors = store["planted"].read().astype(float)[:, heads]

        def cosine(one, other):
            return np.mean([a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(one, other, strict=True)])

        ranked = sorted(wrong[0].facts.support, key=lambda other: -cosine(vectors[row], vectors[other]))[:NEAREST]
        assert [near["name"] for near in card.near] == [ids[other] for other in ranked]
        assert [near["label"] for near in card.near] == [
            store.benchmark.tasks["all"][store.samples.label[other]] for other in ranked
        ]


def test_pictures_are_in_the_page_and_small(swept, tmp_path):
    page = write_report(swept, tmp_path / "report.html").read_text()
    found = re.findall(r'src="data:image/(?:png|jpeg);base64,([^"]+)"', page)
    assert len(found) == MOST_OF_FAMILY * (1 + NEAREST)
    assert sum(map(len, found)) < 1_000_000
    assert all(max(Image.open(io.BytesIO(base64.b64decode(one))).size) <= LARGE for one in found)
    assert "Which &lt;b&gt;animal&lt;/b&gt;?" in page
    assert "<b>animal" not in page
    assert "not shown" not in page


def test_all_pictures_together_stay_below_a_megabyte(swept):
    section, made = section_of(swept, left=40_000)
    shown = [
        uri for card in cards_of(section) for of in (card.pictures, *(n["pictures"] for n in card.near)) for uri in of
    ]
    assert 0 < sum(map(len, shown)) <= 40_000
    assert made.left >= 0
    assert any("has its" in line for line in section.notes)
    assert MOST_BYTES < 1_000_000


@pytest.fixture
def moved(swept, tmp_path):
    """The same results with a store whose pictures are not beside it."""
    shutil.copytree(swept.parent / "stores", tmp_path / "s" / "t" / "stores")
    shutil.copytree(swept, tmp_path / "s" / "t" / "demo")
    run = json.loads((swept / "run.json").read_text())
    run["sources"] = [source | {"store": "nowhere", "from_here": "../stores/one.zarr"} for source in run["sources"]]
    (tmp_path / "s" / "t" / "demo" / "run.json").write_text(json.dumps(run))
    return tmp_path / "s" / "t" / "demo"


def test_pictures_that_are_elsewhere_are_said_and_found_where_they_are_named(moved, swept):
    section, _ = section_of(moved)
    assert not any(card.pictures for card in cards_of(section))
    assert any("no such files are at hand" in line for line in section.notes)
    section, _ = section_of(moved, roots=[swept.parent])
    assert all(len(card.pictures) == 1 for card in cards_of(section))


def test_a_command_says_what_its_page_does_not_show(moved):
    """The page that is written over may have had the pictures, as that of the demo has."""
    done = CliRunner().invoke(app, ["report", str(moved)], catch_exceptions=False)
    assert done.stdout.strip() == str(moved / "report.html")
    assert "pictures are not shown: no such files are at hand" in done.stderr


def test_a_picture_that_changed_is_not_shown(moved, tmp_path):
    (tmp_path / "root" / "data").mkdir(parents=True)
    for number in range(COUNT):
        picture(number + 1, side=9).save(tmp_path / "root" / "data" / f"{number}.png")
    section, _ = section_of(moved, roots=[tmp_path / "root"])
    assert not any(card.pictures for card in cards_of(section))
    assert any("not the pictures that were harvested" in line for line in section.notes)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_a_file_that_is_no_picture_is_not_shown(moved, tmp_path, content):
    (tmp_path / "root" / "data").mkdir(parents=True)
    for number in range(COUNT):
        (tmp_path / "root" / "data" / f"{number}.png").write_bytes(content)
    section, _ = section_of(moved, roots=[tmp_path / "root"])
    assert not any(card.pictures for card in cards_of(section))


def test_no_path_of_a_store_leads_out_of_the_folder(write_toy, tmp_path):
    (tmp_path / "secret").mkdir()
    image = picture(1)
    image.save(tmp_path / "secret" / "mine.png")
    paths = [
        "../secret/mine.png",
        str(tmp_path / "secret" / "mine.png"),
        "secret/../../secret/mine.png",
        "\0",
        "x" * 5000,
    ]
    store = write_toy(
        tmp_path / "a" / "b" / "c",
        np.random.default_rng(0),
        image_path=[paths[number % 5] for number in range(120)],
        image_hash=[[hash_of(image)]] * 120,
    )
    (tmp_path / "inside").symlink_to(tmp_path / "secret")
    made = Thumbnails([tmp_path / "a"])
    assert [made.of(store, row, 50) for row in range(5)] == [[]] * 5
    assert sum(made.missing.values()) == 5


def test_what_lacks_is_said(swept, write_toy, tmp_path):
    found, _ = parts_of(swept)
    section = worst_answers(found, Sources({}, {("one", "planted"): "its store is not at hand"}), Thumbnails())
    assert all(card.name.startswith("row ") and not card.near for card in cards_of(section))
    assert "one, planted: no ids, questions, pictures and nearest samples: its store is not at hand." in section.notes
    bare = write_toy(tmp_path, np.random.default_rng(0), "one", classes=4)
    assert bare.texts is None
    section = worst_answers(found, Sources({("one", "planted"): bare}), Thumbnails())
    assert any("the store keeps none" in line for line in section.notes)


def test_without_an_error_there_is_no_section(write_toy, tmp_path):
    store = write_toy(tmp_path, np.random.default_rng(0), change=lambda vectors: np.multiply(vectors, [1], out=vectors))
    sweep([store.path], tmp_path / "demo", shots=10, draws=1, heads=(3,))
    found, sources = parts_of(tmp_path / "demo")
    right = all((cell.arrays["predicted"] == cell.arrays["label"]).all() for cell in found.of(method="savs"))
    section = worst_answers(found, sources, Thumbnails())
    assert (section is None) == right


def test_pictures_that_are_no_files_can_be_given(write_toy, tmp_path):
    image = picture(3, side=8)
    store = write_toy(tmp_path, np.random.default_rng(0), image_hash=[[hash_of(image)]] * 120)
    assert open_store(store.path).texts is None
    [uri] = Thumbnails(shown=lambda benchmark, name: [image]).of(store, 0, 50)
    assert uri.startswith("data:image/png;base64,")
    assert Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).tobytes() == image.tobytes()
    other = Thumbnails(shown=lambda benchmark, name: [picture(4, side=8)])
    assert other.of(store, 0, 50) == []


def test_a_turned_photograph_is_upright(tmp_path):
    image = Image.new("RGB", (40, 20), (10, 200, 10))
    exif = image.getexif()
    exif[274] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert of_thumbnails._decoded(tmp_path / "turned.jpg").size == (20, 40)


@pytest.fixture
def decoded(monkeypatch):
    """The names of the files that are decoded, in their order."""
    names, decode = [], of_thumbnails._decoded
    monkeypatch.setattr(of_thumbnails, "_decoded", lambda file: names.append(file.name) or decode(file))
    return names


MANY = {
    # paths, which of them are what they were, how many pixels the page may read: how often each is shown, what is read
    "a path again": (["a.png"] * 4, 4, 10**6, 4, ["a.png"]),
    "the first differs": (["a.png", "b.png", "c.png"], 0, 10**6, 0, ["a.png"]),
    "more paths than hashes": (["a.png", "b.png", "c.png"], None, 10**6, 0, []),
    "too many pixels": (["a.png", "b.png", "c.png"], 3, 250, 0, ["a.png", "b.png"]),
}


@pytest.mark.parametrize("case", MANY)
def test_no_more_is_decoded_than_can_be_shown(write_toy, tmp_path, monkeypatch, decoded, case):
    """A store that names one large picture twelve times a sample took 5 GB."""
    paths, same, pixels, shown, read = MANY[case]
    for number, name in enumerate(dict.fromkeys(paths)):
        picture(number, side=10).save(tmp_path / name)
    true = [hash_of(Image.open(tmp_path / path)) for path in paths]
    hashes = true[:1] if same is None else [number if place < same else 1 for place, number in enumerate(true)]
    store = write_toy(tmp_path, np.random.default_rng(0), image_path=[paths] * 120, image_hash=[hashes] * 120)
    made = Thumbnails(pixels=pixels)
    for _ in range(2):
        assert len(made.of(store, 0, 50)) == shown
    assert decoded == read
    assert sum(made.missing.values()) == 2 * (len(paths) - shown)


def test_a_link_out_of_the_folder_is_followed_below_a_root_that_is_named(write_toy, tmp_path):
    image = picture(1, side=10)
    (tmp_path / "disk").mkdir()
    image.save(tmp_path / "disk" / "0.png")
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "data").symlink_to(tmp_path / "disk")
    store = write_toy(
        tmp_path / "a" / "b",
        np.random.default_rng(0),
        image_path=["data/0.png"] * 120,
        image_hash=[[hash_of(image)]] * 120,
    )
    made = Thumbnails()
    assert made.of(store, 0, 50) == []
    assert list(made.missing) == [of_thumbnails.LINKED]
    assert len(Thumbnails([tmp_path / "a"]).of(store, 0, 50)) == 1
