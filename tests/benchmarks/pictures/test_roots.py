"""Names of pictures that are looked up once are those that are looked up each time."""

import os

import pytest

from savs_benchmarks.errors import KindError
from savs_benchmarks.pictures.pictures import resolve_inside
from savs_benchmarks.pictures.roots import PictureRoot


@pytest.fixture
def root(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.png").touch()
    root = tmp_path / "root"
    (root / "b" / "c").mkdir(parents=True)
    for name in ("a.png", "b/a.png", "b/c/a.png"):
        (root / name).touch()
    (root / "link").symlink_to(root / "b")
    (root / "file.png").symlink_to(root / "b" / "a.png")
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "out.png").symlink_to(tmp_path / "outside" / "a.png")
    (root / "circle").symlink_to(root / "circle")
    return root


NAMES = (
    *("a.png", "b/a.png", "b/c/a.png", "b//a.png", "./b/./a.png", "b/../a.png", "link/../a.png", "link/c/a.png"),
    *("file.png", "link/a.png", "missing.png", "b/missing/a.png", "b/", "b", ".", "..", "b/..", "", "../root/a.png"),
    *("out/a.png", "out.png", "../outside/a.png", "out/../a.png", "/etc/passwd", "a\0.png", "https://a/b.png"),
    *("circle", "circle/a.png", "a.png/a.png", "é.png", "x" * 300 + ".png"),
)


def told(find, name):
    try:
        return find(name)
    except (KindError, OSError, RuntimeError, ValueError) as error:
        return type(error), str(error)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_found_where_it_is_found_alone(root, name):
    found = PictureRoot(root)
    for before in (None, *NAMES):  # whatever was looked up before
        if before is not None:
            told(found.find, before)
        assert told(found.find, name) == told(lambda one: resolve_inside(root, one), name)


def test_each_folder_is_looked_up_once(root, monkeypatch):
    names = [f"b/{number}.png" for number in range(50)]
    found, seen, real, top = PictureRoot(root), [], os.path.realpath, root.resolve()
    monkeypatch.setattr(os.path, "realpath", lambda *args, **given: (seen.append(args), real(*args, **given))[1])
    assert [found.find(name) for name in names] == [top / name for name in names]
    assert len(seen) <= 2
    assert found.has(root / "a.png")
    assert not found.has(root / "b" / "0.png")
