"""Where a server is, and whether a key may travel there."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Address, ip_address
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

LOOPBACK = IPv4Network("127.0.0.0/8")
OPENAI = "api.openai.com"


def check_address(url: str) -> str:
    """Return the address of an endpoint, as `https://api.openai.com/v1`.

    Raises ValueError, which repeats nothing that may be secret, for a name or password in it, for a query, for
    anything but https, or http to this machine itself.
    """
    parts = _split(url)
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise ValueError("--endpoint holds a user or a password: a key comes from the environment, see --key-env")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise ValueError("--endpoint has a query or a fragment: give the address up to /v1, a key by --key-env")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("--endpoint must be an address such as https://api.openai.com/v1 or http://localhost:8000/v1")
    if parts.scheme == "http" and not is_loopback(url):
        raise ValueError(f"--endpoint: http:// is for this machine only, {parts.hostname} must be asked by https://")
    return url.rstrip("/").removesuffix("/chat/completions")


def _split(url: str) -> SplitResult:
    if not (url.isascii() and url.isprintable()) or any(character in url for character in " \\"):
        raise ValueError("--endpoint holds characters that no address has")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError("--endpoint is no address: its host or its port cannot be read") from None
    return parts


def host_of(url: str) -> str:
    return (urlsplit(url).hostname or "").lower()


def is_loopback(url: str) -> bool:
    """Tell whether an address is this machine itself, by its name or its number."""
    host = host_of(url)
    try:
        number = ip_address(host)
    except ValueError:
        return host == "localhost"
    return number == IPv6Address("::1") or number in LOOPBACK


def origin(url: str) -> str:
    """Return scheme and host of an address, all that is told of one that a server names."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "what is no address"
    return f"{parts.scheme}://{parts.hostname}" if parts.scheme and parts.hostname else "another path of its own"


def proxy_for(url: str, wanted: bool) -> str | None:
    """Return the proxy that the environment names for an address; none unless wanted, none to this machine."""
    parts = urlsplit(url)
    if not wanted or is_loopback(url) or proxy_bypass(parts.netloc):
        return None
    return getproxies().get(parts.scheme)
