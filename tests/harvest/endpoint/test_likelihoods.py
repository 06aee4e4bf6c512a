"""Log-probabilities of classes, by hand."""

from math import exp, log

import pytest

from savs_harvest.endpoint.likelihoods import class_logits

HALF, FOURTH = log(0.5), log(0.25)
GIVEN = [
    ([("yes", HALF), ("no", FOURTH)], ("no", "yes"), [0.25, 0.5]),
    ([("Yes", HALF), (" yes", FOURTH), ("No", FOURTH)], ("no", "yes"), [0.25, 0.75]),
    ([("yes", HALF)], ("no", "yes"), None),
    ([], ("no", "yes"), None),
    ([("y", HALF), ("n", FOURTH)], ("no", "yes"), [0.25, 0.5]),
    ([("yesterday", HALF), ("no", FOURTH)], ("no", "yes"), None),
    ([("cat", HALF), ("dog", FOURTH)], ("cat", "cat fish", "dog"), None),
    ([("1", HALF), ("2", FOURTH)], ("17", "23"), [0.5, 0.25]),
    ([("1", HALF), ("2", FOURTH)], ("17", "19", "23"), None),
    ([("A", HALF), ("B", FOURTH)], ("(A)", "(B)"), [0.5, 0.25]),
    ([("(", HALF), ("\n", FOURTH), ("", FOURTH)], ("(A)", "(B)"), None),
    ([("yes", HALF), ("no", FOURTH)], ("", "yes"), None),
]


@pytest.mark.parametrize(("first", "answers", "expected"), GIVEN)
def test_by_hand(first, answers, expected):
    found = class_logits(first, answers)
    assert (found and list(map(exp, found))) == (expected and pytest.approx(expected))


def test_no_log_probability_is_above_zero():
    assert class_logits([("yes", 0.0), ("Yes", -1e-9), ("no", -50.0)], ("no", "yes"))[1] == 0.0
