"""The snippets of the README, run one behind the other on a store that its command makes."""

import json
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
    """Forty pictures of leaves, light or dark, described as the README says."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    generator = np.random.default_rng(0)
    lines = []
    for number in range(40):
        pixels = generator.integers(0, 90, (30, 30, 3), dtype=np.uint8) + np.uint8(150 * (number % 2))
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.jpg")
        line = json.loads(re.search(r'\{"image": "photos/1.jpg".*\}', (ROOT / "README.md").read_text())[0])
        lines.append(json.dumps(line | {"image": f"photos/{number}.jpg", "label": ("no", "yes")[number % 2]}))
    Image.fromarray(np.full((30, 30, 3), 190, dtype=np.uint8)).save(tmp_path / "photos" / "new.jpg")
    (tmp_path / "leaves.jsonl").write_text("\n".join(lines))
    return savs.harvest("tiny", "leaves.jsonl")


def test_the_snippets_run_and_know_a_new_leaf(leaves, snippets):
    assert leaves.benchmark.name == "leaves"
    assert len(snippets) == 2
    names = {}
    for snippet in snippets:
        exec(snippet, names)  # noqa: S102
    assert names["classifier"].predict(names["new"].reshape(1, -1)).tolist() == ["yes"]
    assert set(names["findings"].table()["method"]) == {"zero-shot", "savs", "ridge"}
    assert len(names["findings"].answers())
