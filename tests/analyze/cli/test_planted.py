"""The page docs/sparse-group-lasso.md: what it claims holds, on one draw of its ten classes."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "docs" / "planted.py"


def test_the_multinomial_lasso_passes_the_ceiling_of_two_classes_and_finds_the_heads(tmp_path):
    spec = importlib.util.spec_from_file_location("planted", SCRIPT)
    planted = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(planted)
    lines, used = planted.measure(planted.make_store(tmp_path, 10), tmp_path, draws=1)
    assert planted.best(lines, "sparse-group-lasso-share") > 0.9
    assert 0.15 < planted.best(lines, "coded") <= 0.2
    assert planted.found_heads(used, 1.0) == (0, 0)
    assert planted.found_heads(used, 0.562) == pytest.approx((5, 5), abs=1)
