"""Results are read as they were saved, or not at all; whatever is in their files, reading them is harmless."""

import io
import json
import os
import pickle
import shutil
import tracemalloc
import zipfile

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from kit.sweeps import sweep
from savs_analyze.cli.commands import app
from savs_analyze.findings.findings import Findings
from savs_analyze.report.notes import footnotes
from savs_analyze.runs import draw_pass
from savs_analyze.runs import results as results_module
from savs_analyze.runs import saved as saved_module
from savs_analyze.runs.audit import audit
from savs_analyze.runs.results import Results, _digest, replaced
from savs_analyze.runs.saved import read_bytes
from savs_metrics import OF_CLASSES, OF_SCORES

READERS = ["table", "compare", "report", "figures", "hyperparameters", "stability", "compare-paper"]


@pytest.fixture(scope="module")
def swept(write_toy, tmp_path_factory):
    """The folder of a sweep of four cells; leave it as it is."""
    folder = tmp_path_factory.mktemp("swept")
    write_toy(folder, np.random.default_rng(0))
    again(folder)
    return folder


def again(folder):
    """Run the sweep of `swept`, or what is left of it."""
    return sweep([folder / "toy.zarr"], folder / "out", shots=5, draws=2, heads=(1, 3), methods=["savs", "savs-rbf"])


@pytest.fixture
def folder(swept, tmp_path):
    return shutil.copytree(swept, tmp_path / "copy")


def cells_of(folder):
    return sorted((folder / "out" / "cells").glob("*.json"))


def forge(cell, facts=None, rows=None, arrays=None, content=None):
    """Change a cell as one who knows of its checksum: functions change what is in it, `content` is its whole .npz."""
    saved = json.loads(cell.read_text())
    del saved["sha256"]
    with np.load(cell.with_suffix(".npz")) as found:
        held = dict(found)
    for part, change in ((saved["facts"], facts), (saved["rows"], rows), (held, arrays)):
        if change:
            change(part)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **held)
    content = buffer.getvalue() if content is None else content
    cell.with_suffix(".npz").write_bytes(content)
    saved["sha256"] = _digest(saved, content)
    cell.write_text(json.dumps(saved))


def flip(cell):
    """Change one prediction, in a file that is as whole as before."""
    with np.load(cell.with_suffix(".npz")) as found:
        held = dict(found)
    held["predicted"][0, 0] ^= 1
    np.savez_compressed(cell.with_suffix(".npz"), **held)


DAMAGE = {
    "a prediction": flip,
    "a byte more": lambda cell: cell.with_suffix(".npz").write_bytes(cell.with_suffix(".npz").read_bytes() + b"\0"),
    "half of the arrays": lambda cell: cell.with_suffix(".npz").write_bytes(
        cell.with_suffix(".npz").read_bytes()[:300]
    ),
    "no arrays": lambda cell: cell.with_suffix(".npz").unlink(),
    "a value": lambda cell: cell.write_text(cell.read_text().replace('"leaked": 0', '"leaked": 7', 1)),
    "half of the facts": lambda cell: cell.write_text(cell.read_text()[:200]),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_changed_cell_is_no_longer_read_and_the_same_sweep_mends_it(name, folder, capsys):
    before = (folder / "out" / "rows.csv").read_text()
    cell, *others = cells_of(folder)
    kept = {path: path.stat().st_mtime_ns for other in others for path in (other, other.with_suffix(".npz"))}
    DAMAGE[name](cell)
    with pytest.raises(OSError, match=rf"{cell.name}, or the \.npz beside it, is damaged .*: run the same sweep"):
        list(Results(folder / "out").loaded())
    capsys.readouterr()
    again(folder)
    assert f"1 damaged cells are computed anew, of {cell.name} on" in capsys.readouterr().err
    after = (folder / "out" / "rows.csv").read_text()
    assert without_seconds(after) == without_seconds(before)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert not list((folder / "out").rglob(".*"))


def without_seconds(text):
    import pandas as pd

    return pd.read_csv(io.StringIO(text)).drop(columns="seconds").to_csv()


@pytest.mark.parametrize("command", READERS)
def test_every_reader_looks_at_the_checksum(command, folder):
    cell = cells_of(folder)[0]
    flip(cell)
    result = CliRunner().invoke(app, [command, str(folder / "out")])
    assert isinstance(result.exception, OSError)
    assert cell.name in str(result.exception)
    assert not (folder / "out" / "report.html").exists()


def test_cells_of_an_older_version_are_read_told_and_kept(folder, capsys):
    older = cells_of(folder)[:3]
    for cell in older:
        saved = json.loads(cell.read_text())
        del saved["sha256"]
        cell.write_text(json.dumps(saved))
    texts = [cell.read_text() for cell in older]
    assert len(list(Results(folder / "out").loaded())) == 4
    told = "3 cells are of an older version without checksums and were not checked"
    assert told in capsys.readouterr().err
    again(folder)
    assert [cell.read_text() for cell in older] == texts


def npz(**members):
    """Return an archive of members as they are."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def header(shape, dtype="<i2", data=b""):
    """Return an array's file that says it has this shape, whatever it holds."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue() + data


def encrypted(content):
    """Return an archive that says its members need a password."""
    found = bytearray(content)
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        found[content.index(signature) + flags] |= 1
    return bytes(found)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("code of a foreign file was run",))


