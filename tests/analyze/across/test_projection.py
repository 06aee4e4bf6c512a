"""A head's vectors in the plane: the right head, the right number, the same picture again."""

import re
import shutil

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import image
from sklearn.metrics import silhouette_score
from typer.testing import CliRunner

from savs_analyze.across.projection import Projection, embed, project, stratified, task_of
from savs_analyze.cli.commands import app
from savs_analyze.cli.parse import parse_head
from savs_analyze.report.across import draw_projection
from savs_stores import BenchmarkInfo, IncompleteStoreError, open_store, write_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Four classes that heads (0, 0) to (0, 2) know; (2, 3) is silent."""
    generator = np.random.default_rng(0)
    names = ["ant", "bee", "cat", "dog"]
    labels = np.tile(np.repeat(range(4), 25), 2)
    vectors = generator.normal(size=(200, 3, 4, 6))
    vectors[:, 0, :3] += 2 * generator.normal(size=(4, 3, 6))[labels]
    vectors[:, 2, 3] = 1
    return write_store(
        tmp_path_factory.mktemp("projection") / "animals.zarr",
        benchmark=BenchmarkInfo("animals", {"all": names}),
        samples={"label": [names[i] for i in labels], "split": np.repeat(["pool", "test"], 100).tolist()},
        model="planted",
        heads=vectors,
        shard_samples=64,
    )


@pytest.fixture(scope="module")
def found(store):
    return project(task_of(store), shots=10)


def nearest(store, head, shots=10):
    """Return how often the head's nearest centroid is right on the support, and on the test, by plain loops."""
    task, vectors = task_of(store), store["planted"]
    draw, label = task.draw(shots, 0), store.samples.label
    everything = vectors.read(heads=[head])[:, 0].astype(float)

    def right(samples):
        means = [np.mean([everything[s] for s in draw.support if label[s] == c], axis=0) for c in range(4)]
        cosines = [
            [everything[s] @ u / np.linalg.norm(everything[s]) / np.linalg.norm(u) for u in means] for s in samples
        ]
        return sum(int(np.argmax(row)) == label[s] for row, s in zip(cosines, samples, strict=True))

    return right(draw.support), right(draw.test) / len(draw.test)


def test_the_best_head_comes_first_the_median_one_beside_it(store, found):
    best, median = found.planes
    counts = {(layer, place): nearest(store, (layer, place))[0] for layer in range(3) for place in range(4)}
    assert counts[best.head] == max(counts.values())
    assert best.head[0] == 0
    assert (best.rank, median.rank, best.heads) == (1, 7, 12)
    assert sorted(counts.values())[5] == counts[median.head]
    for plane in found.planes:
        assert plane.accuracy == pytest.approx(nearest(store, plane.head)[1])
    assert best.accuracy > 0.9 > median.accuracy


def test_the_plane_shows_what_the_head_knows(found):
    best, median = (silhouette_score(plane.points, found.labels) for plane in found.planes)
    assert best > 0.3 > median
    # Every centroid lies among samples of its own class, but for a stray.
    for label, centroid in enumerate(found.planes[0].centroids):
        near = np.argsort(np.linalg.norm(found.planes[0].points - centroid, axis=1))[:5]
        assert (found.labels[near] == label).mean() >= 0.8


def test_any_head_can_be_named(store):
    chosen = project(task_of(store), (1, 2), shots=10)
    assert chosen.planes[0].head == (1, 2)
    assert chosen.planes[0].accuracy == pytest.approx(nearest(store, (1, 2))[1])
    assert chosen.planes[1].rank == 7


@given(counts=st.lists(st.integers(1, 60), min_size=1, max_size=5), most=st.integers(1, 80))
def test_what_is_shown_has_every_classes_share(counts, most):
    labels = np.random.default_rng(0).permutation(np.repeat(range(len(counts)), counts))
    shown = stratified(labels, most, np.random.default_rng(1))
    assert len(set(shown)) == len(shown) == min(most, len(labels))
    assert (np.diff(shown) > 0).all()
    share = np.bincount(labels[shown], minlength=len(counts)) - np.array(counts) * len(shown) / len(labels)
    assert (np.abs(share) < 1).all()


