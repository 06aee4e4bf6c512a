"""Waits, by what is waited for; nothing here looks at a clock."""

import pytest

from savs_harvest.endpoint import pace as module
from savs_harvest.endpoint.pace import Pace


class Waits(list):
    """Stands for the event that ends waits: notes how long each one would be."""

    def wait(self, seconds):
        self.append(seconds)
        return False


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(module.time, "monotonic", lambda: 1000.0)


def test_requests_are_spread_over_the_minute(clock):
    pace = Pace(rate=30, stop=Waits())
    assert [pace.wait() for _ in range(4)] == [True] * 4
    assert pace.stop == pytest.approx([0, 2, 4, 6])


def test_without_a_rate_nobody_waits(clock):
    pace = Pace(stop=Waits())
    assert [pace.wait() for _ in range(3)] == [True] * 3
    assert pace.stop == [0, 0, 0]


@pytest.mark.parametrize(("asked", "expected"), [(7, 7), (0, 0), (-3, 0), (86400, module.LONGEST)])
def test_what_the_server_asks_for_holds_for_all(clock, asked, expected):
    pace = Pace(stop=Waits())
    pace.pause(3, asked)
    pace.wait()
    assert pace.stop == [expected, expected]


def test_waits_grow_to_a_bound(clock):
    pace = Pace(stop=Waits())
    for tried in range(12):
        pace.pause(tried, None)
    for tried, waited in enumerate(pace.stop):
        assert 0.5 <= waited / min(module.LONGEST, module.FIRST * 2**tried) <= 1
    assert len(set(pace.stop)) == 12


def test_a_stop_ends_every_wait():
    pace = Pace(rate=0.01)
    pace.wait()
    pace.stop.set()
    assert not pace.wait()
    pace.pause(9, 100)