def with_member(**changed):
    """Return the archive of a cell with members put in the place of its own."""

    def content(cell):
        with zipfile.ZipFile(cell.with_suffix(".npz")) as archive:
            found = {member.removesuffix(".npy"): archive.read(member) for member in archive.namelist()}
        return npz(**{name: value for name, value in (found | changed).items() if value is not None})

    return content


CRAFTED_ARRAYS = {
    "rows without end": with_member(predicted=header((2, 10**12))),
    "samples without end": with_member(sample=header((10**15,), "<i8")),
    "more dimensions than there are": with_member(predicted=header((0,) * 200)),
    "objects": with_member(predicted=header((1,), "|O", pickle.dumps([Bomb()]))),
    "records": with_member(predicted=header((1,), [("a", "<i2")], bytes(2))),
    "texts": with_member(label=header((1,), "<U1", bytes(4))),
    "fractions": with_member(label=header((120,), "<f8", bytes(960))),
    "no header": with_member(label=b"junk"),
    "a shape of truths": with_member(predicted=header((True, 60), "<i2", bytes(120))),
    "a header longer than it is": with_member(label=b"\x93NUMPY\x01\x00\xff\xff" + b"{}"),
    "a header that is code": with_member(label=b"\x93NUMPY\x01\x00\x76\x00" + b"exit()".ljust(118)),
    **{
        f"a header that Python cannot parse, {text[:2]}": with_member(
            label=b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()
        )
        for text in ("-" * 9000 + "1", "1+" * 4000 + "1", "(" * 9000, "{'a", "[" * 150 + "]" * 150)
    },
    "a password": lambda cell: encrypted(with_member()(cell)),
    "an array more": with_member(more=header((1,), "<i2", bytes(2))),
    "an array less": with_member(slot=None),
    "much in little": with_member(predicted=header((2, 2**29), "<i2", bytes(2**20))),
    "scores without end": with_member(scores=header((2, 60, 10**12), "<f2")),
    "scores that are objects": with_member(scores=header((1,), "|O", pickle.dumps([Bomb()]))),
    "scores that are whole numbers": with_member(scores=header((2, 60, 2), "<i2", bytes(480))),
    "scores twice as wide": with_member(scores=header((2, 60, 2), "<f4", bytes(960))),
    "scores of more classes": with_member(scores=header((2, 60, 3), "<f2", bytes(720))),
    "scores of another order": with_member(scores=header((60, 2, 2), "<f2", bytes(480))),
    "no archive": lambda cell: b"PK\x03\x04junk",
}


@pytest.mark.parametrize("name", CRAFTED_ARRAYS)
def test_crafted_arrays_cost_an_error_and_nothing_else(name, folder):
    cell = cells_of(folder)[0]
    forge(cell, content=CRAFTED_ARRAYS[name](cell))
    assert refused(folder, cell) < 2**24


def refused(folder, cell):
    """Return how much memory it takes to refuse a cell."""
    tracemalloc.start()
    try:
        with pytest.raises(OSError, match=f"{cell.stem}.* is damaged"):
            Results(folder / "out").load(cell.stem)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_an_archive_that_unpacks_to_much_is_not_unpacked(folder, monkeypatch):
    cell = cells_of(folder)[0]
    monkeypatch.setattr(saved_module, "MOST_ARRAY_BYTES", 2**25)
    forge(cell, content=with_member(predicted=header((2, 2**24), "<i2", bytes(2**26)))(cell))
    assert cell.with_suffix(".npz").stat().st_size < 2**18
    assert refused(folder, cell) < 2**24


