"""What comes from the Hugging Face hub, or lies in its cache; its refusals are one clear sentence."""

import re
import shutil
import sys
from hashlib import sha256
from types import SimpleNamespace

import pytest
from huggingface_hub import constants, errors

from kit.replicas.writing import write_json
from kit.sources import as_published, contents, raising, serve
from savs_benchmarks import BenchmarkError, check, find_benchmark, load_picture
from savs_benchmarks.registry import PUBLISHED, find_published

HUB = sorted(name for name in PUBLISHED if PUBLISHED[name].source.hub)
IN_CACHE = ["blink", "imagenet", "naturalbench"]


@pytest.mark.parametrize("name", HUB)
def test_repositories_of_the_hub_are_pinned(name):
    source = PUBLISHED[name].source
    assert re.fullmatch("[0-9a-f]{40}", source.revision)
    assert source.page == f"https://huggingface.co/datasets/{source.hub}"
    assert source.hub_files
    assert not source.downloads


@pytest.mark.parametrize("name", IN_CACHE)
def test_the_hubs_cache_is_looked_into_without_network(name, hub, data_root, tmp_path):
    client = hub(lambda **options: str(data_root / name))
    source = find_published(name).source
    assert find_published(name).locate(tmp_path) == data_root / name
    ((repository, options),) = client.calls
    assert repository == source.hub
    assert options.pop("allow_patterns", None) in (None, list(source.hub_files))
    assert options == {"repo_type": "dataset", "revision": source.revision, "local_files_only": True}


@pytest.mark.parametrize("name", PUBLISHED)
def test_nothing_is_asked_of_the_hub_where_files_are_here(name, hub, data_root):
    client = hub(raising(AssertionError("asked")))
    assert find_published(name).locate(data_root)
    assert client.calls == []


@pytest.mark.parametrize("name", sorted(set(PUBLISHED) - set(IN_CACHE)))
def test_a_cache_without_its_pictures_is_not_looked_into(name, hub, tmp_path):
    client = hub(raising(AssertionError("asked")))
    with pytest.raises(BenchmarkError, match="are not here"):
        find_published(name).locate(tmp_path)
    assert client.calls == []


def test_an_empty_cache_holds_nothing(hub, tmp_path):
    hub(raising(errors.LocalEntryNotFoundError("none")))
    with pytest.raises(BenchmarkError, match="are not here"):
        find_published("blink").locate(tmp_path)


def test_an_incomplete_cache_is_not_taken_for_the_files(hub, tmp_path, replica):
    folder = replica("blink")
    shutil.rmtree(folder / "Counting")
    hub(lambda **options: str(folder))
    with pytest.raises(BenchmarkError, match="are not here"):
        find_published("blink").locate(tmp_path / "elsewhere")


@pytest.fixture
def cached(data_root, tmp_path, monkeypatch):
    """Return a function that puts a replica into a cache as the hub's client keeps it: links to blobs."""

    def put(name, skip=lambda file: False):
        source = find_published(name).source
        repository = tmp_path / f"hub/datasets--{source.hub.replace('/', '--')}"
        snapshot = repository / "snapshots" / source.revision
        (repository / "blobs").mkdir(parents=True)
        for file, content in contents(data_root / name).items():
            if not skip(file):
                blob = repository / "blobs" / sha256(content).hexdigest()
                blob.write_bytes(content)
                (snapshot / file).parent.mkdir(parents=True, exist_ok=True)
                (snapshot / file).symlink_to(blob)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        return snapshot

    return put


@pytest.mark.parametrize("name", IN_CACHE)
def test_a_benchmark_is_read_from_a_real_cache(name, cached, tmp_path, data_root):
    snapshot = cached(name)
    benchmark = find_benchmark(name, tmp_path)
    assert benchmark.revision == snapshot.name == find_published(name).source.revision
    found, expected = check(benchmark), check(find_benchmark(name, data_root))
    assert [(s.sample_id, s.question) for s in found] == [(s.sample_id, s.question) for s in expected]
    assert load_picture(found[0].images[0]).tobytes() == load_picture(expected[0].images[0]).tobytes()


