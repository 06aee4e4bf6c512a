"""Shards as arithmetic: which rows, how many bytes, what is missing, who owns what. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SHARD_SAMPLES = 256
SMALL_STORE_SAMPLES = 512
SMALL_SHARD_SAMPLES = 64
# Where batches hold many samples: how many of them a shard has room for, its rows at most, and how many shards stay.
BATCHES_A_SHARD, MOST_SHARD_SAMPLES, LEAST_SHARDS = 4, 1024, 16
ITEM_BYTES = 2
INDEX_ENTRY_BYTES = 16
INDEX_CHECKSUM_BYTES = 4


@dataclass(frozen=True)
class ShardPlan:
    """How the vectors [sample, head, dim] of one model are cut into shards along the samples.

    Every shard but the last holds `shard_samples` rows; the last one is stored as wide, its rows
    past `samples` left NaN, so that all shard files have the same size.
    """

    samples: int
    heads: int
    dim: int
    shard_samples: int

    def __post_init__(self) -> None:
        for name in ("samples", "heads", "dim", "shard_samples"):
            if getattr(self, name) < 1:
                raise ValueError(f"a plan needs at least one of {name}, got {getattr(self, name)}")

    @property
    def shards(self) -> int:
        return -(-self.samples // self.shard_samples)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.samples, self.heads, self.dim

    @property
    def row_bytes(self) -> int:
        """Bytes of one sample of one head."""
        return self.dim * ITEM_BYTES

    @property
    def chunk_bytes(self) -> int:
        """Bytes of one head in one shard."""
        return self.shard_samples * self.row_bytes

    @property
    def index_bytes(self) -> int:
        """Bytes of the table at the end of a shard file: where each head's chunk starts."""
        return self.heads * INDEX_ENTRY_BYTES + INDEX_CHECKSUM_BYTES

    @property
    def shard_bytes(self) -> int:
        """Bytes of one uncompressed shard file."""
        return self.heads * self.chunk_bytes + self.index_bytes

    @property
    def total_bytes(self) -> int:
        """Bytes of all uncompressed shard files."""
        return self.shards * self.shard_bytes

    def rows(self, shard: int) -> range:
        """Return the samples of a shard. Raises IndexError for a shard that does not exist."""
        if not 0 <= shard < self.shards:
            raise IndexError(f"shard {shard} of {self.shards}")
        start = shard * self.shard_samples
        return range(start, min(start + self.shard_samples, self.samples))

    def shard_of(self, sample: int) -> int:
        """Return the shard that holds a sample."""
        return sample // self.shard_samples


def default_shard_samples(samples: int, batch: int = 0) -> int:
    """Return the rows of a shard: 256, or 64 where 256 would leave a small store half padding.

    Where a `batch` holds many samples, as of short prompts on a GPU, shards are larger, up to 1,024: none crosses a
    shard, and with four in one few are cut short. A store has at least 16 of them, for as many processes.
    """
    if samples < SMALL_STORE_SAMPLES:
        return SMALL_SHARD_SAMPLES
    found = SHARD_SAMPLES
    while found < min(BATCHES_A_SHARD * batch, MOST_SHARD_SAMPLES) and samples >= LEAST_SHARDS * 2 * found:
        found *= 2
    return found


def missing_shards(records: Sequence[int]) -> list[int]:
    """Return the shards without a record; a shard exists when its record exists."""
    return [shard for shard, record in enumerate(records) if record == 0]


def owned_shards(shards: Iterable[int], rank: int, world: int) -> list[int]:
    """Return the shards that a rank works on: shard s belongs to rank s mod world."""
    if world < 1 or not 0 <= rank < world:
        raise ValueError(f"rank {rank} of {world}: the rank must lie in 0..world-1")
    return [shard for shard in shards if shard % world == rank]


def runs(indices: Iterable[int]) -> list[range]:
    """Return the maximal runs of consecutive numbers in sorted, distinct indices."""
    found: list[range] = []
    for index in indices:
        if found and found[-1].stop == index:
            found[-1] = range(found[-1].start, index + 1)
        else:
            found.append(range(index, index + 1))
    return found


def spans(indices: Iterable[int]) -> str:
    """Return indices as text, runs shortened: `0-255, 512-700`."""
    return ", ".join(f"{run.start}-{run[-1]}" if len(run) > 1 else f"{run.start}" for run in runs(indices))
