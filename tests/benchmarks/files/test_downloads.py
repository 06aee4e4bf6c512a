"""Files that are downloaded and unpacked come whole or not at all, whatever broke before."""

import gc
import shutil
import subprocess
import sys
import threading
import warnings
from dataclasses import replace
from hashlib import md5, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from kit.sources import PACKED, as_published, contents, pack, raising, serve
from savs_benchmarks import BenchmarkError, check, find_benchmark, load_picture
from savs_benchmarks.files import archives
from savs_benchmarks.files.source import Download, Source
from savs_benchmarks.registry import PUBLISHED, find_published

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.fixture
def site(tmp_path):
    """A server of the files in a folder; `asked` are the paths it was asked for, `promise` adds to their length."""
    folder = tmp_path / "site"
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            file = folder / self.path.lstrip("/").split("?")[0]
            if not file.is_file():
                return self.send_error(404)
            content = file.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content) + found.promise))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *words):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = SimpleNamespace(folder=folder, asked=asked, promise=0, url=f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        server.shutdown()
        thread.join()
    with warnings.catch_warnings():  # pooch leaves the connection of a refused download open
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def local(source, site):
    """Return a source whose downloads lie on the server, with the digests of what lies there."""
    return replace(source, downloads=tuple(local_download(download, site) for download in source.downloads))


def local_download(download, site):
    digest = download.digest and f"md5:{md5((site.folder / download.name).read_bytes()).hexdigest()}"
    return Download(f"{site.url}/{download.name}", digest, download.brings)


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_the_source_holds_becomes_the_benchmark(name, hub, site, tmp_path, data_root):
    as_published(name, data_root / name, site.folder)
    hub(serve(site.folder))
    published = replace(find_published(name), source=local(find_published(name).source, site))
    folder = tmp_path / "data" / name
    published.source.fetch(folder)
    assert published.locate(tmp_path / "data") == folder
    found = contents(folder)
    assert not [file for file in found if file.endswith((".zip", ".tgz", ".tar.gz"))]
    assert found.items() <= contents(data_root / name).items()
    samples, expected = check(published.open(folder)), check(find_benchmark(name, data_root))
    assert [(s.sample_id, s.question, s.label) for s in samples] == [
        (s.sample_id, s.question, s.label) for s in expected
    ]
    assert load_picture(samples[0].images[0]).tobytes() == load_picture(expected[0].images[0]).tobytes()
    asked = len(site.asked)
    assert asked == len(published.source.downloads)
    published.source.fetch(folder)
    assert len(site.asked) == asked


@pytest.fixture
def shop(site):
    """A source of a zip, a tgz and a list on the server."""
    for name in ("one", "two"):
        (site.folder / name).mkdir(parents=True)
        for number in range(3):
            (site.folder / name / f"{number}.txt").write_text(f"{name} {number}")
    pack(site.folder / "one.zip", site.folder, "one")
    pack(site.folder / "two.tgz", site.folder, "two")
    (site.folder / "list.json").write_text("[]")
    brings = {"one.zip": ("one/*",), "two.tgz": ("two/*",), "list.json": ()}
    downloads = tuple(Download(name, "md5:", patterns) for name, patterns in brings.items())
    source = Source("https://a.org", "1", "1 GB", ("one/*", "two/*", "list.json"), downloads=downloads)
    return local(source, site)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def failure(source, folder):
    with pytest.raises(BenchmarkError) as raised:
        source.fetch(folder)
    return raised.value


def test_archives_are_unpacked_and_removed(shop, tmp_path):
    shop.fetch(tmp_path / "shop")
    assert names(tmp_path / "shop") == ["list.json", "one", "two"]
    assert (tmp_path / "shop/two/1.txt").read_text() == "two 1"


def test_what_stopped_inside_of_an_archive_goes_on(site, hub, tmp_path, data_root, monkeypatch):
    """Killed in the inner archive, the outer one was gone and the folder looked whole or lost."""
    name = "caltech-101"
    as_published(name, data_root / name, site.folder)
    folder = tmp_path / name
    shutil.copytree(site.folder, folder)
    source = find_published(name).source
    untar = archives._untar

    def killed(archive, beside):
        (beside / "101_ObjectCategories/Faces").mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(archives, "_untar", killed)
    with pytest.raises(KeyboardInterrupt):
        source.fetch(folder)
    assert source.missing(folder) == ["what was being unpacked when it stopped"]
    monkeypatch.setattr(archives, "_untar", untar)
    source.fetch(folder)
    assert contents(folder) == contents(data_root / name)
    assert not list(folder.rglob(archives.UNPACKING))


def test_what_came_by_hand_is_not_fetched(shop, site, tmp_path):
    shutil.copytree(site.folder, tmp_path / "shop")
    shop.fetch(tmp_path / "shop")
    assert site.asked == []
    assert names(tmp_path / "shop") == ["list.json", "one", "one.zip", "two", "two.tgz"]  # as they were brought


def test_an_archive_that_came_by_hand_is_unpacked(shop, site, tmp_path):
    (tmp_path / "shop").mkdir()
    shutil.copy(site.folder / "one.zip", tmp_path / "shop")
    shop.fetch(tmp_path / "shop")
    assert site.asked == ["/two.tgz", "/list.json"]
    assert names(tmp_path / "shop") == ["list.json", "one", "two"]


@pytest.mark.parametrize("name", ["vlguard", "naturalbench-retrieval"])
def test_archives_of_the_hub_may_come_by_hand(name, hub, tmp_path, data_root):
    client = hub(raising(AssertionError("asked")))
    folder = as_published(name, data_root / name, tmp_path / "data" / name)
    find_published(name).source.fetch(folder)
    assert client.calls == []
    assert len(check(find_benchmark(name, tmp_path / "data"))) == len(check(find_benchmark(name, data_root)))


def test_a_damaged_archive_of_somebody_else_stays(shop, site, tmp_path):
    (tmp_path / "shop").mkdir()
    for name in ("mine.zip", "one.zip"):
        (tmp_path / "shop" / name).write_bytes(b"damaged")
    shop = replace(shop, downloads=tuple(replace(download, digest=None) for download in shop.downloads))
    assert "mine.zip cannot be unpacked" in str(failure(shop, tmp_path / "shop"))
    (tmp_path / "shop/mine.zip").unlink()
    # Whoever brought it: it lay there before.
    assert "one.zip cannot be unpacked" in str(failure(shop, tmp_path / "shop"))
    assert "one.zip" in names(tmp_path / "shop")
    assert site.asked == []


def test_only_what_is_missing_is_fetched(shop, site, tmp_path):
    shop.fetch(tmp_path / "shop")
    shutil.rmtree(tmp_path / "shop/two")
    site.asked.clear()
    shop.fetch(tmp_path / "shop")
    assert site.asked == ["/two.tgz"]


def test_a_full_disk_costs_no_archive(shop, site, tmp_path, monkeypatch):
    def full(*some):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("savs_benchmarks.files.archives._unzip", full)
    assert "No space left" in str(failure(shop, tmp_path / "shop"))
    assert "one.zip" in names(tmp_path / "shop")
    monkeypatch.undo()
    shop.fetch(tmp_path / "shop")
    assert shop.locate(tmp_path / "shop")


def test_of_several_processes_one_fetches(tmp_path, data_root):
    folder = tmp_path / "data/pets"
    folder.mkdir(parents=True)
    for part in ("images", "annotations"):
        pack(folder / f"{part}.tar.gz", data_root / "pets", part)
    program = "import sys; from savs_benchmarks.registry import *; from pathlib import Path\n"
    program += "PUBLISHED['pets'].source.fetch(Path(sys.argv[1]))"
    processes = [subprocess.Popen([sys.executable, "-c", program, str(folder)]) for _ in range(4)]
    assert [process.wait(60) for process in processes] == [0] * 4
    assert find_published("pets").source.locate(folder) == folder
    assert names(folder) == ["annotations", "images"]


def test_another_digest_is_refused(shop, site, tmp_path):
    (site.folder / "two.tgz").write_bytes(b"something else")
    error = failure(shop, tmp_path / "shop")
    assert str(error).startswith(f"{site.url}/two.tgz cannot be fetched: ")
    assert error.faults == [f"or fetch it yourself, into {tmp_path / 'shop'}"]
    assert "two.tgz" not in names(tmp_path / "shop")
    assert shop.locate(tmp_path / "shop") is None


@pytest.mark.parametrize("digest", ["sha256", "md5"])
def test_both_kinds_of_digest_are_checked(shop, site, tmp_path, digest):
    content = (site.folder / "list.json").read_bytes()
    right = {"md5": md5, "sha256": sha256}[digest](content).hexdigest()
    for value, good in ((right, True), (right[::-1], False)):
        source = replace(
            shop, needs=("list.json",), downloads=(Download(f"{site.url}/list.json", f"{digest}:{value}"),)
        )
        folder = tmp_path / value
        if good:
            source.fetch(folder)
        else:
            assert "cannot be fetched" in str(failure(source, folder))
        assert bool(source.missing(folder)) != good


def test_a_missing_page_is_named(shop, site, tmp_path):
    (site.folder / "one.zip").unlink()
    error = failure(shop, tmp_path / "shop")
    assert str(error).startswith(f"{site.url}/one.zip cannot be fetched: 404")


def test_no_server_is_named(tmp_path):
    source = Source("https://a.org", "1", "1 GB", ("a.json",), downloads=(Download("http://127.0.0.1:1/a.json"),))
    assert str(failure(source, tmp_path)).startswith("http://127.0.0.1:1/a.json cannot be fetched: ")


def test_a_download_cut_short_leaves_nothing(shop, site, tmp_path):
    site.promise = 100
    shop = replace(shop, downloads=tuple(replace(download, digest=None) for download in shop.downloads))
    error = failure(shop, tmp_path / "shop")
    assert str(error).startswith(f"{site.url}/one.zip cannot be fetched: ")
    assert names(tmp_path / "shop") == []
    site.promise = 0
    shop.fetch(tmp_path / "shop")


def test_what_must_come_by_hand_is_said_in_the_end(shop, tmp_path):
    source = replace(shop, needs=(*shop.needs, "photos/*", "terms.txt"), by_hand=("ask the authors", "sign"))
    error = failure(source, tmp_path / "shop")
    assert str(error) == f"{tmp_path / 'shop'} still lacks photos/*, terms.txt:\n  ask the authors\n  sign"


# --- interrupted and damaged ---


@pytest.fixture
def delivered(tmp_path, data_root):
    """Return a function that puts a benchmark's files into `tmp_path / "data"` as they arrive, packed."""
    return lambda name: as_published(name, data_root / name, tmp_path / "data" / name)


@pytest.mark.parametrize(("name", "archive"), [(name, archive) for name in PACKED for archive in PACKED[name]])
def test_a_damaged_archive_is_not_taken_for_the_files(name, archive, delivered, hub, tmp_path):
    folder = delivered(name)
    hub(lambda **options: "")
    source = replace(find_published(name).source, downloads=())
    content = (folder / archive).read_bytes()
    (folder / archive).write_bytes(content[: len(content) // 2])
    assert f"{folder / archive} cannot be unpacked" in str(failure(source, folder))
    assert source.missing(folder)


def test_a_damaged_archive_is_fetched_again(shop, site, tmp_path):
    # Nobody publishes digests of some archives: what came broken must not stay for ever.
    shop = replace(shop, downloads=tuple(replace(download, digest=None) for download in shop.downloads))
    whole = (site.folder / "one.zip").read_bytes()
    (site.folder / "one.zip").write_bytes(whole[:-30])
    assert "one.zip cannot be unpacked" in str(failure(shop, tmp_path / "shop"))
    (site.folder / "one.zip").write_bytes(whole)
    shop.fetch(tmp_path / "shop")
    assert shop.locate(tmp_path / "shop")


DYING = {
    "before files are moved": "shutil.copytree = lambda *some, **more: os._exit(9)",
    "while files are moved": """
moved, move = [], shutil.move
def dying(*some):
    if len(moved) == 5: os._exit(9)
    moved.append(move(*some))
shutil.move = dying""",
}
FETCH = """
import os, shutil, sys
from dataclasses import replace
from pathlib import Path
from savs_benchmarks.registry import PUBLISHED
{dying}
replace(PUBLISHED[sys.argv[1]].source, hub="", downloads=()).fetch(Path(sys.argv[2]))
"""
BIG = ["vlguard", "naturalbench-retrieval", "sugarcrepe", "cub"]


@pytest.fixture
def died(delivered):
    """Return a function that gives the folder and the source of a benchmark whose fetching died."""

    def die(name, when):
        folder = delivered(name)
        run = subprocess.run([sys.executable, "-c", FETCH.format(dying=DYING[when]), name, str(folder)], check=False)
        assert run.returncode == 9
        return folder, replace(find_published(name).source, hub="", downloads=())

    return die


@pytest.mark.parametrize("when", DYING)
@pytest.mark.parametrize("name", BIG)
def test_what_a_dead_process_left_is_not_taken_for_the_files(name, when, died):
    folder, source = died(name, when)
    assert source.locate(folder) is None


@pytest.mark.parametrize("when", DYING)
@pytest.mark.parametrize("name", BIG)
def test_the_next_fetch_ends_what_a_dead_process_began(name, when, died, data_root):
    folder, source = died(name, when)
    source.fetch(folder)
    assert contents(folder).items() <= contents(data_root / name).items()
    samples = check(find_benchmark(name, folder.parent))
    assert [load_picture(image).size for sample in samples for image in sample.images]
