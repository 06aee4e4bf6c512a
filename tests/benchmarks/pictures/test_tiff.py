"""Grey comes out by the bits that a TIFF declares, white where white is 0, or is refused: never as a guess."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from kit.files import tiff
from savs_benchmarks import PictureError, load_picture

SHORT, LONG, BYTE = 3, 4, 1
WIDTH, HEIGHT, BITS, COMPRESSION, MEANING, STRIPS, SAMPLES, LENGTHS = 256, 257, 258, 259, 262, 273, 277, 279
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE = 0, 1, 2, 3
DEFLATE = 8

# Odd sides: rows of 12 bits do not end where a byte does.
VALUES = np.random.default_rng(0).integers(0, 2**16, (5, 7), dtype=np.uint16)
VALUES[0, :3] = 0, 2**16 - 1, 2**15


def packed(values, bits, order):
    """Return rows of numbers, each row filled up to a whole byte."""
    if bits in (8, 16):
        return values.astype(f"{order}u{bits // 8}").tobytes()
    rows = ["".join(f"{value:0{bits}b}" for value in row) for row in values.tolist()]
    return b"".join(int(row + "0" * (-len(row) % 8), 2).to_bytes(-(-len(row) // 8), "big") for row in rows)


def grey(bits, meaning, order="<", compression=1, more=None):
    data = packed(VALUES >> 16 - bits, bits, order)
    data = zlib.compress(data) if compression == DEFLATE else data
    entries = {
        WIDTH: (SHORT, [7]),
        HEIGHT: (SHORT, [5]),
        BITS: (SHORT, [bits]),
        COMPRESSION: (SHORT, [compression]),
        MEANING: (SHORT, [meaning]),
        STRIPS: (LONG, [8]),
        SAMPLES: (SHORT, [1]),
        LENGTHS: (LONG, [len(data)]),
    } | (more or {})
    return tiff({tag: value for tag, value in entries.items() if value}, data, order)


def expected(bits, meaning):
    """Return the nearest of 256 steps from black to white, by whole numbers alone."""
    largest = 2**bits - 1
    values = (VALUES >> 16 - bits).astype(int)
    values = largest - values if meaning == WHITE_IS_ZERO else values
    return (2 * 255 * values + largest) // (2 * largest)


def read(path, content):
    path.write_bytes(content)
    return np.asarray(load_picture(path))


def code_of(path, content):
    path.write_bytes(content)
    with pytest.raises(PictureError) as raised:
        load_picture(path)
    return raised.value.code


# Pillow has no reader of the other layouts.
READ = {
    *((bits, meaning, order, 1) for bits in (1, 2, 4, 8) for meaning in (0, 1) for order in "<>"),
    *((8, meaning, order, DEFLATE) for meaning in (0, 1) for order in "<>"),
    *((16, meaning, "<", compression) for meaning in (0, 1) for compression in (1, DEFLATE)),
    *((16, BLACK_IS_ZERO, ">", compression) for compression in (1, DEFLATE)),
    *((12, BLACK_IS_ZERO, "<", compression) for compression in (1, DEFLATE)),
}


@pytest.mark.parametrize("compression", [1, DEFLATE])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("meaning", [WHITE_IS_ZERO, BLACK_IS_ZERO])
@pytest.mark.parametrize("bits", [1, 2, 4, 6, 8, 10, 12, 14, 16])
def test_grey_is_scaled_by_its_declared_bits_or_refused(bits, meaning, order, compression, tmp_path):
    content = grey(bits, meaning, order, compression)
    try:
        assert np.array_equal(read(tmp_path / "grey", content)[..., 0], expected(bits, meaning))
        code = ""
    except PictureError as error:
        code = error.code
    refused = set() if (bits, meaning, order, compression) in READ else {"image_unsupported"}
    assert code in {"", *refused}


@pytest.mark.parametrize("bits", [12, 16])
def test_the_largest_value_found_does_not_scale(bits, tmp_path):
    # TIFF 6.0, page 37: MaxSampleValue "is not to be used to affect the visual appearance".
    content = grey(bits, BLACK_IS_ZERO, more={280: (SHORT, [10]), 281: (SHORT, [1000])})
    assert np.array_equal(read(tmp_path / "grey", content)[..., 0], expected(bits, BLACK_IS_ZERO))


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_a_turned_picture_is_scaled_and_not_scrambled(bits, tmp_path):
    content = grey(bits, BLACK_IS_ZERO, more={274: (SHORT, [6])})
    assert np.array_equal(read(tmp_path / "grey", content)[..., 0], np.rot90(expected(bits, BLACK_IS_ZERO), -1))


# What is not meant as Pillow reads it.
REFUSED = {
    "8 bits, signed": grey(8, BLACK_IS_ZERO, more={339: (SHORT, [2])}),
    "16 bits, signed": grey(16, BLACK_IS_ZERO, more={339: (SHORT, [2])}),
    "1 bit, no meaning": grey(1, BLACK_IS_ZERO, more={MEANING: None}),
    "8 bits, no meaning": grey(8, BLACK_IS_ZERO, more={MEANING: None}),
    "16 bits, no meaning": grey(16, BLACK_IS_ZERO, more={MEANING: None}),
    "32 bits": tiff(
        {WIDTH: (SHORT, [2]), HEIGHT: (SHORT, [2]), BITS: (SHORT, [32]), MEANING: (SHORT, [1])}
        | {STRIPS: (LONG, [8]), LENGTHS: (LONG, [16])},
        bytes(16),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_declared_is_not_guessed(name, tmp_path):
    assert code_of(tmp_path / "grey", REFUSED[name]) == "image_unsupported"


@pytest.mark.parametrize("compression", ["tiff_ccitt", "group3", "group4"])
def test_a_fax_that_does_not_say_has_its_white_at_zero(compression, tmp_path):
    Image.fromarray(VALUES > 2**15).save(tmp_path / "said.tif", compression=compression)
    said = (tmp_path / "said.tif").read_bytes()
    entry = said.index(struct.pack("<HHI", MEANING, SHORT, 1))
    silent = said[:entry] + struct.pack("<H", 263) + said[entry + 2 :]  # Thresholding, which nobody reads
    assert said[entry + 8] == BLACK_IS_ZERO
    assert np.array_equal(read(tmp_path / "silent.tif", silent), 255 - read(tmp_path / "said.tif", said))


def test_grey_with_associated_alpha_is_read(tmp_path):
    """Pillow has no way from it to RGB: it was called damaged."""
    alpha = np.full_like(VALUES, 255)
    data = np.stack([VALUES >> 8, alpha], axis=-1).astype(np.uint8).tobytes()
    entries = {WIDTH: (SHORT, [7]), HEIGHT: (SHORT, [5]), BITS: (SHORT, [8, 8]), MEANING: (SHORT, [BLACK_IS_ZERO])}
    entries |= {STRIPS: (LONG, [8]), SAMPLES: (SHORT, [2]), LENGTHS: (LONG, [len(data)]), 338: (SHORT, [1])}
    assert np.array_equal(read(tmp_path / "grey", tiff(entries, data))[..., 0], VALUES >> 8)


COLOURS = np.random.default_rng(1).integers(0, 2**16, (5, 7, 3), dtype=np.uint16)


def colour(bits, order, planes):
    values = (COLOURS >> 16 - bits).astype(f"{order}u{bits // 8}")
    data = (values.transpose(2, 0, 1) if planes == 2 else values).tobytes()
    size = len(data) // 3
    return tiff(
        {WIDTH: (SHORT, [7]), HEIGHT: (SHORT, [5]), BITS: (SHORT, [bits] * 3), MEANING: (SHORT, [RGB])}
        | {STRIPS: (LONG, [8, 8 + size, 8 + 2 * size] if planes == 2 else [8]), SAMPLES: (SHORT, [3])}
        | {LENGTHS: (LONG, [size] * 3 if planes == 2 else [3 * size]), 284: (SHORT, [planes])},
        data,
        order,
    )


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("bits", "planes"), [(8, 1), (8, 2), (16, 1)])
def test_colours_of_either_depth_are_the_same(bits, planes, order, tmp_path):
    assert np.array_equal(read(tmp_path / "colours", colour(bits, order, planes)), COLOURS >> 8)


@pytest.mark.parametrize("order", "<>")
def test_separate_planes_of_sixteen_bits_are_refused(order, tmp_path):
    # Pillow takes each byte for a value.
    assert code_of(tmp_path / "colours", colour(16, order, 2)) == "image_unsupported"


@pytest.mark.parametrize("factor", [1, 257])
def test_a_palette_in_eight_bits_is_not_black(factor, tmp_path):
    colours = np.random.default_rng(2).integers(0, 256, (3, 16))
    content = tiff(
        {WIDTH: (SHORT, [2]), HEIGHT: (SHORT, [2]), BITS: (SHORT, [4]), MEANING: (SHORT, [PALETTE])}
        | {STRIPS: (LONG, [8]), LENGTHS: (LONG, [2]), SAMPLES: (SHORT, [1])}
        | {320: (SHORT, (factor * colours).ravel().tolist())},
        bytes([0x1F, 0x70]),
    )
    pixels = read(tmp_path / "palette", content)
    assert pixels.reshape(4, 3).tolist() == colours[:, [1, 15, 7, 0]].T.tolist()


def test_inks_that_are_not_cmyk_are_refused(tmp_path):
    inks = {WIDTH: (SHORT, [1]), HEIGHT: (SHORT, [1]), BITS: (SHORT, [8] * 4), MEANING: (SHORT, [5])}
    inks |= {STRIPS: (LONG, [8]), LENGTHS: (LONG, [4]), SAMPLES: (SHORT, [4])}
    assert read(tmp_path / "inks", tiff(inks, bytes([0, 255, 255, 0]))).tolist() == [[[255, 0, 0]]]
    assert code_of(tmp_path / "inks", tiff(inks | {332: (SHORT, [2])}, bytes(4))) == "image_unsupported"
