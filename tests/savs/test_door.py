"""The one door for Python: light, short, and the same numbers as the commands."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import savs
from savs_analyze.runs.found_heads import FoundHeads
from savs_analyze.runs.request import Ask
from savs_benchmarks import BENCHMARKS, BenchmarkError, load_picture
from savs_benchmarks.splits import limited
from savs_harvest.batches.layout_check import load_model
from savs_harvest.models.specs import find_model
from savs_harvest.run.harvest import harvest
from savs_harvest.run.settings import Settings
from savs_stores import open_store, write_class_vectors


@pytest.fixture(scope="module")
def few(digits):
    """The first samples of a benchmark of real digits."""
    return digits[:40]


@pytest.fixture(scope="module")
def digits():
    return list(BENCHMARKS["digits"].samples())


@pytest.fixture(scope="module")
def tiny():
    return savs.load_model("tiny", device="cpu")


def fresh(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_it_waits_for_nothing():
    heavy = "{'torch', 'transformers', 'pandas', 'matplotlib', 'zarr', 'sklearn', 'numpy'}"
    assert fresh(f"import sys, savs; dir(savs), savs.__version__; print(sorted({heavy} & set(sys.modules)))") == "[]"


def test_it_is_found_from_the_root_of_the_project_too():
    root = Path(__file__).parents[2]
    code = f"import os; os.chdir({str(root)!r}); import savs; print(savs.open_store.__name__)"
    assert fresh(code) == "open_store"


def test_everything_it_names_is_there():
    assert dir(savs) == sorted(savs.__all__)
    assert all(getattr(savs, name) for name in savs.__all__)
    assert len(savs.__all__) < 16
    with pytest.raises(AttributeError, match=r"no attribute 'fit_all'; it has Findings, .*write_store"):
        _ = savs.fit_all


def test_what_is_missing_is_named():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import savs\n"
        "try: savs.load_model('tiny')\n"
        "except ImportError as error: print(error)"
    )
    assert fresh(code) == 'savs.load_model needs torch: pip install "savs[harvest]"'


def test_pictures_in_memory_give_what_a_harvest_stores(tiny, few, tmp_path):
    class Few:
        def __getattr__(self, name):
            return getattr(BENCHMARKS["digits"], name)

        def samples(self):
            return iter(few)

    harvest(load_model(find_model("tiny"), "cpu"), Few(), tmp_path / "few.zarr", Settings(logits=False))
    stored = open_store(tmp_path / "few.zarr")["tiny"].read()
    images = [[load_picture(picture) for picture in sample.images] for sample in few]
    vectors = tiny.encode(images, [sample.question for sample in few])
    assert vectors.dtype == np.float16
    assert (vectors == stored).all()  # in the same batches, to the last bit


@pytest.mark.parametrize("as_what", [Image.fromarray, np.asarray], ids=["picture", "array"])
def test_a_picture_may_come_in_any_form(tiny, tmp_path, as_what):
    pixels = np.random.default_rng(0).integers(0, 255, (40, 30, 3), dtype=np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    expected = tiny.encode([path], "is it odd ?")
    assert expected.shape == (1, len(tiny.heads), tiny.heads.dim)
    for given in (as_what(pixels), [as_what(pixels)], str(path)):
        assert (tiny.encode([given], ["is it odd ?"]) == expected).all()


def test_no_pictures_give_no_vectors(tiny):
    assert tiny.encode([], "is it odd ?").shape == (0, len(tiny.heads), tiny.heads.dim)


def test_many_pictures_come_in_blocks(tiny, monkeypatch):
    monkeypatch.setattr("savs_harvest.run.encoding.BLOCK", 2)
    images = [Image.new("RGB", (20, 20), (shade, 0, 0)) for shade in (0, 60, 120, 180, 240)]
    blocks = list(tiny.encode_blocks(images, "is it odd ?"))
    assert [len(block) for block in blocks] == [2, 2, 1]
    np.testing.assert_allclose(
        np.concatenate(blocks).astype(float), tiny.encode(images, "is it odd ?").astype(float), rtol=2**-9, atol=1e-4
    )


@pytest.mark.parametrize(
    ("images", "question", "words"),
    [
        (["nowhere.png"], "q", "sample 0: nowhere.png: there is no such file"),
        ([np.zeros((8, 8, 3))], "q", r"sample 0: an array must be uint8 \[height, width, 3\], .* got float64 of shape"),
        ([np.zeros((3, 8, 8), np.uint8)], "q", r"sample 0: an array must be .* got uint8 of shape \(3, 8, 8\)"),
        ([np.zeros(8, np.uint8)], "q", r"sample 0: an array must be"),
        ([np.zeros((0, 4, 3), np.uint8)], "q", r"sample 0: an array must be"),
        ([None], "q", "sample 0: a picture is a PIL image, an array or a path, not NoneType"),
        (Image.new("RGB", (20, 20)), "q", "images must be a list of pictures, not Image"),
        ("a.png", "q", "images must be a list of pictures, not str"),
        ([Image.new("RGB", (20, 20))], [3], "sample 0: its question is no text: 3"),
        ([Image.new("RGB", (20, 20))] * 2, ["q"], "1 questions are asked of 2 samples: one for all, or one for each"),
    ],
)
def test_what_cannot_be_read_is_named(tiny, images, question, words):
    with pytest.raises(ValueError, match=words):
        tiny.encode(images, question)


def test_a_sweep_returns_what_it_found(make_planted_store, tmp_path):
    store = make_planted_store(tmp_path / "planted.zarr")
    found = savs.sweep(store.path, methods=["savs", "ridge"], heads=[1, 3], shots=5, draws=2, out=tmp_path / "out")
    table = found.table()
    assert set(table["method"]) == {"savs", "ridge"}
    assert {"value", "low", "high"} <= set(table)
    answers = found.answers()
    right = answers[(answers["split"] == "test") & (answers["method"] == "ridge")]
    for setting, of_setting in right.groupby("setting"):
        rows = found.summary[(found.summary["setting"] == setting) & (found.summary["metric"] == "accuracy")]
        assert rows["value"].iloc[0] == pytest.approx(of_setting.groupby("draw")["correct"].mean().mean())
    assert (answers["correct"] == (answers["label"] == answers["answer"])).all()
    assert {"difference", "holm"} <= set(found.compare())
    again = savs.sweep([store.path], methods=["savs", "ridge"], heads=[1, 3], shots=5, draws=2, out=tmp_path / "out")
    assert again.table().equals(table)


def test_methods_that_are_not_named_are_those_of_the_command(make_planted_store, tmp_path):
    store = make_planted_store(tmp_path / "planted.zarr")  # without logits or answers, so without their methods
    found = savs.sweep(store.path, heads=3, shots=5, draws=2, out=tmp_path / "out")
    assert set(found.table()["method"]) == {*Ask().methods} - {"zero-shot", "said"} == {"savs", "kernel-ridge"}


def test_a_sweep_takes_a_file_of_heads_of_other_tasks(make_planted_store, tmp_path):
    """A path had a traceback, and what it holds no name at this door."""
    store = make_planted_store(tmp_path / "planted.zarr")
    [name] = store.models
    vectors, file = store[name], tmp_path / "heads.json"
    texts = {task: {one: f"a {one}" for one in names} for task, names in store.benchmark.tasks.items()}
    shape = sum(map(len, texts.values())), len(vectors.heads), vectors.heads.dim
    write_class_vectors(vectors, texts, np.random.default_rng(0).normal(size=shape))
    elsewhere = {"benchmark": "other", "task": "all", "source": "", "classes": ""}
    file.write_text(FoundHeads(((0, 0), (0, 1)), name, vectors.heads.hash(), (elsewhere,)).written())
    found = savs.sweep(store.path, methods=["hec-t-fixed"], found=str(file), out=tmp_path / "out")
    assert set(found.table()["setting"]) == {"hec-t-fixed, 2 heads of other tasks"}
    with pytest.raises(ValueError, match=r"nothing\.json is no file of savs-analyze heads"):
        savs.sweep(store.path, methods=["hec-t-fixed"], found=tmp_path / "nothing.json", out=tmp_path / "out")


def test_a_keyword_that_there_is_not_is_refused(tmp_path, make_planted_store):
    store = make_planted_store(tmp_path / "planted.zarr")
    with pytest.raises(TypeError, match="sweep has no shoots"):
        savs.sweep(store.path, shoots=5, out=tmp_path / "out")


def test_a_benchmark_is_asked_in_another_wording(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = savs.harvest("tiny", limited(BENCHMARKS["digits"], 10), wording="td", logits=False)
    assert (Path(store.path).name, store.benchmark.wording) == ("digits-10-td.zarr", "td")
    with pytest.raises(BenchmarkError, match="digits-pairs has no wording 'td'"):
        savs.harvest("tiny", "digits-pairs", wording="td")


def test_python_hears_what_the_command_warns_of(tiny, tmp_path):
    few = limited(BENCHMARKS["digits"], 20)
    silent = replace(few, answers={name: "" for of_task in few.tasks.values() for name in of_task})
    with pytest.warns(UserWarning, match="--class-prompt makes nothing"):
        savs.harvest(tiny, silent, tmp_path / "s.zarr", logits=False, class_prompt="a {class}")
