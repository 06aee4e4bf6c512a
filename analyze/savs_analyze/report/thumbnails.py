"""Small pictures inside a page: of the files that a store names, where they are at hand and still the same."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from PIL import Image, ImageOps

from savs_stores import Store
from savs_stores.format.fingerprint import short_hash

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
MOST_PIXELS = 50_000_000
# Of all thumbnails of a page together, as they stand in it.
MOST_BYTES = 900_000
QUALITY = 75
# Fewer pixels are shown as they are: JPEG would blur them.
SMALL = 64

# The pictures of a sample by benchmark and id, for those that are no files.
Shown = Callable[[str, str], Sequence[Image.Image]]


@dataclass
class Thumbnails:
    """Makes thumbnails until a page has enough of them, and counts what is `missing`, and why.

    Files are looked for below `roots`: none of a store's paths leads out of them. `shown` gives the pixels of pictures
    that are no files.
    """

    roots: Sequence[Path] = ()
    shown: Shown | None = None
    left: int = MOST_BYTES
    missing: dict[str, int] = field(default_factory=dict)

    def of(self, store: Store | None, row: int, side: int) -> list[str]:
        """Return the pictures of a sample as data URIs, `side` pixels at most; none where they are not at hand."""
        found = []
        for picture in self._pictures(store, row):
            small = picture.copy()
            small.thumbnail((side, side), Image.Resampling.LANCZOS)
            uri = _data_uri(small)
            if len(uri) > self.left:
                self._miss(f"the page has its {MOST_BYTES // 1000:,} kB of pictures")
                continue
            self.left -= len(uri)
            found.append(uri)
        return found

    def _pictures(self, store: Store | None, row: int) -> Iterable[Image.Image]:
        if store is None:
            return self._miss("the store is not at hand")
        hashes = [number for number in store.samples.image_hash[row].tolist() if number]
        given = self.shown(store.benchmark.name, str(store.samples.sample_id[row])) if self.shown else ()
        if given and _hashes(given) == hashes:
            return given
        if store.texts is None:
            return self._miss("the store keeps no paths of pictures")
        paths = [path for path in store.texts.image_path[row].tolist() if path]
        if not paths:
            return self._miss("they are no files")
        found = [self._read(store, path) for path in paths]
        there = [picture for picture in found if picture is not None]
        if len(there) < len(found):
            return self._miss(
                "no such files are at hand (--image-root FOLDER says where they are)", len(found) - len(there)
            )
        if _hashes(there) != hashes:
            return self._miss("the files are not the pictures that were harvested, or only a harvest reads them")
        return there

    def _miss(self, why: str, count: int = 1) -> tuple[()]:
        self.missing[why] = self.missing.get(why, 0) + count
        return ()

    def _read(self, store: Store, path: str) -> Image.Image | None:
        for root in (*self.roots, *self._beside(store)):
            try:
                file = (root / path).resolve()
                if file.is_relative_to(root.resolve()) and file.is_file() and (picture := _decoded(file)):
                    return picture
            except (OSError, ValueError, RuntimeError):  # no name of a file, links in a circle
                continue
        return None

    def _beside(self, store: Store) -> list[Path]:
        """Return where pictures are looked for without a word: here, beside the store, and above it."""
        if "://" in str(store.path):
            return [self._here]
        folder = Path(str(store.path)).absolute().parent
        return [self._here, folder, folder.parent]

    @cached_property
    def _here(self) -> Path:
        return Path.cwd()

    def notes(self) -> list[str]:
        """Return how many pictures are not shown, and why."""
        return [f"{count:,} pictures are not shown: {why}." for why, count in self.missing.items()]


def _hashes(pictures: Iterable[Image.Image]) -> list[int]:
    """Return what a store keeps of pictures: a hash of the size and the pixels."""
    found = [picture.convert("RGB") for picture in pictures]
    return [short_hash(repr(picture.size).encode(), picture.tobytes()) for picture in found]


def _decoded(file: Path) -> Image.Image | None:
    """Return an ordinary picture as RGB, upright; None for anything else."""
    try:
        with file.open("rb") as stream:
            opened = Image.open(stream, formats=FORMATS)
            if opened.width * opened.height > MOST_PIXELS:
                return None
            return ImageOps.exif_transpose(opened).convert("RGB")
    except Exception:  # damaged bytes make Pillow raise whatever they happen to hit
        return None


def _data_uri(picture: Image.Image) -> str:
    form = "PNG" if max(picture.size) <= SMALL else "JPEG"
    content = io.BytesIO()
    picture.save(content, form, optimize=True, **({"quality": QUALITY} if form == "JPEG" else {}))
    return f"data:image/{form.lower()};base64,{base64.b64encode(content.getvalue()).decode()}"
