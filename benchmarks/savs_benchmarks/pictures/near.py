"""Near-duplicate pictures: the same one saved again, resized, cropped a little, brighter or darker.

Two pictures are near-duplicates where their 64-bit hashes differ in few bits, and one explains the other, moved and
scaled a little and with another contrast, as well as it explains itself with two per cent cut off, and their
colours agree. The last makes the rule fit the picture: a drawn digit resembles a hundred others, gravel hardly itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

SIDE, COLOURS, FIRST = 32, 4, 128
# Bits of the hash that may differ; what these numbers find, and join wrongly, is measured in test_near.py.
MOST_BITS = 12
# What may be left unexplained: so many times what a small cut leaves, and a little for noise; never more than most.
TIMES, NOISE, MOST_LEFT = 1.5, 0.004, 0.5
CUT = 0.02
# Of the picture's side: how far it may be moved, and how much larger or smaller it may be.
MOST_MOVED, MOST_SCALED = 0.04, 0.1
CONTRAST = (0.6, 1.7)
# Levels of 255: colours may differ by so much on average; a picture that varies less than this has nothing to compare.
COLOUR_LEVELS, FLAT_LEVELS = 5.0, 2.0
# Pictures that are compared at once.
AT_ONCE = 16


@dataclass(frozen=True)
class Look:
    """What a picture looks like, in about a kilobyte: a hash, grey and colours made small, and what a small cut leaves.

    `left` is the share of its variance that the picture does not explain of itself with two per cent cut off.
    """

    hash: int
    grey: np.ndarray
    colours: np.ndarray
    left: float


def look_of(picture: Image.Image) -> Look:
    """Return what an RGB picture looks like."""
    small = picture.resize((FIRST, FIRST), Image.Resampling.BOX) if min(picture.size) > FIRST else picture
    grey, *colours = small.convert("YCbCr").split()
    whole = _shrunk(grey, SIDE)
    width, height = grey.size
    corner = (CUT * width, CUT * height, float(width), float(height))
    around = (CUT / 2 * width, CUT / 2 * height, (1 - CUT / 2) * width, (1 - CUT / 2) * height)
    left = max(_left(whole, _shrunk(grey, SIDE, box)) for box in (corner, around))
    return Look(_hash(whole), whole, np.stack([_shrunk(each, COLOURS) for each in colours]), left)


def _shrunk(channel: Image.Image, side: int, box: Any = None) -> np.ndarray:
    way = Image.Resampling.BOX if min(channel.size) >= side else Image.Resampling.BILINEAR
    return np.asarray(channel.resize((side, side), way, box), dtype=np.uint8)


def _hash(grey: np.ndarray) -> int:
    """Return 64 bits: which of the lowest frequencies are above their median."""
    from scipy.fft import dctn

    low = dctn(grey.astype(np.float64), norm="ortho")[:8, :8].ravel()
    low[0] = np.median(low[1:])  # the brightness says nothing
    return int(np.packbits(low > np.median(low[1:])).view(">u8")[0])


def near_duplicates(looks: Sequence[Look | None]) -> np.ndarray:
    """Return a number for every picture, the same for near-duplicates and for theirs; None is like no other."""
    numbers = np.arange(len(looks))
    places = np.array([place for place, look in enumerate(looks) if look is not None and not _is_flat(look)], dtype=int)
    hashes = np.array([_hash_of(looks[place]) for place in places.tolist()], dtype=np.uint64)
    for number, place in enumerate(places.tolist()):
        alike = places[np.flatnonzero(np.bitwise_count(hashes[:number] ^ hashes[number]) <= MOST_BITS)]
        while len(alike := alike[numbers[alike] != numbers[place]]):  # those that are joined already need no look
            some, alike = alike[:AT_ONCE], alike[AT_ONCE:]
            for other in some[_resemble(looks[place], [looks[one] for one in some.tolist()])]:
                numbers[numbers == numbers[place]] = numbers[other]
    return numbers


def _hash_of(look: Look | None) -> int:
    return look.hash if look else 0


def _is_flat(look: Look) -> bool:
    return float(look.grey.std()) < FLAT_LEVELS


def _resemble(look: Any, others: Sequence[Any]) -> np.ndarray:
    """Tell which others a picture explains, and is explained by, and has the colours of."""
    allowed = np.array([_allowed(max(look.left, other.left)) for other in others])
    left, contrast, moved, scaled = _explained(look.grey, np.stack([other.grey for other in others]))
    fits = (left <= allowed) & (moved <= MOST_MOVED) & (scaled <= MOST_SCALED)
    fits &= (contrast >= CONTRAST[0]) & (contrast <= CONTRAST[1])
    for place in np.flatnonzero(fits).tolist():
        other = others[place]
        colours = np.abs(contrast[place] * (look.colours - 128.0) - (other.colours - 128.0)).mean()
        fits[place] = colours <= COLOUR_LEVELS and _left(other.grey, look.grey) <= allowed[place]
    return fits


def _allowed(left: float) -> float:
    return min(MOST_LEFT, TIMES * left + NOISE)


def _left(grey: np.ndarray, other: np.ndarray) -> float:
    return float(_explained(grey, other[None])[0][0])


def _explained(grey: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return of [other, row, column] the share of variance that a picture leaves unexplained, and what it takes.

    That is its contrast, how far it is moved and how much it is scaled, as shares of its side. The picture, its
    slopes and its slopes times the place explain another linearly, as long as it is moved by little.
    """
    mine, every = grey.astype(np.float64), others.reshape(len(others), -1).astype(np.float64)
    down, right = np.gradient(mine)
    place = (np.arange(SIDE) - (SIDE - 1) / 2) / SIDE
    columns = np.stack([np.ones_like(mine), mine, down, right, down * place[:, None], right * place], axis=-1)
    basis, triangle = np.linalg.qr(columns.reshape(-1, columns.shape[-1]))
    found = every @ basis
    variance = every.var(axis=1) * every.shape[1]
    rest = (every**2).sum(axis=1) - (found**2).sum(axis=1)
    weights = np.linalg.lstsq(triangle, found.T, rcond=None)[0]
    contrast = np.where(np.abs(weights[1]) < 1e-6, 1e-6, weights[1])
    moved = np.abs(weights[2:4] / contrast).max(axis=0) / SIDE
    scaled = np.abs(weights[4:6] / contrast).max(axis=0) / SIDE
    return np.where(variance > 0, rest / np.maximum(variance, 1e-9), 1.0), contrast, moved, scaled
