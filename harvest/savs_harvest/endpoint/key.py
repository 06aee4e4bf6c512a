"""The key of an endpoint: from the environment, to the server, and nowhere else."""

from __future__ import annotations

import base64
import os
import re
from dataclasses import dataclass, field
from urllib.parse import quote

from savs_harvest.endpoint.address import OPENAI, host_of, is_loopback

NONE, USUAL = "none", "OPENAI_API_KEY"
FORM = re.compile(r"[A-Za-z0-9._~+/=:|@$!*-]{8,}")
HIDDEN = "[key]"


@dataclass(frozen=True)
class Key:
    """A secret; "" where the server wants none. Nothing that prints it as an object shows it."""

    secret: str = field(default="", repr=False)

    def hide(self, text: str) -> str:
        """Return a text without the key, in whatever spelling a server repeats it."""
        for spelled in self._spellings():
            text = text.replace(spelled, HIDDEN)
        return text

    def _spellings(self) -> list[str]:
        if not self.secret:
            return []
        found = {self.secret, quote(self.secret, safe=""), base64.b64encode(self.secret.encode()).decode().rstrip("=")}
        return sorted(found, key=len, reverse=True)


def find_key(url: str, variable: str | None) -> Key:
    """Return the key that a variable of the environment holds; "none" stands for no key.

    Without a name it is OPENAI_API_KEY for OpenAI, none for this machine, and has to be said for all others: a key is
    sent to nobody by mistake. Raises ValueError, without the value, where there is none, or it can be none.
    """
    if variable is None:
        variable = USUAL if host_of(url) == OPENAI else NONE if is_loopback(url) else None
    if variable is None:
        raise ValueError(
            f"say where the key of {host_of(url)} is: --key-env NAME, a variable of the environment, or none"
        )
    if variable == NONE:
        return Key()
    value = os.environ.get(variable, "").strip()
    if not value:
        raise ValueError(f"the environment has no {variable}: set it, or name another with --key-env (none for no key)")
    if not FORM.fullmatch(value):
        raise ValueError(f"{variable} holds no key: one has 8 characters or more, letters, digits and signs, no spaces")
    return Key(value)
