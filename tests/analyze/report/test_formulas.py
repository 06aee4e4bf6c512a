"""The second paper's figures of its scores: what is drawn is what heads are scored by."""

import math

import numpy as np
import pytest

from savs_analyze.parts.transform import Transform
from savs_analyze.report.formulas import SCORE, SCORES, A, B, draw_levels, draw_scores, level_of, score_of

X = np.array([-0.9, -0.2, 0.0, 0.3, 0.8])
Y = np.array([0.5, -0.7, 0.1, 0.3, -0.95])


def test_the_panels_are_the_papers_three_scores():
    plain, penalty, artanh = (score_of(kind, X, Y) for kind in SCORES.values())
    for place, (x, y) in enumerate(zip(X.tolist(), Y.tolist(), strict=True)):
        assert plain[place] == x
        assert penalty[place] == pytest.approx(x - y)
        assert artanh[place] == pytest.approx(1 + math.atanh(x) - math.atanh(y))


def test_every_line_has_one_score_and_more_lies_below_it():
    for a in A.tolist():
        for b in B.tolist():
            y = level_of(a, b, SCORE, X)
            inside = np.abs(y) < 1 - 1e-9  # at the edges artanh has no digits left
            kind = Transform("artanh", a, b)
            assert inside.any()
            np.testing.assert_allclose(score_of(kind, X[inside], y[inside]), SCORE, rtol=1e-6)
            assert (score_of(kind, X[inside], y[inside] - 1e-9) > score_of(kind, X[inside], y[inside])).all()
    assert (A[0], A[-1], B[0], B[-1], SCORE) == (1, 6, 4, 9, 10)


@pytest.mark.parametrize("draw", [draw_scores, draw_levels])
@pytest.mark.parametrize("ending", ["png", "svg"])
def test_the_same_figure_has_the_same_bytes(draw, ending, tmp_path):
    one, other = (draw(tmp_path / f"{name}.{ending}").read_bytes() for name in ("one", "other"))
    assert one == other
    assert len(one) > 5000
