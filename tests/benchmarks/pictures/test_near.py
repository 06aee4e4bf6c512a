"""Near-duplicates are found as people make them, and distinct pictures are not joined."""

import io
from importlib.resources import files

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance

from kit.own import noise
from savs_benchmarks.digits.digits import benchmark_pictures
from savs_benchmarks.pictures.near import look_of, near_duplicates

SIDE = 200


def again(picture, quality):
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=quality)
    return Image.open(stream).convert("RGB")


def resized(picture, times):
    return picture.resize((round(picture.width * times), round(picture.height * times)), Image.Resampling.LANCZOS)


def cut(picture, share, sides):
    """Cut a share of the width and height off, of both sides together or of the left and the top."""
    right, down = picture.width * share / sides, picture.height * share / sides
    box = (right, down, picture.width - right * (sides - 1), picture.height - down * (sides - 1))
    return picture.resize(picture.size, Image.Resampling.BICUBIC, box)


def brighter(picture, times):
    return ImageEnhance.Brightness(picture).enhance(times)


# What is done to a picture, and the share of real photos for which it is found.
CHANGES = {
    "nothing": (lambda picture: picture, 1),
    "JPEG 90": (lambda picture: again(picture, 90), 1),
    "JPEG 50": (lambda picture: again(picture, 50), 1),
    "half": (lambda picture: resized(picture, 0.5), 1),
    "three quarters": (lambda picture: resized(picture, 0.75), 1),
    "double": (lambda picture: resized(picture, 2), 1),
    "cut all round": (lambda picture: cut(picture, 0.02, 2), 1),
    "cut at a corner": (lambda picture: cut(picture, 0.02, 1), 0.95),
    "darker": (lambda picture: brighter(picture, 0.9), 1),
    "brighter": (lambda picture: brighter(picture, 1.1), 0.95),  # a bright sky is cut at white
    "all of it": (lambda picture: again(cut(resized(brighter(picture, 0.9), 0.6), 0.02, 2), 70), 1),
}


@pytest.fixture(scope="module")
def photos():
    """Pieces of real photos that share no pixel."""
    whole = [Image.open(files("sklearn.datasets.images") / name).convert("RGB") for name in ("china.jpg", "flower.jpg")]
    starts = [(x, y) for x in range(0, 640 - SIDE, SIDE) for y in range(0, 427 - SIDE, SIDE)]
    return [picture.crop((x, y, x + SIDE, y + SIDE)) for picture in whole for x, y in starts]


def found(picture, other):
    first, second = near_duplicates([look_of(picture), look_of(other)])
    return first == second


@pytest.mark.parametrize("change", CHANGES)
def test_what_people_do_to_photos_is_found(photos, change):
    do, share = CHANGES[change]
    assert len(photos) == 12
    assert np.mean([found(photo, do(photo)) for photo in photos]) >= share - 0.05


@pytest.mark.parametrize("change", CHANGES)
def test_what_people_do_to_digits_is_found(change):
    digits = [benchmark_pictures("test", digit)[number] for digit in range(10) for number in range(3)]
    assert np.mean([found(picture, CHANGES[change][0](picture)) for picture in digits]) >= 0.9


def test_distinct_photos_are_not_joined(photos):
    every = [*photos, *(noise(seed) for seed in range(40))]
    assert len(set(near_duplicates([look_of(picture) for picture in every]))) == len(every)


def test_distinct_digits_are_not_joined():
    """They resemble each other as few pictures do: 947 digits are 447,931 pairs."""
    digits = [
        picture for digit in range(10) for split in ("pool", "test") for picture in benchmark_pictures(split, digit)
    ]
    assert len(digits) == 947
    assert len(set(near_duplicates([look_of(picture) for picture in digits]))) >= len(digits) - 1


def leaf(colour, place=100):
    picture = Image.new("RGB", (SIDE, SIDE), (230, 230, 225))
    ImageDraw.Draw(picture).ellipse((place - 60, 40, place + 60, 160), fill=colour)
    return picture


OTHERS = {
    "another colour": (leaf((60, 160, 60)), leaf((150, 110, 50))),
    "another place": (leaf((60, 160, 60)), leaf((60, 160, 60), 125)),
    "the negative": (leaf((20, 20, 20)), Image.eval(leaf((20, 20, 20)), lambda level: 255 - level)),
    "on its head": (noise(3), noise(3).rotate(180)),
    "flat ones": (Image.new("RGB", (40, 40), (90, 90, 90)), Image.new("RGB", (40, 40), (91, 91, 91))),
    "something added": (
        leaf((60, 160, 60)),
        Image.composite(leaf((0, 0, 0), 60), leaf((60, 160, 60)), leaf((255, 255, 255), 60).convert("1")),
    ),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_pictures_that_differ_in_what_matters_are_not_joined(kind):
    assert not found(*OTHERS[kind])


def test_likes_of_likes_are_one_number_and_nothing_is_like_nothing(photos):
    first, second = photos[0], photos[1]
    looks = [look_of(first), None, look_of(second), look_of(again(first, 60)), None, look_of(brighter(first, 1.1))]
    numbers = near_duplicates(looks)
    assert numbers[0] == numbers[3] == numbers[5]
    assert len(set(numbers)) == 4
    assert near_duplicates([]).tolist() == []


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (5, 3), (31, 33), (3000, 20)])
def test_every_size_has_a_look(size):
    assert look_of(noise(1, size)).grey.shape == (32, 32)
    assert found(noise(1, (300, 200)), noise(1, (300, 200)))


def test_many_versions_of_one_picture_are_one(photos):
    versions = [again(brighter(photos[3], 1 + number / 1000), 90 - number % 5) for number in range(150)]
    assert len(set(near_duplicates([look_of(picture) for picture in versions]))) == 1
