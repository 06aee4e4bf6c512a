"""Small pictures inside a page: of the files that a store names, where they are at hand and still the same."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from PIL import Image, ImageOps

from savs_stores import Store
from savs_stores.format.fingerprint import short_hash

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
MOST_PIXELS = 50_000_000
# Of all files of a page together, each read once a size.
MOST_DECODED = 2_500_000_000
# Of all thumbnails of a page together, as they stand in it.
MOST_BYTES = 900_000
QUALITY = 75
NO_FILES = "no such files are at hand (--image-root FOLDER says where they are)"
LINKED = "a link leads out of the folder they are looked for in (--image-root FOLDER: links below it are followed)"
OTHERS = "the files are not the pictures that were harvested, or only a harvest reads them"
# Fewer pixels are shown as they are: JPEG would blur them.
SMALL = 64

# The pictures of a sample by benchmark and id, for those that are no files.
Shown = Callable[[str, str], Sequence[Image.Image]]


@dataclass
class Thumbnails:
    """Makes thumbnails until a page has enough of them, and counts what is `missing`, and why.

    Files are looked for below `roots`, and near the store: none of a store's paths leads out of them, but links below
    `roots` are followed. `shown` gives the pixels of pictures that are no files. So many bytes are `left` to the page,
    and so many `pixels` to be read for it.
    """

    roots: Sequence[Path] = ()
    shown: Shown | None = None
    left: int = MOST_BYTES
    pixels: int = MOST_DECODED
    missing: dict[str, int] = field(default_factory=dict)

    def of(self, store: Store | None, row: int, side: int) -> list[str]:
        """Return the pictures of a sample as data URIs, `side` pixels at most; none where they are not at hand."""
        found = []
        for small in self._pictures(store, row, side):
            uri = _data_uri(small)
            if len(uri) > self.left:
                self._miss(f"the page has its {MOST_BYTES // 1000:,} kB of pictures")
                continue
            self.left -= len(uri)
            found.append(uri)
        return found

    def _pictures(self, store: Store | None, row: int, side: int) -> Sequence[Image.Image]:
        if store is None:
            return self._miss("the store is not at hand")
        hashes = [number for number in store.samples.image_hash[row].tolist() if number]
        given = self.shown(store.benchmark.name, str(store.samples.sample_id[row])) if self.shown else ()
        if given and list(map(_hash, given)) == hashes:
            return [_small(picture, side) for picture in given]
        if store.texts is None:
            return self._miss("the store keeps no paths of pictures")
        paths = [path for path in store.texts.image_path[row].tolist() if path]
        if not (paths or hashes):  # asked in words alone
            return []
        if not paths:
            return self._miss("they are no files (of the demo `savs-harvest demo` shows them)")
        if len(paths) != len(hashes):
            return self._miss(OTHERS, len(paths))
        return self._files(store, paths, hashes, side)

    def _files(self, store: Store, paths: Sequence[str], hashes: Sequence[int], side: int) -> Sequence[Image.Image]:
        """Return files in small, one read at a time, and none more after one that is not what it was."""
        found = []
        for path, number in zip(paths, hashes, strict=True):
            file = self._place(store, path)
            if isinstance(file, str):
                return self._miss(file, len(paths))
            if (file, side) not in self._read:
                if (pixels := _pixels(file)) > self.pixels:
                    return self._miss(f"the page has read its {MOST_DECODED // 10**6:,} million pixels", len(paths))
                self.pixels -= pixels
                self._read[file, side] = _decoded_small(file, side)
            read, picture = self._read[file, side]
            if read != number or picture is None:
                return self._miss(OTHERS, len(paths))
            found.append(picture)
        return found

    def _miss(self, why: str, count: int = 1) -> tuple[()]:
        self.missing[why] = self.missing.get(why, 0) + count
        return ()

    def _place(self, store: Store, path: str) -> Path | str:
        """Return the first such picture, or why there is none."""
        why = NO_FILES
        for root in (*self.roots, *self._beside(store)):
            try:
                file = (root / path).resolve()
                within = Path(os.path.abspath(root / path)).is_relative_to(os.path.abspath(root))  # noqa: PTH100  links stay
                if within and file.is_file() and _pixels(file):
                    if root in self.roots or file.is_relative_to(root.resolve()):
                        return file
                    why = LINKED
            except (OSError, ValueError, RuntimeError):  # no name of a file, links in a circle
                continue
        return why

    def _beside(self, store: Store) -> list[Path]:
        """Return where pictures are looked for without a word: here, beside the store, and above it."""
        if "://" in str(store.path):
            return [self._here]
        folder = Path(str(store.path)).absolute().parent
        return [self._here, folder, folder.parent]

    @cached_property
    def _read(self) -> dict[tuple[Path, int], tuple[int, Image.Image | None]]:
        """By file and side: the hash, and the picture in small."""
        return {}

    @cached_property
    def _here(self) -> Path:
        return Path.cwd()

    def notes(self) -> list[str]:
        """Return how many pictures are not shown, and why."""
        return [f"{count:,} pictures are not shown: {why}." for why, count in self.missing.items()]


def _hash(picture: Image.Image) -> int:
    """Return what a store keeps of a picture: a hash of the size and the pixels."""
    found = picture.convert("RGB")
    return short_hash(repr(found.size).encode(), found.tobytes())


def _small(picture: Image.Image, side: int) -> Image.Image:
    small = picture.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    return small


def _decoded_small(file: Path, side: int) -> tuple[int, Image.Image | None]:
    picture = _decoded(file)
    return (0, None) if picture is None else (_hash(picture), _small(picture, side))


def _pixels(file: Path) -> int:
    """Return how many pixels an ordinary picture says it has; 0 for too many, and for anything else."""
    try:
        with file.open("rb") as stream:
            opened = Image.open(stream, formats=FORMATS)
            pixels = opened.width * opened.height
    except Exception:  # damaged bytes make Pillow raise whatever they happen to hit
        return 0
    return pixels if pixels <= MOST_PIXELS else 0


def _decoded(file: Path) -> Image.Image | None:
    """Return an ordinary picture as RGB, upright; None for anything else."""
    try:
        with file.open("rb") as stream:
            return ImageOps.exif_transpose(Image.open(stream, formats=FORMATS)).convert("RGB")
    except Exception:  # as above
        return None


def _data_uri(picture: Image.Image) -> str:
    form = "PNG" if max(picture.size) <= SMALL else "JPEG"
    content = io.BytesIO()
    picture.save(content, form, optimize=True, **({"quality": QUALITY} if form == "JPEG" else {}))
    return f"data:image/{form.lower()};base64,{base64.b64encode(content.getvalue()).decode()}"
