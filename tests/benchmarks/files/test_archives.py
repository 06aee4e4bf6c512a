"""Archives are unpacked whole or not at all, and never write outside of their folder."""

import bz2
import contextlib
import gzip
import io
import stat
import struct
import subprocess
import sys
import tarfile
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from savs_benchmarks import BenchmarkError
from savs_benchmarks.files.archives import MOST_GROWTH, is_archive, unpack

GOOD = {"data/a.txt": b"a", "data/sub/b.txt": b"b" * 5000, "c.txt": b""}


def zip_of(members, **options):
    """Return a zip of names or `ZipInfo`s with contents."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def zip_entry(name, mode):
    entry = zipfile.ZipInfo(name)
    entry.create_system, entry.external_attr = 3, mode << 16
    return entry


def tar_of(members, mode="w:gz"):
    """Return a tar of names, or of names with a kind and a target, with contents."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in members:
            entry = tarfile.TarInfo(name if isinstance(name, str) else name[0])
            if not isinstance(name, str):
                _, entry.type, entry.linkname = name
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def lying_zip():
    """Return a zip of a large member whose listed size is small."""
    content = bytearray(zip_of([("a.txt", bytes(10**6))]))
    listed = content.rindex(b"PK\x01\x02")
    assert struct.unpack_from("<I", content, listed + 24) == (10**6,)
    struct.pack_into("<I", content, listed + 24, 10)
    return bytes(content)


def tree(folder):
    """Return everything below a folder: contents of files, targets of links."""
    found = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        found[name] = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
    return found


@pytest.fixture
def folder(tmp_path):
    """A folder with a file of its own, beside a file outside."""
    (tmp_path / "outside.txt").write_text("outside")
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside/own.txt").write_text("own")
    return tmp_path / "inside"


FORMS = {
    "good.zip": zip_of(GOOD.items()),
    "good.tar.gz": tar_of(GOOD.items()),
    "good.tgz": tar_of(GOOD.items()),
    "good.tar": tar_of(GOOD.items(), "w"),
}


@pytest.mark.parametrize("name", FORMS)
def test_members_lie_where_they_say(folder, name):
    archive = folder / name
    archive.write_bytes(FORMS[name])
    unpack(archive, folder)
    found = {name: content for name, content in tree(folder).items() if content is not None}
    assert found == {**GOOD, "own.txt": b"own", name: FORMS[name]}
    assert is_archive(archive)


@pytest.mark.parametrize("name", FORMS)
def test_unpacking_again_gives_the_same(folder, name):
    (folder / name).write_bytes(FORMS[name])
    unpack(folder / name, folder)
    once = tree(folder)
    unpack(folder / name, folder)
    assert tree(folder) == once


def test_archives_fill_the_same_folders(folder):
    for number, name in enumerate(("one.zip", "two.zip")):
        (folder / name).write_bytes(zip_of([(f"data/{number}.txt", name), ("data/both.txt", name)]))
        unpack(folder / name, folder)
    assert sorted(path.name for path in (folder / "data").iterdir()) == ["0.txt", "1.txt", "both.txt"]


@pytest.mark.parametrize(
    ("name", "archive"),
    [("a.zip", True), ("a.tar.gz", True), ("a.tgz", True), ("a.tar", True), ("a.jpg", False), ("azip", False)],
)
def test_archives_are_known_by_their_name(tmp_path, name, archive):
    assert is_archive(tmp_path / name) == archive


