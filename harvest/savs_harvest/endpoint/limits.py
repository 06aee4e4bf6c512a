"""How many requests, and how much money, a run may cost at most."""

from __future__ import annotations

from dataclasses import dataclass

from savs_harvest.endpoint.record import Record
from savs_harvest.errors import EndpointError

# What is assumed of a request before a server has said what one takes.
PICTURE_TOKENS, CHARACTERS_A_TOKEN = 1000, 4
MILLION = 1_000_000


@dataclass(frozen=True)
class Prices:
    """What a million tokens cost, read and written; in whatever money."""

    read: float
    written: float

    def of(self, read: float, written: float) -> float:
        return (read * self.read + written * self.written) / MILLION


@dataclass(frozen=True)
class Spent:
    """What answers have cost that say so, what one costs at most, and how many requests are not known to have cost it.

    `unknown` are answers without a count of tokens, lost ones, and those under way.
    """

    known: float
    dearest: float | None
    unknown: int

    def at_most(self, assumed: float, more: int = 0) -> float:
        """Return the money with every unknown request, and so many more, as dear as the dearest; else as assumed."""
        each = assumed if self.dearest is None else self.dearest
        return self.known + (self.unknown + more) * each


def spent(record: Record, prices: Prices) -> Spent:
    usage = record.usage
    dearest = prices.of(usage.most_read, usage.most_written) if usage.told else None
    return Spent(prices.of(usage.read, usage.written), dearest, usage.untold + record.lost + len(record.open))


@dataclass(frozen=True)
class Limits:
    """The most requests and the most money, of all runs that one journal knows; None for no limit.

    `assumed` is what one request is taken to cost before one is answered.
    """

    most_requests: int | None = None
    most_cost: float | None = None
    prices: Prices | None = None
    assumed: float = 0.0

    def words(self) -> list[str]:
        """Return the limits in words."""
        requests = "no --most-requests" if self.most_requests is None else f"at most {self.most_requests:,} requests"
        return [requests, "no --most-cost" if self.most_cost is None else f"at most {self.most_cost:g} of cost"]

    def check(self, record: Record) -> None:
        """Raise `EndpointError` where one more request would be beyond a limit."""
        if self.most_requests is not None and record.sent >= self.most_requests:
            raise EndpointError(f"stopped at --most-requests {self.most_requests:,}: {self._going_on(record)}")
        if self.most_cost is not None and self.prices is not None:
            money = spent(record, self.prices).at_most(self.assumed, more=1)
            if money > self.most_cost:
                words = f"one more request could make it {money:.6g}"
                raise EndpointError(f"stopped at --most-cost {self.most_cost:g}, {words}: {self._going_on(record)}")

    @staticmethod
    def _going_on(record: Record) -> str:
        kept = f"{len(record.answers):,} answered"
        return f"{record.sent:,} sent, {kept} and kept; the same command with a higher limit goes on"
