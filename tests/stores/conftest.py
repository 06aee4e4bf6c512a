"""Stores of the toy, whole and begun, in folders and buckets."""

import json
import shutil
from pathlib import Path

import pytest

from kit.objects import files_of, upload
from kit.toy import Toy
from savs_stores import BenchmarkInfo, Status, create_store, write_store


def copied(folder, target):
    return shutil.copytree(folder, target) if isinstance(target, Path) else upload(folder, target)


def change_byte(file, offset):
    content = bytearray(file.read_bytes())
    content[offset] ^= 1 << offset % 8
    file.write_bytes(content)


def written(path, vectors, labels=None, **options):
    """Write vectors as a store of two classes and open it; options are those of `write_store`."""
    labels = labels or ["no", "yes"] * (len(vectors) // 2) + ["yes"] * (len(vectors) % 2)
    given = {"model": "toy", "shard_samples": 4, **options}
    benchmark = BenchmarkInfo("answers", {"all": ["no", "yes"]})
    return write_store(path, benchmark=benchmark, samples={"label": labels}, heads=vectors, **given)


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk():
    """No test has to survive a power cut; what is brought to the disk, and when, is tested by itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session")
def toy():
    return Toy()


@pytest.fixture(scope="session")
def originals(toy, tmp_path_factory):
    """Return a folder with a finished store and one that is begun; nobody may change them."""
    folder = tmp_path_factory.mktemp("originals")
    toy.write(folder / "whole.zarr")
    toy.begin(folder / "begun.zarr")
    return folder


@pytest.fixture
def whole(originals, home):
    """Return the path of a finished store of the test's own."""
    return copied(originals / "whole.zarr", home / "whole.zarr")


@pytest.fixture
def begun(originals, home):
    """Return the path of a store whose model is there without vectors."""
    return copied(originals / "begun.zarr", home / "begun.zarr")


@pytest.fixture
def first_version(home):
    """Return what begins a model in a store of version 1."""

    def begin(toy, **options):
        path = home / "first.zarr"
        create_store(path, toy.benchmark, toy.table)
        document = json.loads((path / "zarr.json").read_text())
        document["attributes"]["format_version"] = 1
        del document["attributes"]["metadata_hash"]
        (path / "zarr.json").write_text(json.dumps(document))
        toy.begin(path, **options)
        return path

    return begin


@pytest.fixture(scope="session")
def write():
    return written


@pytest.fixture(scope="session")
def files():
    return files_of


@pytest.fixture(scope="session")
def flip():
    return change_byte


@pytest.fixture(scope="session")
def failed():
    return int(Status.NON_FINITE)
