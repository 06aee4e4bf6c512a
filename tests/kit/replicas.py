"""Small replicas of the published benchmarks: their file formats and layouts, pictures from what scikit-learn brings.

`make_replica("pets", root)` writes `root/pets`. In every task each class has at least two samples to learn from
and one to test on; no two pictures of a replica are the same.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from scipy.io import savemat
from sklearn.datasets import load_digits, load_sample_images

PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
SIDES = (32, 40, 48, 56, 64)
LETTERS = "ABCD"


def make_replica(name: str, data_root: Path) -> Path:
    """Write the replica of a benchmark below a data root and return its folder."""
    folder = data_root / name
    REPLICAS[name](folder)
    return folder


def make_replicas(data_root: Path) -> Path:
    for name in REPLICAS:
        make_replica(name, data_root)
    return data_root


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


def _mhalu(folder: Path) -> None:
    numbers = count()
    for file, instances in (("MHaluBench_train.json", 3), ("MHaluBench_val-v0.2.json", 4)):
        rows = []
        for instance in range(instances):
            number = next(numbers)
            name = f"{number:06}.jpg"
            write_picture(folder / "data/image-to-text" / name, number)
            path = f"/home/authors/image-to-text/{name}" if instance else f"D:\\authors\\image-to-text\\{name}"
            wrong = ["hallucination", "non-hallucination"] if instance % 2 else ["non-hallucination", "hallucination"]
            rows.append(
                {
                    "image_path": path,
                    "response": "There is a flower. It is red.",
                    "label": "hallucination",
                    "claim_list": [f"Picture {number} has a flower.", f"The flower of picture {number} is red"],
                    "ref_claim_label": wrong,
                }
            )
        generated = {"claim_list": ["A cat was drawn."], "ref_claim_label": ["hallucination"], "label": "hallucination"}
        # Of what a model drew, the path tells of one, the folder of the other.
        write_picture(folder / f"data/text-to-image/seen-{instances}.png", next(numbers))
        for path in (f"/home/authors/text-to-image/told-{instances}.png", f"/home/authors/seen-{instances}.png"):
            rows.insert(1, {"image_path": path, **generated})
        write_json(folder / file, rows)
    write_json(folder / "MHaluBench_val-v0.1.json", [])


HARM = ("bad_ads", "privacyAlert", "hatefulMemes", "HOD", "harm-p")


def _vlguard(folder: Path) -> None:
    numbers = count()
    for file in ("train", "test"):
        rows = []
        for number, kind in zip(numbers, HARM * 2, strict=False):
            safe = number % 3 == 0
            image = f"{kind}/{number}.png"
            write_picture(folder / file / image, number)
            instructions = (
                [
                    {"safe_instruction": f"Describe picture {number}.", "response": "A flower."},
                    {"unsafe_instruction": f"Insult whoever took picture {number}.", "response": "No."},
                ]
                if safe
                else [{"instruction": f"What does picture {number} advertise?", "response": "No."}]
            )
            rows.append(
                {
                    "id": f"{file}_{number}",
                    "image": image,
                    "safe": safe,
                    "harmful_category": None if safe else "deception",
                    "harmful_subcategory": None if safe else "disinformation",
                    "instr-resp": instructions,
                }
            )
        write_json(folder / f"{file}.json", rows)


# Pictures, letters and the question of every task; {} is another word in every sample.
BLINK = {
    "Art_Style": (3, 2, "Which picture is painted like the first one?"),
    "Counting": (1, 4, "How many {} are in the image?"),
    "Forensic_Detection": (4, 4, "Which picture is a photo?"),
    "Functional_Correspondence": (2, 4, "Which point of the second picture is used like the one of the first?"),
    "IQ_Test": (1, 4, "Which picture comes next?"),
    "Jigsaw": (3, 2, "Which picture is the missing corner?"),
    "Multi-view_Reasoning": (2, 2, "Did the camera move to the left or to the right?"),
    "Object_Localization": (1, 2, "Which box holds the {}?"),
    "Relative_Depth": (1, 2, "Which point is closer to the camera?"),
    "Relative_Reflectance": (1, 3, "Which point is darker?"),
    "Semantic_Correspondence": (2, 4, "Which point of the second picture means the same?"),
    "Spatial_Relation": (1, 2, "Are the {} below the flower?"),
    "Visual_Correspondence": (2, 4, "Which point of the second picture is the same?"),
    "Visual_Similarity": (3, 2, "Which picture is like the first one?"),
}
CHOICES = ("the first", "the second", "the third", "the fourth")
THINGS = "petals leaves towers roofs bricks trees clouds stairs windows doors people flags".split()
BLINK_TYPES = {
    "idx": pa.string(),
    "question": pa.string(),
    "sub_task": pa.string(),
    **{f"image_{place}": PICTURE for place in (1, 2, 3, 4)},
    "choices": pa.list_(pa.string()),
    "answer": pa.string(),
    "prompt": pa.string(),
}


def _blink(folder: Path) -> None:
    numbers = count()
    for task, (pictures, letters, question) in BLINK.items():
        rows = [_blink_row(task, row, pictures, letters, question, numbers) for row in range(3 * letters)]
        features = {f"image_{place}": {"_type": "Image"} for place in (1, 2, 3, 4)}
        write_parquet(folder / task / "val-00000-of-00001.parquet", BLINK_TYPES, rows, features)
        hidden = [row | {"idx": row["idx"].replace("val", "test"), "answer": "hidden"} for row in rows[:2]]
        write_parquet(folder / task / "test-00000-of-00001.parquet", BLINK_TYPES, hidden, features)


def _blink_row(task: str, row: int, pictures: int, letters: int, question: str, numbers: Iterator[int]) -> dict:
    choices = list(CHOICES[:letters])
    asked = question.format(THINGS[row])
    form = "PNG" if task == "IQ_Test" else "JPEG"
    images = [cell(next(numbers), form) if place < pictures else None for place in range(4)]
    printed = " ".join(f"({letter}) {choice}" for letter, choice in zip(LETTERS, choices, strict=False))
    return {
        "idx": f"val_{task}_{row + 1}",
        "question": asked,
        "sub_task": task,
        **{f"image_{place}": image for place, image in enumerate(images, 1)},
        "choices": choices,
        "answer": f"({LETTERS[row % letters]})",
        "prompt": f"Look closely. {asked}\nSelect from the following choices.\n{printed}\n",
    }


NATURALBENCH_TYPES = {
    "Index": pa.int64(),
    **{f"Image_{image}": PICTURE for image in (0, 1)},
    **{f"Question_{question}": pa.string() for question in (0, 1)},
    **{f"Image_{image}_Question_{question}": pa.string() for question in (0, 1) for image in (0, 1)},
    "Question_Type": pa.string(),
}


def _naturalbench(folder: Path) -> None:
    rows = [_naturalbench_row(index) for index in range(12)]
    features = {"Image_0": {"_type": "Image"}, "Image_1": {"_type": "Image"}}
    for shard in (0, 1):
        file = folder / f"data/train-{shard:05}-of-00002.parquet"
        write_parquet(file, NATURALBENCH_TYPES, rows[shard * 7 : shard * 7 + 7], features)


def _naturalbench_row(index: int) -> dict[str, Any]:
    kind = "multiple_choice" if index % 2 else "yes_no"
    one, other = ("A", "B") if index % 2 else ("Yes", "No")
    # Of every question one picture is right; in every second group it is the same picture for both.
    first, second = (one, other), (one, other) if index // 2 % 2 else (other, one)
    return {
        "Index": index,
        "Image_0": cell(2 * index),
        "Image_1": cell(2 * index + 1),
        "Question_0": f"What about the roof of {index}?",
        "Question_1": f"What about the petals of {index}?",
        "Image_0_Question_0": first[0],
        "Image_1_Question_0": first[1],
        "Image_0_Question_1": second[0],
        "Image_1_Question_1": second[1],
        "Question_Type": kind,
    }


def _naturalbench_retrieval(folder: Path) -> None:
    rows = []
    for index in range(12):
        names = [f"{index}_{image}.jpg" for image in (0, 1)]
        for image, name in enumerate(names):
            write_picture(folder / "NaturalBench-Retrieval/images" / name, 2 * index + image)
        captions = {f"caption_{caption}": f"{THINGS[index]}, taken {caption + 1} times" for caption in (0, 1)}
        rows.append({"index": index, "image_0": names[0], "image_1": names[1], **captions})
    write_json(folder / "NaturalBench-Retrieval/metadata.json", rows)


def _sugarcrepe(folder: Path) -> None:
    kinds = ("add_att", "add_obj", "replace_att", "replace_obj", "replace_rel", "swap_att", "swap_obj")
    for place, kind in enumerate(kinds):
        pairs = {}
        for key in range(2):
            number = 2 * place + key - (kind == "swap_obj")  # some pictures serve in two files
            write_picture(folder / f"val2017/{number:012}.jpg", number)
            pairs[str(key)] = {
                "filename": f"{number:012}.jpg",
                "caption": f"A {THINGS[key]} next to a flower, {kind}.",
                "negative_caption": f"A flower on {THINGS[key]}, {kind}.",
            }
        write_json(folder / f"{kind}.json", pairs)


def _vizwiz(folder: Path) -> None:
    numbers = count()
    for part, answers in (("train", 6), ("val", 5), ("test", 2)):
        rows = []
        for place in range(answers):
            number = next(numbers)
            name = f"VizWiz_{part}_{place:08}.jpg"
            write_picture(folder / part / name, number)
            row: dict[str, Any] = {"image": name, "question": f"What is written on can {number}?"}
            if part != "test":
                row |= {
                    "answers": [{"answer": "soup", "answer_confidence": "yes"}] * 10,
                    "answer_type": "other" if place % 2 else "unanswerable",
                    "answerable": place % 2,
                }
            rows.append(row)
        write_json(folder / f"Annotations/{part}.json", rows)


LAND = "AnnualCrop Forest HerbaceousVegetation Highway Industrial Pasture PermanentCrop Residential River SeaLake"


def _eurosat(folder: Path) -> None:
    numbers = count()
    for name in LAND.split():
        for place in range(1, 5):
            write_picture(folder / f"2750/{name}/{name}_{place}.jpg", next(numbers))


CATS = """Abyssinian Bengal Birman Bombay British_Shorthair Egyptian_Mau Maine_Coon Persian Ragdoll Russian_Blue
    Siamese Sphynx"""
DOGS = """american_bulldog american_pit_bull_terrier basset_hound beagle boxer chihuahua english_cocker_spaniel
    english_setter german_shorthaired great_pyrenees havanese japanese_chin keeshond leonberger miniature_pinscher
    newfoundland pomeranian pug saint_bernard samoyed scottish_terrier shiba_inu staffordshire_bull_terrier
    wheaten_terrier yorkshire_terrier"""


def _pets(folder: Path) -> None:
    breeds = [(name, 1) for name in CATS.split()] + [(name, 2) for name in DOGS.split()]
    breeds.sort(key=lambda breed: breed[0].lower())
    numbers = count()
    lists: dict[str, list[str]] = {"trainval": [], "test": []}
    for number, (name, species) in enumerate(breeds, 1):
        for place, part in ((100, "trainval"), (20, "trainval"), (3, "test")):
            write_picture(folder / f"images/{name}_{place}.jpg", next(numbers))
            lists[part].append(f"{name}_{place} {number} {species} {number}")
    write_picture(folder / "images/pug_7.jpg", next(numbers))  # in neither list
    savemat(folder / "images/Abyssinian_100.mat", {"x": np.zeros((1, 1))})  # the archive holds such files
    heading = ("#Image CLASS-ID SPECIES BREED ID", "#SPECIES: 1:Cat 2:Dog", "#")
    for part, lines in lists.items():
        write_lines(folder / f"annotations/{part}.txt", *heading, *lines)
    write_lines(folder / "annotations/list.txt", *heading, *lists["trainval"], *lists["test"])


IMAGENET = (
    "tench, Tinca tinca",
    "goldfish, Carassius auratus",
    "great white shark, white shark, man-eater, man-eating shark, Carcharodon carcharias",
    "cock",
    "hen",
    "ostrich, Struthio camelus",
    "brambling, Fringilla montifringilla",
    "robin, American robin, Turdus migratorius",
    "jay",
    "magpie",
    "kite",
    "vulture",
    "axolotl, mud puppy, Ambystoma mexicanum",
    "tree frog, tree-frog",
    "mud turtle",
    "Gila monster, Heloderma suspectum",
    "maillot",
    "maillot, tank suit",
    "daisy",
    "toilet tissue, toilet paper, bathroom tissue",
)
IMAGENET_TYPES = {"image": PICTURE, "label": pa.int64()}
IMAGENET_FEATURES = {"image": {"_type": "Image"}, "label": {"names": IMAGENET, "_type": "ClassLabel"}}


def _imagenet(folder: Path) -> None:
    numbers = count()
    labels = {
        "train-00000-of-00002": [*range(0, 20, 2)] * 2,
        "train-00001-of-00002": [*range(1, 20, 2)] * 3,
        "validation-00000-of-00002": [*range(13)],
        "validation-00001-of-00002": [*range(13, 20)],
        "test-00000-of-00001": [-1, -1],
    }
    for file, found in labels.items():
        rows = [{"image": cell(next(numbers)), "label": label} for label in found]
        write_parquet(folder / f"data/{file}.parquet", IMAGENET_TYPES, rows, IMAGENET_FEATURES, group=8)


def _flowers(folder: Path) -> None:
    # Pictures lie sorted by class, three of each; the lists name them out of order.
    labels = np.repeat(np.arange(1, 103), 3)
    for number in range(1, len(labels) + 1):
        write_picture(folder / f"jpg/image_{number:05}.jpg", number)
    first = np.random.default_rng(0).permutation(np.arange(1, len(labels), 3))
    savemat(folder / "imagelabels.mat", {"labels": labels[None].astype(np.uint8)}, do_compression=True)
    parts = {name: (first[None] + shift).astype(np.uint16) for shift, name in enumerate(("trnid", "valid", "tstid"))}
    savemat(folder / "setid.mat", parts, do_compression=True)


BIRDS = {
    1: "Black_footed_Albatross",
    2: "Laysan_Albatross",
    3: "Sooty_Albatross",
    29: "American_Crow",
    30: "Fish_Crow",
    36: "Northern_Flicker",
}


def _cub(folder: Path) -> None:
    root = folder / "CUB_200_2011"
    images, labels, splits = [], [], []
    for number, name in BIRDS.items():
        for place in range(5):
            image = len(images) + 1
            file = f"{number:03}.{name}/{name}_{place:04}_{1000 + image}.jpg"
            write_picture(root / "images" / file, image)
            images.append(f"{image} {file}")
            labels.append(f"{image} {number}")
            splits.append(f"{image} {int(place in (1, 2, 4))}")
    write_lines(root / "classes.txt", *(f"{number} {number:03}.{name}" for number, name in BIRDS.items()))
    write_lines(root / "images.txt", *images)
    write_lines(root / "image_class_labels.txt", *labels)
    write_lines(root / "train_test_split.txt", *splits)


REPLICAS: dict[str, Callable[[Path], None]] = {
    "mhalu": _mhalu,
    "vlguard": _vlguard,
    "blink": _blink,
    "naturalbench": _naturalbench,
    "naturalbench-retrieval": _naturalbench_retrieval,
    "sugarcrepe": _sugarcrepe,
    "vizwiz": _vizwiz,
    "eurosat": _eurosat,
    "pets": _pets,
    "imagenet": _imagenet,
    "flowers": _flowers,
    "cub": _cub,
}
