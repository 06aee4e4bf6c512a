"""What can be done to the folder of a benchmark: each function returns what damages it."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.io import savemat

TRAIN = "MHaluBench_train.json"
CAPTIONS = "NaturalBench-Retrieval/metadata.json"
ART = "Art_Style/val-00000-of-00001.parquet"
COUNTING = "Counting/val-00000-of-00001.parquet"
PAIRS = "data/train-00001-of-00002.parquet"
VALIDATION = "data/validation-00000-of-00002.parquet"
POOL = "data/train-00000-of-00002.parquet"


def json_file(file, change):
    def damage(folder):
        content = json.loads((folder / file).read_text())
        change(content)
        (folder / file).write_text(json.dumps(content))

    return damage


def put(file, row, **values):
    return json_file(
        file, lambda rows: rows[row].update({key.replace("_resp", "-resp"): v for key, v in values.items()})
    )


def drop(file, row, *keys):
    return json_file(file, lambda rows: [rows[row].pop(key) for key in keys])


def cells(file, row, types=None, **values):
    """Change cells of a Parquet file; `types` gives columns another type first."""

    def damage(folder):
        table = pq.read_table(folder / file)
        for name, kind in (types or {}).items():
            place = table.schema.get_field_index(name)
            table = table.set_column(place, name, pa.array(map(str, table.column(name).to_pylist()), kind))
        rows = table.to_pylist()
        rows[row].update(values)
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), folder / file)

    return damage


def no_columns(file, *columns):
    return lambda folder: pq.write_table(pq.read_table(folder / file).drop_columns(list(columns)), folder / file)


def header(file, value):
    """Give a Parquet file another description of its columns."""

    def damage(folder):
        description = {b"huggingface": value if isinstance(value, bytes) else json.dumps(value).encode()}
        table = pq.read_table(folder / file).replace_schema_metadata(None if value is None else description)
        pq.write_table(table, folder / file)

    return damage


def line(file, number, text):
    def damage(folder):
        lines = (folder / file).read_text().splitlines()
        lines[number - 1] = text
        (folder / file).write_text("\n".join(lines))

    return damage


def content(file, written):
    return lambda folder: (folder / file).write_bytes(written)


def halved(file):
    return lambda folder: (folder / file).write_bytes(
        (folder / file).read_bytes()[: (folder / file).stat().st_size // 2]
    )


def labels(number, value):
    def damage(folder):
        content = np.repeat(np.arange(1, 103), 3)
        content[number - 1] = value
        savemat(folder / "imagelabels.mat", {"labels": content[None]})

    return damage


def parts(**changed):
    found = {name: np.arange(first, 307, 3)[None] for first, name in enumerate(("trnid", "valid", "tstid"), 1)}
    return lambda folder: savemat(folder / "setid.mat", found | changed)


def link_out(folder):
    (folder / "train/VizWiz_train_00000000.jpg").unlink()
    (folder / "train/VizWiz_train_00000000.jpg").symlink_to(folder / "Annotations/train.json")