def put(**changes):
    return lambda part: part.update(changes)


CRAFTED_FACTS = {
    "classes without end": put(classes=10**9, class_names=[]),
    "many classes in many settings": put(classes=2**15, class_names=["x"] * 2**15),
    "a truth value for a number": put(draw=True),
    "shots without end": put(shots=10**12),
    "a metric that is none": put(metric="__import__"),
    "names that are numbers": put(benchmark=7),
    "another number of names": put(class_names=["a"]),
    "layers without end": put(head_table=[[10**9], [10**9]]),
    "heads without end": put(kept=[[[0, 10**9]]] * 2),
    "heads below nought": put(kept=[[[0, -1]]] * 2),
    "no settings": put(settings=[], columns=[]),
    "a setting of no method": lambda facts: facts["settings"][0].update(name="os.system"),
    "a setting of another kind": lambda facts: facts["settings"].__setitem__(0, {"parameters": 3}),
    "columns that are numbers": put(columns=[1, 2]),
    "no validation": put(validation={"share": 7}),
    "no words for why": put(without_scores=7),
    "a hash that is a number": put(class_vectors=7),
    "heads of other tasks below nought": lambda facts: facts["settings"][0].update(heads=[[0, -1]]),
    "heads of other tasks without end": lambda facts: facts["settings"][0].update(heads=[[float("inf"), 0]]),
    "heads of other tasks that are text": lambda facts: facts["settings"][0].update(heads="ab"),
}


@pytest.mark.parametrize("name", CRAFTED_FACTS)
def test_crafted_facts_cost_an_error_and_nothing_else(name, folder, monkeypatch):
    cell = cells_of(folder)[-1]
    monkeypatch.setattr(saved_module, "MOST_COUNTED", 2**15)
    forge(cell, facts=CRAFTED_FACTS[name])
    assert refused(folder, cell) < 2**24


CRAFTED_VALUES = {
    "labels that are no classes": put(label=np.full(60, 7)),
    "labels below nought": put(label=np.full(60, -1)),
    "predictions that are no classes": put(predicted=np.full((2, 60), 2)),
    "as many labels as it likes": put(label=np.zeros(61, dtype=np.int64)),
    "one setting of two": put(predicted=np.zeros((1, 60), dtype=np.int16)),
    "scores that are no numbers": put(scores=np.full((2, 60, 2), np.nan, dtype=np.float16)),
    "scores above the likeliest": put(scores=np.full((2, 60, 2), np.inf, dtype=np.float16)),
    "scores without a likeliest": put(scores=np.full((2, 60, 2), -np.inf, dtype=np.float16)),
    "groups below none": put(group=np.full(60, -(2**62))),
}


@pytest.mark.parametrize("name", CRAFTED_VALUES)
def test_crafted_numbers_cost_an_error_and_nothing_else(name, folder):
    cell = cells_of(folder)[0]
    forge(cell, arrays=CRAFTED_VALUES[name])
    assert refused(folder, cell) < 2**24


def test_rows_of_ever_other_columns_are_refused(folder):
    cell = cells_of(folder)[0]
    forge(cell, rows=lambda rows: rows.extend({f"column {i}": i} for i in range(1000)))
    assert refused(folder, cell) < 2**24


@pytest.mark.parametrize("text", ["[" * 10**5, '{"facts": ' * 10**5, '{"rows": 1' + "0" * 10**5 + "}", "null", "\xff"])
def test_json_that_is_none_or_nested_without_end_is_damaged(folder, text):
    cell = cells_of(folder)[0]
    cell.write_text(text, encoding="latin-1")
    assert refused(folder, cell) < 2**25


def test_a_file_that_is_too_large_is_not_read(folder, monkeypatch):
    cell = cells_of(folder)[0]
    monkeypatch.setattr(saved_module, "MOST_JSON_BYTES", 1000)
    with pytest.raises(OSError, match="it has more than 1,000 bytes"):
        Results(folder / "out").load(cell.stem)


def test_all_cells_together_have_a_bound(folder, monkeypatch):
    monkeypatch.setattr(results_module, "MOST_BYTES_IN_ALL", 3000)
    with pytest.raises(OSError, match="hold more than 3,000 bytes together"):
        list(Results(folder / "out").loaded())