def test_the_caption_says_when_not_all_are_shown(found):
    assert "100 test samples" in found.caption
    assert "10 support samples" in found.caption
    assert (
        "100 of 20,000 test samples, of every class its share"
        in Projection(found.task, found.planes, found.labels, 20_000, 10).caption
    )


@pytest.mark.parametrize("ending", ["svg", "pdf", "png"])
def test_the_figure_is_the_same_again(store, found, tmp_path, ending):
    drawn = draw_projection(found, tmp_path / "one" / f"head.{ending}")
    if ending == "svg":
        again = draw_projection(project(task_of(store), shots=10), tmp_path / "two.svg")
        assert drawn.read_bytes() == again.read_bytes()
        text = drawn.read_text()
        assert all(words in text for words in ("planted on animals", "ant", "rank 1 of 12", "t-SNE of directions"))
    elif ending == "png":
        assert image.imread(drawn).std() > 0.05
    assert drawn.stat().st_size > 1000


@pytest.mark.parametrize("silent", [0.0, 1.0])
def test_a_silent_head_has_no_plane(silent):
    with pytest.raises(ValueError, match=re.escape("head (2, 3) have no two directions")):
        embed(np.full((20, 6), silent), (2, 3))


def test_few_samples_have_a_plane(generator):
    assert np.isfinite(embed(generator.normal(size=(5, 3)), (0, 0))).all()


def test_what_cannot_be_done_says_why(store):
    with pytest.raises(ValueError, match="no model 'plantd'; did you mean 'planted'"):
        task_of(store, "plantd")
    with pytest.raises(ValueError, match="no task 'al'; did you mean 'all'"):
        task_of(store, task="al")
    with pytest.raises(ValueError, match=re.escape("no head (7, 0); 3 layers x 4 heads x 6")):
        project(task_of(store), (7, 0))
    with pytest.raises(ValueError, match="write its layer and its place there, 20,3"):
        parse_head("20:3")


def test_a_task_among_several_has_to_be_chosen(tmp_path, generator):
    tasks = {"first": ["a", "b"], "second": ["a", "b"]}
    columns = {"label": ["a", "b"] * 20, "task": ["first"] * 20 + ["second"] * 20, "split": ["either"] * 40}
    vectors = generator.normal(size=(40, 2, 2, 4))
    path = tmp_path / "two.zarr"
    write_store(path, benchmark=BenchmarkInfo("two", tasks), samples=columns, model="m", heads=vectors)
    with pytest.raises(ValueError, match=re.escape("choose a task (--task): there are first, second")):
        task_of(open_store(path))
    assert task_of(open_store(path), task="second").name == "two / second"


def test_the_command(store, tmp_path):
    out = tmp_path / "figure.svg"
    result = CliRunner().invoke(
        app,
        ["projection", "--store", str(store.path), "--head", "0,1", "--shots", "5", "--out", str(out)],
        catch_exceptions=False,
    )
    assert result.exit_code == 0
    first, second, path = result.stdout.splitlines()
    assert re.fullmatch(r"layer 0, head 1: rank \d of 12, nearest centroid \d+\.\d % right", first)
    assert "rank 7 of 12" in second
    assert path == str(out)
    assert out.stat().st_size > 1000


@pytest.mark.parametrize(("command", "error"), [("projection", "None"), ("transfer", "transfer needs two tasks")])
def test_an_unfinished_store_is_read_when_that_is_asked_for(store, tmp_path, command, error):
    """The error of an unfinished store names an option that these commands once lacked."""
    path = shutil.copytree(store.path, tmp_path / "part.zarr")
    zarr.open_array(path / "planted/shard_crc32c", mode="r+")[3] = 0  # samples 192 to 199
    words = [command, "--store", str(path), "--shots", "5", "--out", str(tmp_path / "figure.svg")]
    with pytest.raises(IncompleteStoreError, match="--allow-partial"):
        CliRunner().invoke(app, words, catch_exceptions=False)
    result = CliRunner().invoke(app, [*words, "--allow-partial"])
    assert str(result.exception).startswith(error)