def test_files_that_are_not_needed_may_lack_in_the_cache(cached, tmp_path, data_root):
    snapshot = cached("blink", skip=lambda file: "/test-" in file)
    listed = {file: {"size": 1, "blob_id": "1"} for file in contents(data_root / "blink")}
    write_json(snapshot.parents[1] / f"trees/{snapshot.name}.json", {"format_version": 1, "files": listed})
    assert find_published("blink").locate(tmp_path) == snapshot


@pytest.mark.parametrize("name", HUB)
def test_files_come_from_the_pinned_revision(name, hub, tmp_path, data_root):
    client = hub(serve(as_published(name, data_root / name, tmp_path / "site")))
    source, folder = find_published(name).source, tmp_path / "data" / name
    source.fetch(folder)
    assert client.calls == [
        (
            source.hub,
            {
                "repo_type": "dataset",
                "revision": source.revision,
                "allow_patterns": list(source.hub_files),
                "local_dir": folder,
            },
        )
    ]
    source.fetch(folder)
    assert len(client.calls) == 1
    assert source.found_revision(folder) == "f" * 40


def test_a_commit_is_claimed_only_where_the_files_tell(data_root):
    for name, published in PUBLISHED.items():
        source = published.source
        assert find_benchmark(name, data_root).revision == ("unknown" if source.hub else source.revision)


def test_files_nobody_needs_stay_where_they_are(hub, tmp_path, data_root):
    hub(serve(as_published("blink", data_root / "blink", tmp_path / "site")))
    find_published("blink").source.fetch(tmp_path / "blink")
    assert contents(tmp_path / "blink").keys() == {f for f in contents(data_root / "blink") if "/test-" not in f}


RESPONSE = SimpleNamespace(headers={}, request=None, status_code=403)
REFUSALS = {
    "gated": (
        errors.GatedRepoError("403 Client Error.\nAccess is restricted.", response=RESPONSE),
        "ys-zong/VLGuard is gated: accept its conditions at https://huggingface.co/datasets/ys-zong/VLGuard, "
        "then log in (hf auth login, or HF_TOKEN)",
    ),
    "not found": (errors.RepositoryNotFoundError("404 Client Error.", response=RESPONSE), "404 Client Error."),
    "a bad server": (errors.HfHubHTTPError("500 Server Error.", response=RESPONSE), "500 Server Error."),
    "offline": (errors.LocalEntryNotFoundError("outgoing traffic has been disabled"), "outgoing traffic has been"),
    "offline mode": (errors.OfflineModeIsEnabled("offline mode is enabled"), "offline mode is enabled"),
    "a full disk": (OSError(28, "No space left on device"), "No space left on device"),
    "a cut connection": (ConnectionResetError(104, "Connection reset by peer"), "Connection reset by peer"),
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_refusal_of_the_hub_is_one_clear_sentence(kind, hub, tmp_path):
    error, words = REFUSALS[kind]
    hub(raising(error))
    with pytest.raises(BenchmarkError) as raised:
        find_published("vlguard").source.fetch(tmp_path / "vlguard")
    assert words in str(raised.value)
    if kind == "gated":
        assert str(raised.value) == words
    else:
        first, second = str(raised.value).split("\n")
        assert first.startswith("ys-zong/VLGuard cannot be fetched from the Hugging Face hub: ")
        assert second == (
            "  or fetch train.json test.json train.zip test.zip from https://huggingface.co/datasets/ys-zong/VLGuard "
            f"yourself, into {tmp_path / 'vlguard'}"
        )


@pytest.mark.parametrize("kind", ["ProxyError", "ReadTimeout", "RemoteProtocolError"])
def test_a_failing_network_is_one_clear_sentence(kind, hub, tmp_path):
    # The hub's client lets errors of its own HTTP library through.
    library = sys.modules[errors.HfHubHTTPError.__bases__[0].__module__]
    hub(raising(getattr(library, kind)("the network failed")))
    with pytest.raises(BenchmarkError, match="cannot be fetched from the Hugging Face hub: the network failed"):
        find_published("blink").source.fetch(tmp_path / "blink")


def test_the_real_client_offline_is_one_clear_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(BenchmarkError, match="BLINK-Benchmark/BLINK cannot be fetched from the Hugging Face hub: "):
        find_published("blink").source.fetch(tmp_path / "blink")