@pytest.mark.parametrize(
    "change",
    [
        {"cells": ["../../../etc/passwd"]},
        {"cells": ["a/b"]},
        {"cells": "abc"},
        {"cells": None},
        {"sources": [{"store": 1}]},
        {"versions": [1]},
        {"command": 7},
        {"format": "2"},
        {"format": 0},
    ],
)
def test_a_crafted_run_is_refused(folder, change):
    run = folder / "out" / "run.json"
    run.write_text(json.dumps(json.loads(run.read_text()) | change))
    with pytest.raises(OSError, match=r"run\.json is damaged"):
        list(Results(folder / "out").loaded())


@pytest.mark.parametrize("name", ["run.json", "cells/KEY.json", "cells/KEY.npz", "rows.csv"])
def test_nobody_waits_for_a_named_pipe(name, folder):
    path = folder / "out" / name.replace("KEY", cells_of(folder)[0].stem)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ValueError, match="it is no file"):
        read_bytes(path, 10)
    if name != "rows.csv":
        with pytest.raises(OSError, match=r"is damaged \(it is no file\)"):
            list(Results(folder / "out").loaded())


def test_a_cell_that_is_named_twice_does_not_count_twice(folder):
    run = folder / "out" / "run.json"
    named = json.loads(run.read_text())
    run.write_text(json.dumps(named | {"cells": named["cells"] * 2}))
    with pytest.raises(OSError, match=r"run\.json is damaged \(a cell is named twice\)"):
        list(Results(folder / "out").loaded())


def test_a_class_without_an_end_does_not_stand_in_a_report_at_each_of_its_errors(folder):
    long = "x" * 10**6
    for cell in cells_of(folder):
        forge(cell, facts=put(class_names=[f"a{long}", f"b{long}"]))
    assert CliRunner().invoke(app, ["report", str(folder / "out")], catch_exceptions=False).exit_code == 0
    page = (folder / "out" / "report.html").read_text()
    assert f"a{long[:98]}…" in page
    assert len(page) < 10**6


def test_a_crafted_name_is_text_in_a_report(folder):
    markup = '<script>alert(1)</script><img src=x onerror="alert(1)">'
    for cell in cells_of(folder):
        named = {"benchmark": markup, "model": markup, "class_names": [markup, "{{ 7 * 7 }}"]}
        forge(cell, put(**named), lambda rows: [row.update(benchmark=markup, model=markup) for row in rows])
    run = folder / "out" / "run.json"
    run.write_text(json.dumps(json.loads(run.read_text()) | {"command": markup, "versions": {markup: markup}}))
    written = CliRunner().invoke(app, ["report", str(folder / "out")], catch_exceptions=False)
    assert written.exit_code == 0
    page = (folder / "out" / "report.html").read_text()
    assert "<script" not in page
    assert "<img" not in page
    assert "{{ 7 * 7 }}" in page
    assert "&lt;script&gt;" in page


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "page.html"
    with replaced(path) as beside:
        beside.write_text("first")
    half = replaced(path)
    half.__enter__().write_text("sec")
    assert half.__exit__(KeyError, KeyError(), None) is False
    assert path.read_text() == "first"
    assert list(path.parent.iterdir()) == [path]


def test_a_report_that_cannot_be_written_leaves_the_last_one(folder, monkeypatch):
    from pathlib import Path

    page = folder / "out" / "report.html"
    page.write_text("the last one")

    def full(self, *_, **__):
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    result = CliRunner().invoke(app, ["report", str(folder / "out")])
    assert isinstance(result.exception, OSError)
    assert page.read_text() == "the last one"
    assert not [path for path in page.parent.iterdir() if path.name.startswith(".")]


def test_cells_and_runs_name_their_format(folder):
    saved = [json.loads(path.read_text()) for path in (folder / "out" / "run.json", *cells_of(folder))]
    assert {found["format"] for found in saved} == {saved_module.FORMAT} == {2}


@pytest.mark.parametrize("name", ["run.json", "cell"])
def test_a_later_format_is_refused_in_words_and_stays_as_it_is(name, folder):
    path = folder / "out" / name if name == "run.json" else cells_of(folder)[0]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 3}))
    before = path.read_bytes()
    words = rf"{path.name} is of version 3 of the format of results, and this savs reads versions 1 to 2: update savs"
    with pytest.raises(OSError, match=words):
        list(Results(folder / "out").loaded())
    with pytest.raises(OSError, match=words):
        again(folder)
    assert path.read_bytes() == before


