"""Questions about one picture come together: it is read, and made the model's input, once for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from typing import Any

from PIL import Image

from savs_benchmarks import load_picture
from savs_benchmarks.pictures.pictures import Picture


class LastPictures:
    """Gives the pictures of a sample, the very same ones where the sample before showed them."""

    def __init__(self) -> None:
        self.sources: tuple[Picture, ...] = ()
        self.found: list[Image.Image] = []

    def load(self, sources: tuple[Picture, ...]) -> list[Image.Image]:
        """Return pictures as RGB. Raises `PictureError`."""
        if sources != self.sources or not sources:
            self.sources = ()  # until all of these are read
            self.found = [load_picture(source) for source in sources]
            self.sources = sources
        return self.found


def keep_last(image_processor: Any) -> None:
    """Let an image processor keep what it made last, for a call with the very same pictures and options.

    It stays what it is by name and by settings: only its call is another one.
    """
    kind = type(image_processor)
    if getattr(kind, "keeps_last", False):
        return
    last: list[tuple[list[Image.Image], str, Any]] = []

    def call(self: Any, images: Any, *args: Any, **options: Any) -> Any:
        shown = list(_flat(images))
        asked = repr((_shape(images), args, sorted(options.items())))
        plain = all(isinstance(picture, Image.Image) for picture in shown) and _is_plain([args, options])
        if plain and last and last[0][1] == asked and _same(shown, last[0][0]):
            return copy(last[0][2])  # processors take parts out of it
        found = kind.__call__(self, images, *args, **options)
        last[:] = [(shown, asked, copy(found))] if plain else []
        return found

    members = {"__call__": call, "__module__": kind.__module__, "keeps_last": True}
    image_processor.__class__ = type(kind.__name__, (kind,), members)


def _is_plain(value: Any) -> bool:
    """Tell whether all that a value is made of is told by its `repr`, as arrays, which that shortens, are not."""
    if isinstance(value, dict):
        return _is_plain([*value.keys(), *value.values()])
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float)


def _flat(images: Any) -> Iterator[Any]:
    if isinstance(images, list | tuple):
        for one in images:
            yield from _flat(one)
    else:
        yield images


def _shape(images: Any) -> Any:
    return [_shape(one) for one in images] if isinstance(images, list | tuple) else 0


def _same(some: Sequence[Any], others: Sequence[Any]) -> bool:
    return len(some) == len(others) and all(one is other for one, other in zip(some, others, strict=True))
