"""Changing what a store says of itself, with or without the hash that tells of it."""

import json

from savs_stores.format.schema import MODEL, TABLE
from savs_stores.place.group import metadata_hash


def edit(file, change):
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))


def reseal(folder):
    """Write the hash of a group's metadata again: what a store looks like that was made so."""
    names = TABLE if (folder / "label").exists() else MODEL
    arrays = {name: json.loads((folder / name / "zarr.json").read_text()) for name in names}
    edit(folder / "zarr.json", lambda d: d["attributes"].update(metadata_hash=metadata_hash(d["attributes"], arrays)))