def as_first_format(cell):
    """Turn a cell into one of the first format, which kept no scores, and named no format."""

    def rows(found):
        found[:] = [row for row in found if row["metric"] not in OF_SCORES]

    forge(cell, rows=rows, arrays=lambda held: held.pop("scores"))
    saved = json.loads(cell.read_text())
    del saved["format"], saved["sha256"]
    saved["sha256"] = _digest(saved, cell.with_suffix(".npz").read_bytes())
    cell.write_text(json.dumps(saved))


def test_cells_of_the_first_format_are_read_stay_and_lack_what_needs_scores(folder):
    new = Findings.of_folder(folder / "out")
    older = cells_of(folder)
    for cell in older:
        as_first_format(cell)
    texts = [cell.read_text() for cell in older]
    again(folder)
    assert [cell.read_text() for cell in older] == texts
    found = Findings.of_folder(folder / "out")
    kept = new.table()[~new.table().metric.isin(OF_SCORES)].reset_index(drop=True)
    pd.testing.assert_frame_equal(found.table(), kept)
    [note] = [note for note in footnotes(found.cells) if "older version" in note]
    assert note.startswith("4 of 4 cells keep no scores of all classes")
    assert found.answers().score.isna().all()
    printed = CliRunner().invoke(app, ["figures", str(folder / "out")])
    assert "no reliability diagram: these results keep no scores" in printed.stderr
    assert {finding.checked: finding.sound for finding in audit(folder / "out", 0)} == dict.fromkeys(
        ("files", "rows", "store", "again"), True
    )


def test_draws_with_and_without_scores_are_not_mixed(folder):
    """A method of which one draw is of the first format has no mean of log losses over the others."""
    cell = next(cell for cell in cells_of(folder) if json.loads(cell.read_text())["facts"]["method"] == "savs")
    as_first_format(cell)
    found = Findings.of_folder(folder / "out")
    table = found.table()
    assert set(table[table.method == "savs"].metric) == {"accuracy", *OF_CLASSES}
    assert {"log_loss", "auroc"} < set(table[table.method == "savs-rbf"].metric)
    assert any("1 of 4 cells keep no scores" in note for note in footnotes(found.cells))
    assert CliRunner().invoke(app, ["report", str(folder / "out")]).exit_code == 0


def test_too_many_scores_are_kept_for_no_setting_and_that_is_said(folder, monkeypatch):
    shutil.rmtree(folder / "out")
    monkeypatch.setattr(draw_pass, "MOST_SCORES", 239)
    again(folder)
    found = Findings.of_folder(folder / "out")
    assert not any("scores" in cell.arrays for cell in found.cells)
    [note] = [note for note in footnotes(found.cells) if "scores" in note]
    assert note.endswith("2 settings, 60 samples and 2 classes make 240 scores, and a cell keeps at most 239.")
    monkeypatch.setattr(draw_pass, "MOST_SCORES", 240)
    shutil.rmtree(folder / "out")
    again(folder)
    assert all("scores" in cell.arrays for cell in Findings.of_folder(folder / "out").cells)


def test_more_scores_than_a_cell_keeps_are_refused(folder, monkeypatch):
    monkeypatch.setattr(saved_module, "MOST_SCORES", 239)
    assert refused(folder, cells_of(folder)[0]) < 2**24


def test_an_answer_has_the_probability_that_its_method_gives_it(folder):
    """Shares of the votes of one head, and of three."""
    answers = Findings.of_folder(folder / "out").answers()
    of_one = answers[answers.setting == "SAVs, 1 head"]
    assert (of_one.score == 1).all()
    of_three = answers[answers.setting == "SAVs, 3 heads"].score
    assert set(of_three.round(3)) <= {0.667, 1.0}


@pytest.mark.parametrize("steps", [1, 2])
def test_an_audit_passes_the_next_float16_and_no_further(folder, steps):
    """Another processor rounds a score to the other side."""
    for cell in cells_of(folder):

        def move(held):
            scores = held["scores"]
            [place, *_] = np.argwhere((scores < 0) & np.isfinite(scores)).tolist()
            for _ in range(steps):
                scores[tuple(place)] = np.nextafter(scores[tuple(place)], np.float16(-np.inf))

        forge(cell, arrays=move)
    found = [audit_again(folder, seed) for seed in range(4)]
    assert found == [steps == 1] * 4


def audit_again(folder, seed):
    return next(finding.sound for finding in audit(folder / "out", seed) if finding.checked == "again")
