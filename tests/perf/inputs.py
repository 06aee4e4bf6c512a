"""Benchmarks with the pictures and prompts of published ones in number and size, made from a seed."""

import colorsys
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from savs_benchmarks import Benchmark, Sample
from savs_harvest.models.tiny.corpus import vocabulary

# Pictures of so many classes differ in their colour, so that heads can tell them apart.
SEEN_CLASSES = 4
WORDS = [word for word in vocabulary() if word.isalpha()]


@dataclass(frozen=True)
class Input:
    """What a prompt is made of: ranges of a picture's sides, of pictures and of words, and how many classes."""

    name: str
    width: tuple[int, int]
    height: tuple[int, int]
    words: tuple[int, int]
    classes: int
    pictures: tuple[int, int] = (1, 1)
    questions: int = 1

    def smaller(self, times):
        """Return the same with pictures and prompts so many times smaller."""
        width, height, words = (
            tuple(max(least, value // times) for value in values)
            for values, least in ((self.width, 16), (self.height, 16), (self.words, 4))
        )
        return replace(self, width=width, height=height, words=words)


INPUTS = (
    Input("EuroSAT", (64, 64), (64, 64), (55, 70), 10),
    Input("Pets", (320, 500), (320, 500), (50, 70), 37),
    Input("NaturalBench", (480, 640), (400, 640), (30, 60), 2, questions=2),
    Input("BLINK", (400, 640), (400, 640), (40, 80), 4, pictures=(2, 4)),
)


def make_picture(generator, size, label):
    """Return smooth noise of a class's own colour: it compresses like a photograph."""
    colour = np.array(colorsys.hsv_to_rgb(label / SEEN_CLASSES, 0.6, 1.0))
    noise = generator.integers(0, 256, (max(2, size[1] // 8), max(2, size[0] // 8), 3)) * colour
    return Image.fromarray(noise.astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)


def make_benchmark(kind, count, folder, seed=0):
    """Return a benchmark of so many samples, its pictures in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    classes = tuple(sorted(WORDS[: kind.classes]))
    samples = []
    for number in range(count):
        label = number // kind.questions % min(SEEN_CLASSES, kind.classes)
        if number % kind.questions == 0:
            shown = []
            for place in range(generator.integers(*kind.pictures, endpoint=True)):
                size = tuple(int(generator.integers(*sides, endpoint=True)) for sides in (kind.width, kind.height))
                shown.append(folder / f"{number}-{place}.jpg")
                make_picture(generator, size, label).save(shown[-1], quality=90)
        question = " ".join(generator.choice(WORDS, generator.integers(*kind.words, endpoint=True)))
        samples.append(Sample(str(number), tuple(shown), question, classes[label], "either"))
    name = kind.name.lower()
    return Benchmark(name, "s", "generated", "1", "none", "accuracy", {"all": classes}, "{}", lambda: samples)
