"""How a sample is put to a server: one user's turn of pictures and the question, in OpenAI's chat form."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from savs_benchmarks.pictures.pictures import POLICY
from savs_harvest.asking.said import RULE
from savs_stores.format.fingerprint import canonical

TOP = 20
LOGPROBS, MAX_TOKENS = "logprobs", "max_tokens"
PICTURES = "PNG as data URL"
# What stands for a picture in the hash of the form.
NO_PICTURE = b""


@dataclass(frozen=True)
class Form:
    """What every request has in common."""

    model: str
    temperature: float = 0.0
    max_tokens: int = 16
    logprobs: bool = True

    def body(self, question: str, pictures: Sequence[bytes], without: Collection[str] = ()) -> dict[str, Any]:
        """Return a request; `without` is what the server does not take: log-probabilities, the name `max_tokens`."""
        length = "max_completion_tokens" if MAX_TOKENS in without else MAX_TOKENS
        parts: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": _url(each)}} for each in pictures]
        found = {
            "model": self.model,
            "messages": [{"role": "user", "content": [*parts, {"type": "text", "text": question}]}],
            "temperature": self.temperature,
            length: self.max_tokens,
        }
        asks = self.logprobs and LOGPROBS not in without
        return found | ({"logprobs": True, "top_logprobs": TOP} if asks else {})

    def describe(self) -> dict[str, Any]:
        """Return the fields of the fingerprint; where the server is, is none of them."""
        shape = self.body("{question}", [NO_PICTURE]) | {"model": ""}
        return {
            "system": "endpoint",
            "model": self.model,
            "prompt": hashlib.sha256(canonical(shape)).hexdigest(),
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "logits": f"first token, the {TOP} most likely" if self.logprobs else "none",
            "reading": RULE,
            "images": f"{POLICY}; {PICTURES}",
        }

    def request_hash(self, question: str, image_hashes: Sequence[int]) -> str:
        """Return what tells a request from others: the form, the question, the pixels of its pictures."""
        fields = {**self.describe(), "question": question, "pixels": list(image_hashes)}
        return hashlib.sha256(canonical(fields)).hexdigest()[:16]


def png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _url(picture: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"
