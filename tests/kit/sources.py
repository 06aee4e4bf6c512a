"""Replicas as their sources hold them: packed into archives, and copied by the hub's client."""

import shutil
import tarfile
import zipfile

from huggingface_hub.utils import filter_repo_objects

# Archives that the sources hold, and what of a replica is in them; all else lies there as it is.
PACKED = {
    "vlguard": {"train.zip": "train", "test.zip": "test"},
    "naturalbench-retrieval": {"NaturalBench-Retrieval.zip": "NaturalBench-Retrieval"},
    "sugarcrepe": {"val2017.zip": "val2017"},
    "vizwiz": {"Annotations.zip": "Annotations", "train.zip": "train", "val.zip": "val"},
    "eurosat": {"EuroSAT_RGB.zip": "2750"},
    "pets": {"images.tar.gz": "images", "annotations.tar.gz": "annotations"},
    "flowers": {"102flowers.tgz": "jpg"},
    "cub": {"CUB_200_2011.tgz": "CUB_200_2011"},
    "dtd": {"dtd-r1.0.1.tar.gz": "dtd"},
    "food-101": {"food-101.tar.gz": "food-101"},
    "caltech-101": {"caltech-101.zip": "caltech-101"},
}
# What is packed once more inside of an archive.
INNER = {"caltech-101": ("caltech-101", "101_ObjectCategories")}
# The files by which CoOp divides.
COOP = {
    "dtd": "split_zhou_DescribableTextures.json",
    "food-101": "split_zhou_Food101.json",
    "caltech-101": "split_zhou_Caltech101.json",
}


def pack(archive, folder, name):
    """Write an archive of what lies below `folder / name`, under that name."""
    files = sorted(path for path in (folder / name).rglob("*") if path.is_file())
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as opened:
            for file in files:
                opened.write(file, file.relative_to(folder).as_posix())
    else:
        with tarfile.open(archive, "w:gz", compresslevel=1) as opened:
            opened.add(folder / name, name)


def as_published(name, folder, site):
    """Put a replica as its source holds it into the folder `site`."""
    packed = PACKED.get(name, {})
    if name in INNER:
        folder = _packed_inside(folder, site.with_name(f"{site.name}-inside"), *INNER[name])
    shutil.copytree(folder, site, ignore=lambda at, names: set(names) & set(packed.values()))
    for archive, content in packed.items():
        pack(site / archive, folder, content)
    return site


def _packed_inside(folder, at, outer, inner):
    """Copy a replica with the folder `outer / inner` as an archive."""
    shutil.copytree(folder, at)
    pack(at / outer / f"{inner}.tar.gz", at / outer, inner)
    shutil.rmtree(at / outer / inner)
    return at


def contents(folder):
    """Return the contents of all files below a folder, without what the hub's client keeps there."""
    files = [path for path in folder.rglob("*") if path.is_file() and ".cache" not in path.parts]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


class Hub:
    """Stands for the hub's client: keeps how it was called, and does what it is told."""

    def __init__(self, do):
        self.calls, self.do = [], do

    def __call__(self, repository, **options):
        self.calls.append((repository, options))
        return self.do(**options)


def raising(error):
    def do(**options):
        raise error

    return do


def serve(site, revision="f" * 40):
    """Return what copies the asked files of a folder, as the hub's client does."""

    def do(allow_patterns, local_dir, **options):
        files = [path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()]
        for file in filter_repo_objects(files, allow_patterns=allow_patterns):
            record = local_dir / ".cache/huggingface/download" / f"{file}.metadata"
            for path in (local_dir / file, record):
                path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(site / file, local_dir / file)
            record.write_text(f"{revision}\netag\n1700000000.0\n")
        return str(local_dir)

    return do
