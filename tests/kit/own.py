"""A user's own data as the wild writes them: folders of digits, tables, what the `datasets` library leaves on disk."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from PIL import Image

from savs_benchmarks.digits.digits import DIGIT_WORDS, benchmark_pictures

CLASSES = ("one", "two", "zero")
QUESTION = "which digit is it ?"


def digit(word, number=0):
    """Return a picture of a digit by its word."""
    return benchmark_pictures("test", DIGIT_WORDS.index(word))[number]


def encoded(picture, form="PNG", **options):
    stream = io.BytesIO()
    picture.save(stream, form, **options)
    return stream.getvalue()


def noise(seed, size=(64, 48)):
    """Return a picture with coarse and fine structure that no other seed has."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    fine = rng.integers(-12, 13, (size[1], size[0], 3))
    return Image.fromarray(np.clip(np.asarray(coarse) + fine, 0, 255).astype(np.uint8))


def write_folder(root, per_class=3, classes=CLASSES, ending=".png"):
    """Write a subfolder a class with digits in it."""
    for name in classes:
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(per_class):
            digit(name, number).save(root / name / f"{number}{ending}")
    return root


def image_features(names=CLASSES):
    """Return what `datasets` writes into a schema of pictures and labels."""
    features = {"image": {"_type": "Image"}, "label": {"names": list(names), "_type": "ClassLabel"}}
    return {b"huggingface": json.dumps({"info": {"features": features}}).encode()}


def image_table(labels=(0, 1, 2), paths=None):
    """Return a table of {bytes, path} and numbers of classes."""
    cells = [{"bytes": encoded(noise(number)), "path": f"{number}.png"} for number in range(len(labels))]
    if paths:
        cells = [{"bytes": None, "path": path} for path in paths]
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    columns = {"image": pa.array(cells, kind), "label": pa.array(labels, pa.int64())}
    return pa.table(columns).replace_schema_metadata(image_features())


def write_parquet(file, table, **options):
    file.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(table, file, **options)
    return file


def save_to_disk(folder, table, shards=1, split=None):
    """Write a folder as `Dataset.save_to_disk` lays it out: Arrow streams, state.json, dataset_info.json."""
    folder.mkdir(parents=True)
    names = [f"data-{number:05}-of-{shards:05}.arrow" for number in range(shards)]
    step = -(-len(table) // shards)
    for number, name in enumerate(names):
        with pa.OSFile(str(folder / name), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table.slice(number * step, step), max_chunksize=2)
    state = {"_data_files": [{"filename": name} for name in names], "_fingerprint": "0", "_split": split}
    (folder / "state.json").write_text(json.dumps({**state, "_indices_data_files": None}))
    info = json.loads(table.schema.metadata[b"huggingface"])["info"] if table.schema.metadata else {}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    return folder
