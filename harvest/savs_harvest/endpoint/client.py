"""One request, one reply: the openai package, kept from retrying, from following, and from telling."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any

from savs_harvest.endpoint.address import origin
from savs_harvest.endpoint.form import LOGPROBS
from savs_harvest.endpoint.key import Key
from savs_harvest.errors import EndpointError
from savs_stores.terminal import printable

INSTALL = 'asking an endpoint needs the openai package: pip install "savs[endpoint]"'
# All that travels besides the body: no organization, project or other header that the environment may name.
HEADERS = {
    *("host", "connection", "accept", "accept-encoding", "content-type", "content-length", "transfer-encoding"),
    *("user-agent", "authorization"),
}
AGAIN = {408, 409, 425, 429}
STOP = {
    401: "the key is not taken (401)",
    402: "there is no money left (402)",
    403: "it may not be asked (403)",
    404: "there is no such model or path (404; an address most often ends in /v1)",
}
LONGEST_WORDS, LONGEST_TEXT, MOST_TOKENS = 300, 10_000, 20
NOT_SENT = ("ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol")
LIBRARIES = ("openai", "httpx", "httpx2", "httpcore", "httpcore2")


class Kind(Enum):
    """What came of a request."""

    answer = "answer"
    refused = "refused"
    again = "again"


@dataclass(frozen=True)
class Reply:
    """What came of a request: the `fields` of an answer, or `why` there is none.

    `after` are the seconds that the server asks to wait, `lost` says that it may have answered, and been paid, `code`
    is that of HTTP.
    """

    kind: Kind
    fields: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""
    after: float | None = None
    lost: bool = False
    code: int = 0


class Client:
    """A server that is asked: its certificate is verified, no redirection is followed, no .netrc is read."""

    def __init__(self, address: str, key: Key, timeout: float, proxy: str | None = None) -> None:
        try:
            import openai
        except ModuleNotFoundError:
            raise EndpointError(INSTALL) from None
        for name in LIBRARIES:  # at level debug they tell what is sent
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._openai, self._key, self._timeout = openai, key, timeout
        http = openai.DefaultHttpxClient(
            timeout=timeout,
            follow_redirects=False,
            trust_env=False,
            proxy=proxy,
            event_hooks={"request": [self._strip]},
        )
        self._client = openai.OpenAI(
            api_key=key.secret or "none", base_url=address, max_retries=0, timeout=timeout, http_client=http
        )

    def close(self) -> None:
        self._client.close()

    def _strip(self, request: Any) -> None:
        """Take from a request what is not to travel."""
        for name in {name.lower() for name in request.headers} - HEADERS:
            del request.headers[name]
        request.headers["authorization"] = f"Bearer {self._key.secret}"
        if not self._key.secret:
            del request.headers["authorization"]

    def ask(self, body: Mapping[str, Any]) -> Reply:
        """Send one request. Raises `EndpointError`, without the key, where asking again would be no use."""
        openai = self._openai
        try:
            found = self._client.post("/chat/completions", cast_to=object, body=dict(body))
            return _read(json.loads(self._key.hide(json.dumps(found))), LOGPROBS in body)  # hidden before it is cut
        except openai.APITimeoutError as error:
            sent = not _not_sent(error)
            return Reply(Kind.again, why=f"no answer within {self._timeout:g} s", lost=sent)
        except openai.APIConnectionError as error:
            return self._cut(error)
        except openai.APIStatusError as error:
            return self._status(error)
        except EndpointError:
            raise
        except Exception as error:  # whatever the libraries raise may hold what was sent
            raise EndpointError(f"asking failed: {type(error).__name__}: {self._words(str(error))}") from None

    def _cut(self, error: Exception) -> Reply:
        cause = str(error.__cause__ or error)
        if "CERTIFICATE" in cause.upper():
            raise EndpointError(f"the server's certificate is not valid: {self._words(cause)}") from None
        return Reply(Kind.again, why=f"the connection failed: {self._words(cause)}", lost=not _not_sent(error))

    def _status(self, error: Any) -> Reply:
        code, words = error.status_code, self._words(_message(error))
        if 300 <= code < 400:
            where = self._words(origin(error.response.headers.get("location", "")))
            raise EndpointError(f"the server sends on to {where} ({code}): nothing was sent there") from None
        if code in STOP:
            raise EndpointError(f"{STOP[code]}: {words}") from None
        if code == 429 and "insufficient_quota" in str(error.body):
            raise EndpointError(f"there is no money left (429): {words}") from None
        if code in AGAIN or code >= 500:
            return Reply(Kind.again, why=f"{code}: {words}", after=_retry_after(error.response.headers), code=code)
        return Reply(Kind.refused, why=f"{code}: {words}", code=code)

    def _words(self, text: str) -> str:
        return printable(self._key.hide(text))[:LONGEST_WORDS]


def _read(found: Any, logprobs: bool) -> Reply:
    """Return what a reply says that came with code 200."""
    try:
        choice = found["choices"][0]
        said, reason = _said(choice["message"]), str(choice.get("finish_reason") or "")
        first = _first_tokens(choice.get("logprobs"))
    except (KeyError, IndexError, TypeError, AttributeError):
        return Reply(Kind.again, why="the reply is no chat completion", lost=True)
    if reason == "content_filter":
        return Reply(Kind.refused, why="the server's content filter")
    fields = {
        "text": said[:LONGEST_TEXT],
        "finish_reason": reason,
        "usage": _usage(found.get("usage")),
        "first": first,
        "logprobs": logprobs,
        "model": str(found.get("model") or "")[:LONGEST_WORDS],
        "system": str(found.get("system_fingerprint") or "")[:LONGEST_WORDS],
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return Reply(Kind.answer, fields)


def _not_sent(error: Exception) -> bool:
    """Tell whether a connection failed before anything was sent: then nothing was paid."""
    return type(error.__cause__).__name__ in NOT_SENT


def _said(message: Mapping[str, Any]) -> str:
    """Return the words of a message; those of a refusal are words, too."""
    content = message.get("content") or message.get("refusal") or ""
    if isinstance(content, list):
        content = "".join(str(part.get("text") or "") for part in content)
    return str(content)


def _usage(found: Any) -> dict[str, int]:
    names = ("prompt_tokens", "completion_tokens")
    values = {name: found.get(name) for name in names} if isinstance(found, dict) else {}
    return {name: value for name, value in values.items() if type(value) is int and value >= 0}


def _first_tokens(found: Any) -> list[tuple[str, float]]:
    """Return the likeliest first tokens with their log-probabilities, [] where they are not given or make no sense."""
    try:
        pairs = [(str(each["token"]), float(each["logprob"])) for each in found["content"][0]["top_logprobs"]]
    except (KeyError, IndexError, TypeError, ValueError):
        return []
    return pairs[:MOST_TOKENS] if all(math.isfinite(value) and value <= 0 for _, value in pairs) else []


def _message(error: Any) -> str:
    """Return what a server says of its error."""
    message = error.body.get("message") if isinstance(error.body, dict) else None
    return str(message or error.message)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a server asks to wait, None where it says none."""
    text = headers.get("retry-after", "")
    with suppress(ValueError):
        return seconds if math.isfinite(seconds := float(text)) else None
    with suppress(ValueError, TypeError):
        return (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    return None