LINKS = {"symbolic": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE}
DEVICES = {"character device": tarfile.CHRTYPE, "block device": tarfile.BLKTYPE, "pipe": tarfile.FIFOTYPE}
REFUSED = {
    "zip out": (zip_of([("a.txt", "a"), ("../outside.txt", "evil")]), "'../outside.txt' leads out"),
    "zip out and in": (zip_of([("a/../../outside.txt", "evil")]), "leads out"),
    "zip from the root": (zip_of([("/tmp/evil.txt", "evil")]), "'/tmp/evil.txt' leads out"),
    "zip with an address": (zip_of([("https://a.org/evil.txt", "evil")]), "is not a path below"),
    "zip with a link": (zip_of([(zip_entry("link", stat.S_IFLNK | 0o777), "../outside.txt")]), "'link' is a link"),
    "zip through a link": (
        zip_of([(zip_entry("link", stat.S_IFLNK | 0o777), ".."), ("link/outside.txt", "evil")]),
        "'link' is a link",
    ),
    "zip bomb": (zip_of([("a.txt", bytes(MOST_GROWTH * 10_000 + 1))]), "it would grow to 1,000,001 bytes"),
    "zip bomb of many": (zip_of([(f"{i}.txt", bytes(10**5)) for i in range(20)]), "it would grow to 2,000,000 bytes"),
    "zip with a hidden size": (lying_zip(), "cannot be unpacked"),
    "tar out": (tar_of([("a.txt", b"a"), ("../outside.txt", b"evil")]), "'../outside.txt' leads out"),
    "tar out and in": (tar_of([("a/../../outside.txt", b"evil")]), "leads out"),
    "tar from the root": (tar_of([("/tmp/evil.txt", b"evil")]), "'/tmp/evil.txt' leads out"),
    "tar bomb": (tar_of([("a.txt", bytes(MOST_GROWTH * 10_000 + 1))]), "it would grow to 1,000,001 bytes"),
    **{
        f"tar with a {kind} link {where}": (tar_of([("a.txt", b"a"), (("link", code, where), b"")]), "'link' is a link")
        for kind, code in LINKS.items()
        for where in ("../outside.txt", "/etc/passwd", "a.txt")
    },
    "tar through a link": (
        tar_of([(("link", tarfile.SYMTYPE, ".."), b""), ("link/outside.txt", b"evil")]),
        "'link' is a link",
    ),
    **{
        f"tar with a {kind}": (tar_of([(("thing", code, ""), b"")]), "'thing' is a link or a device")
        for kind, code in DEVICES.items()
    },
    "no archive": (b"<!DOCTYPE html><html>404</html>", "cannot be unpacked"),
    "empty": (b"", "cannot be unpacked"),
    "packed with nothing in it": (gzip.compress(b"no tar"), "cannot be unpacked"),
    "packed otherwise": (bz2.compress(b"no tar"), "cannot be unpacked"),
    "a file where a folder is": (zip_of([("a", "a"), ("a/b", "b")]), "cannot be unpacked"),
    "zip with a password": (zip_of([("a.txt", "a")]).replace(b"\x14\x00\x00\x00", b"\x14\x00\x01\x00"), "password"),
    **{
        f"{name} cut at {share}": (whole[: len(whole) * share // 10], "cannot be unpacked")
        for name, whole in FORMS.items()
        for share in (3, 6, 9)
        if (name, share) != ("good.tar", 9)  # it ends in zeros
    },
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
def test_what_is_refused_writes_nothing_anywhere(folder, kind, suffix):
    content, words = REFUSED[kind]
    archive = folder / f"bad.{suffix}"
    archive.write_bytes(content)
    before = tree(folder.parent)
    with pytest.raises(BenchmarkError) as raised:
        unpack(archive, folder)
    assert str(raised.value).startswith(f"{archive} cannot be unpacked: ")
    assert words in str(raised.value)
    assert tree(folder.parent) == before


def test_the_largest_growth_is_allowed(folder):
    content = bytes(MOST_GROWTH * 10_000)
    (folder / "a.zip").write_bytes(zip_of([("a.txt", content)]))
    unpack(folder / "a.zip", folder)
    assert (folder / "a.txt").read_bytes() == content


def test_devices_in_a_zip_become_plain_files(folder):
    (folder / "a.zip").write_bytes(zip_of([(zip_entry("thing", stat.S_IFCHR | 0o777), "plain")]))
    unpack(folder / "a.zip", folder)
    assert (folder / "thing").is_file()


@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_archives_give_members_or_an_error(tmp_path, name, data):
    content = bytearray(FORMS[name])
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=3)):
        content[place] = data.draw(st.integers(0, 255))
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    folder.mkdir()
    (folder / name).write_bytes(content)
    with contextlib.suppress(BenchmarkError):
        unpack(folder / name, folder)
        return
    assert set(tree(folder)) == {name}


@pytest.mark.parametrize("name", FORMS)
def test_what_a_dead_process_left_is_cleared(folder, name):
    (folder / name).write_bytes(FORMS[name])
    code = (
        "import os, shutil, sys; from pathlib import Path; from savs_benchmarks.files.archives import unpack\n"
        "shutil.copytree = lambda *some, **more: os._exit(9)\n"
        "unpack(Path(sys.argv[1]), Path(sys.argv[1]).parent)"
    )
    assert subprocess.run([sys.executable, "-c", code, folder / name], check=False).returncode == 9
    assert len(list(folder.iterdir())) == 3
    unpack(folder / name, folder)
    assert {path.name for path in folder.iterdir()} == {"own.txt", name, "data", "c.txt"}
