"""Every file is a picture or has a reason: nothing else is ever raised, nothing decoded by chance."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from savs_benchmarks import PictureError, load_picture
from savs_benchmarks.pictures.pictures import MAX_PIXELS, resolve_inside

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
ORIENTATION = 0x0112


def encoded(picture, form, **options):
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def noise(width=40, height=30):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def png_of_size(width, height):
    """Return a PNG of 45 bytes whose header promises any size."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def exif(**tags):
    written = Image.Exif()
    written[ORIENTATION] = 6
    for tag, value in tags.items():
        written[int(tag[1:])] = value
    return written


@pytest.fixture
def file(tmp_path):
    def write(content, name="picture"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


def code_of(source):
    with pytest.raises(PictureError) as raised:
        load_picture(source)
    return raised.value.code


# One pixel of each mode and what it must look like.
PIXELS = {
    "L": (100, (100, 100, 100)),
    "1": (1, (255, 255, 255)),
    "LA": ((100, 0), (100, 100, 100)),
    "RGB": ((1, 2, 3), (1, 2, 3)),
    "RGBA": ((1, 2, 3, 0), (1, 2, 3)),
}


@pytest.mark.parametrize("mode", PIXELS)
def test_every_mode_becomes_rgb_and_alpha_is_dropped(file, mode):
    value, expected = PIXELS[mode]
    picture = load_picture(file(encoded(Image.new(mode, (5, 4), value), "PNG")))
    assert (picture.mode, picture.size) == ("RGB", (5, 4))
    assert set(picture.get_flattened_data()) == {expected}


def test_a_palette_is_looked_up(file):
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([*RED, *GREEN])
    assert load_picture(file(encoded(palette, "PNG"))).getpixel((0, 0)) == GREEN


def test_cmyk_becomes_rgb(file):
    picture = load_picture(file(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG")))
    assert picture.mode == "RGB"
    assert np.abs(np.subtract(picture.getpixel((4, 4)), RED)).max() <= 3


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(file, form):
    wide = np.array([[0, 128, 129, 257, 1000], [32768, 40000, 65278, 65406, 65535]], dtype=np.uint16)
    picture = load_picture(file(encoded(Image.fromarray(wide), form)))
    # 65535 / 255 = 257: the nearest of 256 steps.
    assert np.asarray(picture)[..., 0].tolist() == [[0, 0, 1, 1, 4], [128, 156, 254, 254, 255]]
    assert picture.mode == "RGB"


def test_an_animation_gives_its_first_frame(file):
    frames = [Image.new("RGB", (6, 6), colour) for colour in (RED, GREEN, BLUE)]
    animation = file(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert load_picture(animation).getpixel((3, 3)) == RED


def test_exif_rotation_is_applied(file):
    half_red = Image.new("RGB", (32, 16), BLUE)
    half_red.paste(RED, (0, 0, 16, 16))
    picture = load_picture(file(encoded(half_red, "PNG", exif=exif())))
    assert picture.size == (16, 32)
    # Orientation 6: what is stored on the left belongs to the top.
    assert (picture.getpixel((8, 2)), picture.getpixel((8, 30))) == (RED, BLUE)


def test_a_picture_in_memory_follows_the_same_rules():
    turned = Image.open(io.BytesIO(encoded(Image.new("RGB", (32, 16)), "PNG", exif=exif())))
    assert load_picture(turned).size == (16, 32)
    assert load_picture(Image.fromarray(np.array([[257]], dtype=np.uint16))).getpixel((0, 0)) == (1, 1, 1)
    assert code_of(Image.new("F", (4, 4))) == "image_unsupported"


PROGRESSIVE = encoded(noise(), "JPEG", quality=90, progressive=True)
BAD_FILES = {
    "zero bytes": (b"", "not_an_image"),
    "HTML": (b"<!DOCTYPE html><html><body>404</body></html>", "not_an_image"),
    "text": (b"this is no picture", "not_an_image"),
    "EPS": (encoded(noise(), "EPS"), "not_an_image"),
    "PDF": (encoded(noise(), "PDF"), "not_an_image"),
    "JPEG cut short": (encoded(noise(), "JPEG")[:-300], "image_corrupt"),
    "progressive JPEG cut short": (PROGRESSIVE[: len(PROGRESSIVE) // 2], "image_corrupt"),
    "PNG cut short": (encoded(noise(), "PNG")[:-300], "image_corrupt"),
    "GIF cut short": (encoded(noise(), "GIF")[:-300], "image_corrupt"),
    "TIFF cut short": (encoded(noise(), "TIFF")[:-300], "image_corrupt"),
    "WEBP cut short": (encoded(noise(), "WEBP")[:-300], "image_corrupt"),
    "float TIFF": (encoded(Image.new("F", (4, 4), 0.5), "TIFF"), "image_unsupported"),
    "32-bit TIFF": (encoded(Image.new("I", (4, 4), 70000), "TIFF"), "image_unsupported"),
    "just too many pixels": (png_of_size(MAX_PIXELS // 5000, 5001), "image_too_large"),
    "a bomb": (png_of_size(60_000, 60_000), "image_too_large"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_every_bad_file_has_its_code(file, kind):
    content, code = BAD_FILES[kind]
    path = file(content, "named.jpg")
    assert code_of(path) == code
    with pytest.raises(PictureError, match="named"):
        load_picture(path)


def test_a_missing_file_has_its_code(tmp_path):
    assert code_of(tmp_path / "none.png") == "image_missing"
    assert code_of(tmp_path) == "image_missing"


def test_a_file_that_may_not_be_read_has_its_code(file, monkeypatch):
    path = file(encoded(noise(), "PNG"))

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)
    assert code_of(path) == "image_corrupt"


def test_a_bomb_is_refused_from_its_header(file):
    path = file(png_of_size(10_000, 8_000))
    tracemalloc.start()
    try:
        assert code_of(path) == "image_too_large"
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20  # the pixels would take 240 MB


def test_exactly_the_largest_size_is_decoded_before_it_is_refused(file):
    # The limit itself is allowed: the header passes, and the missing pixels are what is wrong.
    assert code_of(file(png_of_size(MAX_PIXELS // 5000, 5000))) == "image_corrupt"


WHOLE = {
    "JPEG": encoded(noise(), "JPEG", exif=exif(_271="a maker")),
    "PNG": encoded(noise(), "PNG", exif=exif()),
    "P": encoded(noise().convert("P"), "PNG", transparency=3),
    "GIF": encoded(noise(), "GIF", save_all=True, append_images=[noise(9, 9)]),
    "WEBP": encoded(noise(), "WEBP", exif=exif()),
    "BMP": encoded(noise(), "BMP"),
    "TIFF": encoded(noise(), "TIFF"),
    "16 bit": encoded(Image.fromarray(np.arange(900, dtype=np.uint16).reshape(30, 30)), "PNG"),
}


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_give_a_picture_or_a_code(file, kind, data):
    content = bytearray(WHOLE[kind])
    header = st.integers(0, min(len(content), 200) - 1)
    for place in data.draw(st.lists(header | st.integers(0, len(content) - 1), min_size=1, max_size=5)):
        content[place] = data.draw(st.integers(0, 255))
    path = file(bytes(content[: data.draw(st.integers(0, len(content)))]))
    try:
        outcome = load_picture(path).mode
    except PictureError as error:
        outcome = error.code
    assert outcome in ("RGB", "not_an_image", "image_too_large", "image_corrupt", "image_unsupported")


@pytest.mark.parametrize("name", ["a.png", "sub/b.png", "sub/../a.png", "./a.png"])
def test_paths_below_the_root_are_resolved(folder, name):
    assert resolve_inside(folder, name) == (folder / name).resolve()


def test_the_root_itself_may_be_a_link(folder, tmp_path):
    (tmp_path / "alias").symlink_to(folder)
    assert resolve_inside(tmp_path / "alias", "a.png") == (folder / "a.png").resolve()
