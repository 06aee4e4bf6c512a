"""The files of a benchmark are found, or what is missing is said with what brings it."""

import re
import socket
from fnmatch import fnmatch
from pathlib import Path

import pytest

from kit.replicas import REPLICAS
from kit.sources import PACKED, contents
from savs_benchmarks import BenchmarkError, find_benchmark
from savs_benchmarks.files.source import DATA_ROOT, Download
from savs_benchmarks.registry import PUBLISHED, find_published

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

GET = "savs-harvest data get {}"
STEPS = {
    "mhalu": [
        GET,
        "copy the pictures that its files name and the hub does not hold into data/image-to-text: of COCO 2014 "
        "(https://cocodataset.org/#download) and TextVQA (https://textvqa.org/dataset/)",
    ],
    "vlguard": ["accept the conditions at {page} and log in: hf auth login", GET],
    "imagenet": ["accept the conditions at {page} and log in: hf auth login", GET],
}


# --- declared ---


@pytest.mark.parametrize("name", PUBLISHED)
def test_sources_are_complete(name):
    source = PUBLISHED[name].source
    assert bool(source.hub) != bool(source.downloads)
    assert source.needs
    assert re.search(r"\d GB", source.size)
    for download in source.downloads:
        assert re.match("https?://", download.url)
        assert download.digest is None or re.fullmatch("md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", download.digest)
        assert re.search(r"\.(zip|tgz|tar\.gz|json|mat)$", download.name)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://a.org/b/c.zip", "c.zip"),
        ("https://a.org/b/c.zip?download=1", "c.zip"),
        ("https://a.org/c.tar.gz?path=x/y.zip", "c.tar.gz"),
    ],
)
def test_a_download_is_named_by_its_address(url, name):
    assert Download(url).name == name


# --- found ---


@pytest.mark.parametrize("name", PUBLISHED)
def test_files_below_the_data_root_are_found(name, data_root):
    assert find_published(name).locate(data_root) == data_root / name


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_is_missing_is_said_with_what_brings_it(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    published = find_published(name)
    lines = [step.format(name, page=published.source.page) for step in STEPS.get(name, [GET])]
    for root, option in (
        (DATA_ROOT, ""),
        (Path("my data"), " --data-root 'my data'"),
        (tmp_path, f" --data-root {tmp_path}"),
    ):
        with pytest.raises(BenchmarkError) as raised:
            find_benchmark(name, root)
        first, *faults = str(raised.value).split("\n  ")
        needs = published.source.needs
        more = f" and {len(needs) - 3} more" if len(needs) > 3 else ""
        assert first == (
            f"the files of {name} are not here: {root / name} lacks {', '.join(needs[:3])}{more}; "
            f"get them ({published.source.size}) with:"
        )
        assert faults == [line + option if line.startswith("savs-harvest") else line for line in lines]


def needed():
    return [(name, pattern) for name, published in PUBLISHED.items() for pattern in published.source.needs]


@pytest.mark.parametrize(("name", "pattern"), needed())
def test_each_missing_file_is_noticed(name, pattern, data_root, tmp_path):
    folder = tmp_path / name
    kept = [file for file in contents(data_root / name) if not matches(Path(file), pattern)]
    for file in kept:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    assert find_published(name).source.missing(folder) == [pattern]
    with pytest.raises(BenchmarkError, match=re.escape(f"{folder} lacks {pattern}; get them (")):
        find_published(name).locate(tmp_path)


def matches(file, pattern):
    parts, patterns = file.parts, Path(pattern).parts
    if patterns[0] == "**":
        parts, patterns = parts[-len(patterns) + 1 :], patterns[1:]
    return len(parts) == len(patterns) and all(map(fnmatch, parts, patterns))


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("imagenet", "data/train-00001-of-00002.parquet"),
        ("imagenet", "data/validation-00000-of-00002.parquet"),
        ("naturalbench", "data/train-00001-of-00002.parquet"),
    ],
)
def test_one_of_several_parts_is_not_the_whole(name, file, replica, tmp_path):
    (replica(name) / file).unlink()
    with pytest.raises(BenchmarkError, match=f"the files of {name} are not here"):
        find_published(name).locate(tmp_path)


@pytest.mark.parametrize(("name", "words"), [("digits", "it has nothing to get"), ("pet", "did you mean 'pets'?")])
def test_only_published_benchmarks_are_got(name, words):
    with pytest.raises(BenchmarkError, match=re.escape(words)):
        find_published(name)


def test_every_archive_of_a_source_is_packed_here():
    for name, published in PUBLISHED.items():
        files = [*published.source.hub_files, *(download.name for download in published.source.downloads)]
        assert set(PACKED.get(name, {})) == {file for file in files if file.endswith((".zip", ".tgz", ".tar.gz"))}
    assert set(PACKED) < set(REPLICAS)


@pytest.mark.parametrize(
    "act",
    [
        lambda: socket.create_connection(("198.51.100.1", 80), timeout=1),
        lambda: socket.getaddrinfo("example.org", 80),
    ],
)
def test_no_test_reaches_the_network(act):
    with pytest.raises(AssertionError, match="a test must not reach the network"):
        act()
