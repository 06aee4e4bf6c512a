"""Import paths of version 0.1.0 go on for one version, with a warning that names the new one.

Each package imports this; a folder that took the name of a module looks its old names up with `names`.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from savs_moved.table import MODULES, RENAMED


def names(module: str) -> Callable[[str], Any]:
    """Return a module's `__getattr__`, which finds what an old module held where it is now, and warns."""

    def find(name: str) -> Any:
        if is_a_folder_with(name):  # which is no old name: what is being imported may need it first
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        places = () if name.startswith("_") else MODULES.get(module, ())
        wanted = RENAMED.get(f"{module}.{name}", "")
        if wanted:
            places, name = (wanted.rpartition(".")[0],), wanted.rpartition(".")[2]
        for place in places:
            if hasattr(found := import_module(place), name):
                words = f"{module} has moved: import {name} from {place}; the old path goes with the next version"
                warnings.warn(words, FutureWarning, stacklevel=2)
                return getattr(found, name)
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    def is_a_folder_with(name: str) -> bool:
        path = vars(sys.modules[module]).get("__path__")
        return path is not None and PathFinder.find_spec(f"{module}.{name}", path) is not None

    return find


class _Moved(MetaPathFinder, Loader):
    """Makes a module of an old path, which holds nothing and finds everything."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        is_package = any(module.startswith(f"{name}.") for module in MODULES)
        return ModuleSpec(name, self, is_package=is_package) if name in MODULES else None

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__getattr__"] = names(module.__name__)


sys.meta_path.append(_Moved())  # behind all others: what is really there comes first
