"""Under which licence a checkpoint is published: what the header of its model card says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from savs_stores.terminal import printable, shown

CARD = "README.md"
# Headers of cards have a few hundred lines at most, a licence a few words.
MOST_READ, MOST_SAID = 2**18, 200
HEADER = re.compile(r"\A\s*---[ \t]*\n(.*?)^---[ \t]*$", re.DOTALL | re.MULTILINE)


def find_licence(folder: Path) -> str | None:
    """Return the licence that a checkpoint's model card names, None where there is no card, or it names none."""
    try:
        with (folder / CARD).open(encoding="utf-8", errors="replace") as card:
            return licence_of(card.read(MOST_READ))
    except OSError:
        return None


def licence_of(card: str) -> str | None:
    """Return the licence in the YAML header of a model card, by its own name where it is another than the hub knows.

    Several are told one after the other. A header that is no YAML names none.
    """
    header = HEADER.match("\n".join(card.removeprefix("\ufeff").splitlines()))
    fields = _fields(header[1]) if header else {}
    found = _words(fields.get("license"))
    if found == ["other"]:
        found = _words(fields.get("license_name")) or found
    return printable(", ".join(found))[:MOST_SAID] or None


def _fields(header: str) -> Mapping[str, Any]:
    """Return the fields of a header, every scalar as the text it is; {} for what is no YAML of fields."""
    import yaml

    try:  # of a loader that makes texts, lists and dicts, and nothing else, whatever tags ask for
        found = yaml.load(shown(header.replace("\t", " ")), yaml.BaseLoader)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _words(value: Any) -> list[str]:
    """Return the words of a scalar, or of a list of them."""
    words = [word.strip() for word in (value if isinstance(value, list) else [value]) if isinstance(word, str)]
    return [word for word in words if word not in ("", "null", "~", "None")]
