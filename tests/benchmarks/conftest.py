import json

import numpy as np
import pytest
from PIL import Image

GOOD_LINE = {"image": "a.png", "question": "Which animal is this?", "label": "cat"}


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
