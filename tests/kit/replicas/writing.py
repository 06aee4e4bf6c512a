"""Writing pictures and tables as the sources of benchmarks do; no two pictures are the same."""

import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])

SIDES = (32, 40, 48, 56, 64)

LETTERS = "ABCD"

THINGS = "petals leaves towers roofs bricks trees clouds stairs windows doors people flags".split()


@cache
def picture(number: int, form: str = "JPEG") -> bytes:
    """Return an encoded picture, another one for every number: a crop of a photo; of PNGs every fourth is a digit."""
    if form == "PNG" and number % 4 == 3:
        grey = np.round(255 * (1 - _digits()[number] / 16)).astype(np.uint8)
        drawn = Image.fromarray(grey).resize((48, 48), Image.Resampling.NEAREST)
    else:
        left, top = number * 37 % (640 - SIDES[-1]), number * 53 % (427 - SIDES[-1])
        width, height = SIDES[number % 5], SIDES[number // 5 % 5]
        drawn = _photos()[number % 2].crop((left, top, left + width, top + height))
    buffer = io.BytesIO()
    drawn.save(buffer, form)
    return buffer.getvalue()


@cache
def _photos() -> list[Image.Image]:
    return [Image.fromarray(photo) for photo in load_sample_images().images]


@cache
def _digits() -> np.ndarray:
    return load_digits().images


def write_picture(file: Path, number: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(picture(number, "PNG" if file.suffix == ".png" else "JPEG"))


def write_json(file: Path, content: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content), encoding="utf-8")


def write_lines(file: Path, *lines: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def write_parquet(
    file: Path, types: dict[str, pa.DataType], rows: list[dict[str, Any]], features: dict[str, Any], group: int = 5
) -> None:
    """Write rows as the hub does: several row groups, and a header that names the columns' features."""
    header = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    file.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows, schema=pa.schema(types)).replace_schema_metadata(header)
    pq.write_table(table, file, row_group_size=group)


def cell(number: int, form: str = "JPEG") -> dict[str, Any]:
    return {"bytes": picture(number, form), "path": f"{number}.{form.lower()}"}
