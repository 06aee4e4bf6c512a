"""Identity: the hash of everything that must be equal for two vectors to be comparable."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def canonical(fields: Mapping[str, Any]) -> bytes:
    """Return fields as JSON in one spelling: sorted keys, no spaces, no NaN."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def fingerprint(fields: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the fields, in hexadecimal."""
    return hashlib.sha256(canonical(fields)).hexdigest()


def short_hash(*parts: bytes) -> int:
    """Return the first 64 bits of the SHA-256 of the parts, never 0 (0 says: no such thing)."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return int.from_bytes(digest.digest()[:8], "little") or 1


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return one line a differing field: `dtype: 'bfloat16' in the store, 'float16' now`."""
    lines = []
    for name in sorted({*found, *wanted}):
        old, new = (repr(fields[name]) if name in fields else "absent" for fields in (found, wanted))
        spelled = [canonical({name: fields[name]}) for fields in (found, wanted) if name in fields]
        if len(spelled) < 2 or spelled[0] != spelled[1]:
            lines.append(f"{name}: {old} in the store, {new} now")
    return lines
