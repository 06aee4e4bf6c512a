import json
import shutil
import socket

import numpy as np
import pytest
from PIL import Image

from savs_benchmarks import check, find_benchmark

GOOD_LINE = {"image": "a.png", "question": "Which animal is this?", "label": "cat"}

NETWORK = "a test must not reach the network"


@pytest.fixture(scope="module", autouse=True)
def no_network(tmp_path_factory):
    """No test talks to another machine, nor finds what somebody keeps in the hub's cache."""
    from huggingface_hub import constants

    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def connect_here(self, address):
        assert self.family == socket.AF_UNIX or address[0] == "127.0.0.1", NETWORK
        return connect(self, address)

    def look_up_here(host, *options, **more):
        assert host == "127.0.0.1", NETWORK
        return look_up(host, *options, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect_here)
        patch.setattr(socket, "getaddrinfo", look_up_here)
        patch.setattr(constants, "HF_HUB_CACHE", str(tmp_path_factory.mktemp("hub")))
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield


@pytest.fixture
def replica(data_root, tmp_path):
    """Return a function that copies the replica of a benchmark below `tmp_path`, to be damaged there."""
    return lambda name: shutil.copytree(data_root / name, tmp_path / name)


@pytest.fixture(scope="session")
def samples_of(data_root):
    """Return a function that gives the samples of a benchmark's replica."""
    return lambda name, **options: check(find_benchmark(name, data_root, **options))


@pytest.fixture
def hub(monkeypatch):
    """Return a function that puts something in the place of the hub's client, and gives the calls that it keeps."""
    import huggingface_hub

    from kit.sources import Hub

    def install(do):
        fake = Hub(do)
        monkeypatch.setattr(huggingface_hub, "snapshot_download", fake)
        return fake

    return install


@pytest.fixture
def folder(tmp_path):
    """A folder with two pictures and one outside of it."""
    inside = tmp_path / "inside"
    (inside / "sub").mkdir(parents=True)
    for name, grey in (("inside/a.png", 10), ("inside/sub/b.png", 20), ("outside.png", 30)):
        Image.new("RGB", (4, 3), (grey, grey, grey)).save(tmp_path / name)
    return inside


@pytest.fixture
def write_lines(folder):
    """Return a function that writes lines: texts as they are, dicts as changes to a good line (None: without it)."""

    def write(*lines, name="animals.jsonl"):
        path = folder / name
        path.write_text("\n".join(line if isinstance(line, str) else good_line(line) for line in lines))
        return path

    return write


def good_line(change):
    row = {**GOOD_LINE, **change}
    return json.dumps({field: value for field, value in row.items() if value is not None})


@pytest.fixture(scope="session")
def true_digit():
    """Return a function from a picture to its digit, by scikit-learn's own labels."""
    from sklearn.datasets import load_digits

    data = load_digits()
    grey = np.round(255 * (1 - data.images / 16)).astype(np.uint8)
    enlarged = [Image.fromarray(g).resize((32, 32), Image.Resampling.BICUBIC).convert("RGB").tobytes() for g in grey]
    digits = dict(zip(enlarged, data.target.tolist(), strict=True))
    return lambda picture: digits[picture.tobytes()]
