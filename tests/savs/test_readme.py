"""The snippets of the README, run one behind the other on a store that its command makes."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import savs

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def snippets():
    return re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


@pytest.fixture
def leaves(tmp_path, monkeypatch):
    """Forty pictures of leaves, light or dark, in a folder a class, asked as the README says."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    for folder in ("leaves/no", "leaves/yes", "photos"):
        (tmp_path / folder).mkdir(parents=True)
    for number in range(40):
        pixels = generator.integers(0, 90, (30, 30, 3), dtype=np.uint8) + np.uint8(150 * (number % 2))
        Image.fromarray(pixels).save(tmp_path / "leaves" / ("no", "yes")[number % 2] / f"{number}.jpg")
    Image.fromarray(np.full((30, 30, 3), 190, dtype=np.uint8)).save(tmp_path / "photos" / "new.jpg")
    question = re.search(r'^Q="(.*)"$', (ROOT / "README.md").read_text(), re.MULTILINE)[1]
    return savs.harvest("tiny", "leaves", question=question)


def test_the_snippets_run_and_know_a_new_leaf(leaves, snippets):
    assert leaves.benchmark.name == "leaves"
    assert len(snippets) == 2
    names = {}
    for snippet in snippets:
        exec(snippet, names)  # noqa: S102
    assert names["classifier"].predict(names["new"]).tolist() == ["yes"]
    assert set(names["findings"].table()["method"]) == {"zero-shot", "savs", "ridge"}
    assert len(names["findings"].answers())
