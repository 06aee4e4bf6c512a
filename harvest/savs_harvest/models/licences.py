"""Under which licence a checkpoint is published: what the header of its model card says."""

from __future__ import annotations

import re
from pathlib import Path

from savs_stores.terminal import printable

CARD = "README.md"
# Headers of cards have a few hundred lines at most, a licence a few words.
MOST_READ, MOST_SAID = 2**18, 200
HEADER = re.compile(r"\A\s*---[ \t]*\n(.*?)^---[ \t]*$", re.DOTALL | re.MULTILINE)
FIELD = re.compile(r"^(license|license_name)[ \t]*:(.*(?:\n[ \t]*-[ \t].*)*)", re.MULTILINE)
COMMENT = re.compile(r"(^|\s)#.*$", re.MULTILINE)


def find_licence(folder: Path) -> str | None:
    """Return the licence that a checkpoint's model card names, None where there is no card, or it names none."""
    try:
        with (folder / CARD).open(encoding="utf-8", errors="replace") as card:
            return licence_of(card.read(MOST_READ))
    except OSError:
        return None


def licence_of(card: str) -> str | None:
    """Return the licence in the YAML header of a model card, by its own name where it is another than the hub knows.

    Several are told one after the other.
    """
    header = HEADER.match(card)
    fields = {name: _words(value) for name, value in FIELD.findall(header[1])} if header else {}
    found = fields.get("license", [])
    if found == ["other"]:
        found = fields.get("license_name") or found
    return printable(", ".join(found))[:MOST_SAID] or None


def _words(value: str) -> list[str]:
    """Return the words of a YAML scalar, or of a list of them in either of its forms."""
    lines = COMMENT.sub("", value).splitlines()
    parts = [part for line in lines for part in line.strip().removeprefix("- ").strip("[]").split(",")]
    words = [part.strip().strip("'\"").strip() for part in parts]
    return [word for word in words if word not in ("", "null", "~", "None")]
