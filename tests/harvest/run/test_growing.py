"""Data that changed a little cost a little: what is the same is taken over, and nothing is ever half."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kit.replicas.writing import write_picture
from savs_benchmarks import find_benchmark, load_own
from savs_benchmarks.files.reading import Reading
from savs_harvest.asking.preparing import Refused
from savs_harvest.batches.layout_check import load_model
from savs_harvest.models.specs import find_model
from savs_harvest.run import growing
from savs_harvest.run.growing import Places, harvest_changed
from savs_harvest.run.harvest import harvest
from savs_harvest.run.listener import Listener
from savs_harvest.run.ranks import Rank
from savs_harvest.run.settings import Settings
from savs_harvest.run.writing import Keeping
from savs_stores import MismatchError, Status, class_vectors, open_store, verify

KEEPING = Keeping(shard_samples=4)


def opened(photos):
    return find_benchmark(str(photos), reading=Reading(question="Which animal is it?"))


@pytest.fixture(scope="module")
def tiny():
    return load_model(find_model("tiny", None), "cpu", None, None)


@pytest.fixture
def photos(tmp_path):
    """A folder of pictures of two classes, five of each."""
    for number in range(10):
        write_picture(tmp_path / "photos" / ("cat", "dog")[number % 2] / f"{number:02}.png", number)
    return tmp_path / "photos"


@pytest.fixture
def run(tiny, photos, tmp_path):
    """Return a function that harvests the folder; it returns the store and how many rows were taken and run."""

    def harvested(**options):
        taken, ran = [], []
        listener = Listener(taken=lambda count, total: taken.append((count, total)))
        listener = Listener(taken=listener.taken, plan=lambda writer, shards: ran.append(writer))
        benchmark = opened(photos)
        harvest_changed(tiny, benchmark, tmp_path / "photos.zarr", keeping=KEEPING, listener=listener, **options)
        return open_store(tmp_path / "photos.zarr"), taken

    return harvested


def by_id(store):
    vectors = store["tiny"]
    return dict(zip(store.samples.sample_id.tolist(), vectors.read(), strict=True))


def test_one_more_picture_costs_one_row(run, photos, tmp_path, monkeypatch):
    before, taken = run()
    assert taken == []
    known, fingerprint = by_id(before), before["tiny"].fingerprint
    write_picture(photos / "dog/03b.png", 30)
    asked = []
    monkeypatch.setattr(growing.Work, "run", spy(growing.Work.run, asked))
    after, taken = run()
    assert taken == [(10, 11)]
    assert asked == [1]
    found = by_id(after)
    assert set(known) < set(found)
    assert all((found[name] == known[name]).all() for name in known)
    assert after["tiny"].fingerprint == fingerprint
    assert list(verify(after)) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "photos.zarr"]


def spy(real, asked):
    def run(self, runner, rows, groups, prepared, buffers):
        if count := sum(map(len, groups)):
            asked.append(count)
        return real(self, runner, rows, groups, prepared, buffers)

    return run


def test_words_without_pictures_are_taken_over_and_unreadable_pictures_are_not(tiny, photos, tmp_path):
    file, words = photos / "t.jsonl", "which digit is this ?"

    def grown(*images):
        rows = [{"question": words} | ({"image": image} if image else {}) for image in images]
        rows += [{"question": "is it odd ?"}, {"question": "name it", "image": "cat/00.png"}]
        file.write_text("\n".join(json.dumps({"id": str(n), "label": "ab"[n % 2]} | row) for n, row in enumerate(rows)))
        taken = []
        listener = Listener(taken=lambda count, total: taken.append((count, total)))
        harvest_changed(tiny, load_own(file), tmp_path / "t.zarr", keeping=KEEPING, listener=listener)
        return taken, open_store(tmp_path / "t.zarr")

    assert grown("")[0] == []
    (photos / "broken.png").write_bytes(b"")
    taken, store = grown("", "broken.png")
    assert taken == [(3, 4)]
    assert store["tiny"].status.tolist() == [Status.OK, Status.NOT_AN_IMAGE, Status.OK, Status.OK]


def test_what_is_taken_over_is_what_a_new_harvest_gives(run, photos, tiny, tmp_path):
    """To the rounding of batches of other sizes."""
    run()
    write_picture(photos / "cat/11.png", 31)
    grown, _ = run()
    harvest(tiny, opened(photos), tmp_path / "anew.zarr", keeping=KEEPING)
    anew = open_store(tmp_path / "anew.zarr")
    assert grown.index_hash == anew.index_hash
    assert grown["tiny"].read() == pytest.approx(anew["tiny"].read(), abs=5e-3)
    for name in ("status", "n_tokens"):
        assert (getattr(grown["tiny"], name) == getattr(anew["tiny"], name)).all()
    np.testing.assert_allclose(grown["tiny"].logits, anew["tiny"].logits, atol=5e-3)


def test_a_picture_that_moved_to_another_class_is_not_run_again(run, photos):
    run()
    shutil.move(photos / "cat/00.png", photos / "dog/00.png")
    store, taken = run()
    assert taken == [(10, 10)]
    assert np.bincount(store.samples.label).tolist() == [4, 6]


def test_a_store_that_holds_more_is_kept_beside(run, photos, tmp_path):
    run()
    (photos / "cat/00.png").unlink()
    store, taken = run()
    assert taken == [(9, 9)]
    assert len(store.samples) == 9
    assert len(open_store(tmp_path / "photos.before.zarr").samples) == 10
    write_picture(photos / "cat/00.png", 0)
    store, taken = run()
    assert taken == [(10, 10)]
    assert len(store.samples) == 10


def test_a_picture_that_stands_twice_is_no_loss(run, photos, tmp_path):
    """Each such folder once left its old store behind, and the second change failed."""
    shutil.copy(photos / "cat/00.png", photos / "cat/00 copy.png")
    run()
    for number in (40, 41):
        write_picture(photos / f"dog/{number}.png", number)
        run()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "photos.zarr"]


def test_a_second_model_is_not_run_again(run, tiny, photos, tmp_path):
    run()
    other = replace(KEEPING, name="other")
    harvest_changed(tiny, opened(photos), tmp_path / "photos.zarr", keeping=other)
    write_picture(photos / "dog/20.png", 20)
    run()
    taken = []
    listener = Listener(taken=lambda count, total: taken.append((count, total)))
    harvest_changed(tiny, opened(photos), tmp_path / "photos.zarr", keeping=other, listener=listener)
    store = open_store(tmp_path / "photos.zarr")
    assert taken == [(10, 11)]
    assert sorted(store.models) == ["other", "tiny"]
    np.testing.assert_array_equal(store["other"].read(), store["tiny"].read())


def test_a_store_behind_a_link_stays_behind_it(run, photos, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/photos.zarr").mkdir()
    (tmp_path / "disk/photos.zarr").rmdir()
    (tmp_path / "photos.zarr").symlink_to(tmp_path / "disk/photos.zarr")
    run()
    write_picture(photos / "dog/20.png", 20)
    store, _ = run()
    assert len(store.samples) == 11
    assert (tmp_path / "photos.zarr").is_symlink()
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["photos.zarr"]


def test_two_processes_do_not_change_one_store(run, photos, tmp_path):
    run()
    write_picture(photos / "dog/20.png", 20)
    places = Places(tmp_path / "photos.zarr")
    with places.alone(), pytest.raises(MismatchError, match="being changed by another process"):
        run()
    with pytest.raises(KeyError), places.alone():
        raise KeyError  # whatever happens, the next one can go on
    assert len(run()[0].samples) == 11
    assert not list(tmp_path.glob(".*.lock"))


def test_what_was_never_a_store_blocks_nothing(run, photos, tmp_path):
    run()
    (tmp_path / "photos.growing.zarr").mkdir()
    write_picture(photos / "dog/20.png", 20)
    assert len(run()[0].samples) == 11


def test_a_killed_change_goes_on_and_the_old_store_stays_until_then(run, photos, tmp_path, monkeypatch):
    known = by_id(run()[0])
    for number in range(20, 28):
        write_picture(photos / f"dog/{number}.png", number)
    real, calls = growing.Work.run, []

    def killed(self, *arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(growing.Work, "run", killed)
        with pytest.raises(KeyboardInterrupt):
            run()
    assert len(open_store(tmp_path / "photos.zarr").samples) == 10
    assert open_store(tmp_path / "photos.growing.zarr").peek("tiny").missing
    after, taken = run()
    assert taken == [(10, 18)]
    assert len(after.samples) == 18
    assert all((by_id(after)[name] == vector).all() for name, vector in known.items())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "photos.zarr"]


def test_data_that_change_again_lose_nothing_of_an_unfinished_change(run, photos, tmp_path):
    run()
    write_picture(photos / "dog/20.png", 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(growing.Places, "replace", lambda places, keep: None)  # as if killed before the last step
        assert len(run()[0].samples) == 10
    write_picture(photos / "dog/21.png", 21)
    store, taken = run()
    assert taken == [(11, 12)]
    assert len(store.samples) == 12
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "photos.zarr"]


def test_a_kill_between_the_two_renames_is_mended(run, photos, tmp_path):
    run()
    places = Places(tmp_path / "photos.zarr")
    before = tmp_path / "photos.before.zarr"
    places.store.rename(before)
    shutil.copytree(before, places.growing)
    store, _ = run()
    assert len(store.samples) == 10
    assert not places.growing.exists()


def test_several_processes_do_not_change_a_store(run, photos):
    run()
    write_picture(photos / "dog/20.png", 20)
    with pytest.raises(ValueError, match="one process takes over what is the same, not 2"):
        run(rank=Rank(0, 2))


def test_another_question_is_no_small_change(run, tiny, photos, tmp_path):
    run()
    benchmark = opened(photos)
    other = [replace(sample, question="What else?") for sample in benchmark.samples()]
    changed = replace(benchmark, samples=lambda: iter(other))
    with pytest.raises(MismatchError, match="prompt_hash: differs"):
        harvest_changed(tiny, changed, tmp_path / "photos.zarr", keeping=KEEPING)


def test_a_new_class_is_named_with_what_to_do(run, photos):
    run()
    write_picture(photos / "cow/50.png", 50)
    (photos / "cow/51.png").write_bytes((photos / "cow/50.png").read_bytes())
    with pytest.raises(MismatchError, match=r"holds other classes \(new: cow\).*name one with --store"):
        run()


def test_class_vectors_of_other_texts_than_before_are_told(tiny, photos, tmp_path):
    """They are in no fingerprint: a store that grew without its --class-prompt had others, without a word."""

    def texts_and_words(number, prompt=None):
        write_picture(photos / "cat" / f"more {number}.png", 20 + number)
        words, place = [], tmp_path / "photos.zarr"
        settings, listener = Settings(class_prompt=prompt), Listener(warning=words.append)
        harvest_changed(tiny, opened(photos), place, settings, KEEPING, listener=listener)
        return class_vectors(open_store(place)["tiny"]).texts["all"]["cat"], words

    assert texts_and_words(0, "a {class}") == ("a cat", [])
    assert texts_and_words(1, "a {class}") == ("a cat", [])
    usual = "You are given an image of a cat\nWhich animal is it?"
    found, [word] = texts_and_words(2)
    assert found == usual
    assert word.startswith(f"class vectors are of other texts than before, as all, cat: 'a cat' before, {usual!r} now")
    assert texts_and_words(3) == (usual, [])


# Samples that failed.


@pytest.fixture
def half_failed(run, tiny, photos, tmp_path, monkeypatch):
    """A whole store of two models in which the model itself refused three samples of one."""
    harvest(tiny, opened(photos), tmp_path / "photos.zarr", keeping=replace(KEEPING, name="other"))
    real = growing.Work.run

    def refusing(work, runner, rows, groups, prepared, buffers):
        prepared = [
            Refused(Status.REJECTED, "for now") if rows[place] in (1, 5, 6) else found
            for place, found in zip([place for group in groups for place in group], prepared, strict=True)
        ]
        real(work, runner, rows, groups, prepared, buffers)

    with monkeypatch.context() as failing:
        failing.setattr(growing.Work, "run", refusing)
        store, _ = run()
    assert np.flatnonzero(~store["tiny"].usable).tolist() == [1, 5, 6]
    return store


def harvested_again(tiny, photos, tmp_path, **options):
    ran = []
    listener = Listener(taken=lambda count, total: ran.append((count, total)))
    keeping = replace(KEEPING, retry=True, shard_samples=None)
    report = harvest_changed(
        tiny, opened(photos), tmp_path / "photos.zarr", keeping=keeping, listener=listener, **options
    )
    return report, ran


def test_what_failed_is_run_again_and_nothing_else(half_failed, tiny, photos, tmp_path, monkeypatch):
    before = {path: path.read_bytes() for path in (tmp_path / "photos.zarr" / "other").rglob("*") if path.is_file()}
    asked = []
    monkeypatch.setattr(growing.Work, "run", spy(growing.Work.run, asked))
    report, taken = harvested_again(tiny, photos, tmp_path)
    assert (report.failed, taken) == (0, [(7, 10)])
    assert len(asked) <= 3
    store = open_store(tmp_path / "photos.zarr")
    harvest(tiny, opened(photos), tmp_path / "new.zarr", keeping=KEEPING)
    new = open_store(tmp_path / "new.zarr")["tiny"]
    assert np.array_equal(store["tiny"].read(), new.read())
    assert store["tiny"].fingerprint == new.fingerprint
    assert list(verify(store)) == []
    assert {path: path.read_bytes() for path in before} == before
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "photos.zarr", "new.zarr"}
    assert harvested_again(tiny, photos, tmp_path)[1] == []  # nothing is left to be run again


@pytest.mark.parametrize("step", ["a shard", "the first rename", "the second rename", "removing"])
def test_a_retry_that_is_interrupted_goes_on_and_loses_nothing(half_failed, tiny, photos, tmp_path, monkeypatch, step):
    known = by_id(half_failed)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as stopping:
        if step == "a shard":
            stopping.setattr(growing.Work, "run", interrupted)
        elif step == "removing":
            stopping.setattr(shutil, "rmtree", interrupted)
        else:
            real, last = Path.rename, ".photos.zarr.tiny.retried" if step == "the first rename" else "photos.zarr/tiny"

            def rename(path, target):
                return interrupted() if target.as_posix().endswith(f"/{last}") else real(path, target)

            stopping.setattr(Path, "rename", rename)
        with pytest.raises(KeyboardInterrupt):
            harvested_again(tiny, photos, tmp_path)
    report, _ = harvested_again(tiny, photos, tmp_path)
    assert report.failed == 0
    store = open_store(tmp_path / "photos.zarr")
    assert store["tiny"].usable.all()
    assert sorted(store.models) == ["other", "tiny"]
    assert all(np.array_equal(by_id(store)[name], known[name]) for name in np.delete(list(known), [1, 5, 6]))
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "photos.zarr"}


def test_another_way_of_asking_is_no_retry(half_failed, tiny, photos, tmp_path):
    """Its rows are those of another fingerprint: the store refuses them as ever."""
    with pytest.raises(MismatchError, match="date"):
        harvested_again(tiny, photos, tmp_path, settings=Settings(date="2024-05-05"))


@pytest.mark.parametrize("where", ["ranks", "bucket"])
def test_a_retry_is_of_one_process_and_here(half_failed, tiny, photos, tmp_path, where):
    place = "s3://bucket/photos.zarr" if where == "bucket" else tmp_path / "photos.zarr"
    rank = Rank(0, 2) if where == "ranks" else Rank()
    with pytest.raises(ValueError, match="by one process"):
        harvest_changed(tiny, opened(photos), place, keeping=replace(KEEPING, retry=True), rank=rank)


def test_a_model_whose_retry_stopped_between_its_steps_outlives_a_command_of_another(tmp_path, monkeypatch):
    monkeypatch.setattr(growing, "_is_whole", lambda path, name: (path / name).exists())
    monkeypatch.setattr(growing.Places, "_are_of_one_table", lambda _: True)
    places = growing.Places(tmp_path / "photos.zarr")
    for folder, words in ((places.store / "one", "old"), (places.retrying / "one", "new"), (places.store / "two", "")):
        folder.mkdir(parents=True)
        (folder / "words").write_text(words)
    real, moved = Path.rename, []

    def stop_at_the_second(self, target):
        if moved:
            raise KeyboardInterrupt
        moved.append(target)
        return real(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", stop_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            places.finish_retry("one")
    places.finish_retry("two")
    places.finish_retry("one")
    assert (places.store / "one" / "words").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos.zarr"]


def test_a_retry_of_samples_that_the_store_has_no_longer_is_not_put_into_it(
    half_failed, tiny, photos, tmp_path, monkeypatch
):
    """Vectors of other rows would have stood in the place of those that failed."""
    with monkeypatch.context() as stopping:
        stopping.setattr(Places, "swap", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            harvested_again(tiny, photos, tmp_path)
    assert Places(tmp_path / "photos.zarr").retrying.exists()
    (photos / "cat/00.png").unlink()
    report, _ = harvested_again(tiny, photos, tmp_path)
    assert report.failed == 0
    store = open_store(tmp_path / "photos.zarr")
    harvest(tiny, opened(photos), tmp_path / "new.zarr", keeping=KEEPING)
    assert np.array_equal(store["tiny"].read(), open_store(tmp_path / "new.zarr")["tiny"].read())
    assert len(store.samples) == 9
