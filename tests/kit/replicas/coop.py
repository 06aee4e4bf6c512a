"""What replicas that CoOp divides have in common: its split file."""

from pathlib import Path

from kit.replicas.writing import write_json

# Of the five pictures of a class.
PARTS = ("train", "val", "test", "train", "test")


def write_split(file: Path, pictures: dict[str, list[str]], names: dict[str, str]) -> None:
    """Write which pictures of each folder are for what; `names` are the classes of folders that are called else."""
    split: dict[str, list] = {"train": [], "val": [], "test": []}
    for number, (folder, found) in enumerate(pictures.items()):
        for part, picture in zip(PARTS, found, strict=True):
            split[part].append([f"{folder}/{picture}", number, names.get(folder, folder)])
    write_json(file, split)
