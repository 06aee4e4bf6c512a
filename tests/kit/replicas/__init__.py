"""Small replicas of the published benchmarks: their file formats and layouts, pictures from what scikit-learn brings.

A file a benchmark, found by itself. `make_replica("pets", root)` writes `root/pets`. In every task each class has at
least two samples to learn from and one to test on; no two pictures of a replica are the same.
"""

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from kit.replicas.replica import Replica

_MODULES = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
REPLICAS: dict[str, Replica] = {
    module.REPLICA.name: module.REPLICA for module in _MODULES if hasattr(module, "REPLICA")
}


def make_replica(name: str, data_root: Path) -> Path:
    """Write the replica of a benchmark below a data root and return its folder."""
    folder = data_root / name
    REPLICAS[name].write(folder)
    return folder


def make_replicas(data_root: Path) -> Path:
    for name in REPLICAS:
        make_replica(name, data_root)
    return data_root
