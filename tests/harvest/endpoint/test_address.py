"""A key travels by https, or stays on this machine; nothing of an address that may be secret is repeated."""

import pytest

from savs_harvest.endpoint.address import check_address, origin, proxy_for
from savs_harvest.endpoint.key import Key, find_key

SECRET = "hunter2secret"
GOOD = [
    ("https://api.openai.com/v1", "https://api.openai.com/v1"),
    ("https://api.openai.com/v1/", "https://api.openai.com/v1"),
    ("https://host:8443/a/v1/chat/completions", "https://host:8443/a/v1"),
    ("http://localhost:11434/v1", "http://localhost:11434/v1"),
    ("http://LOCALHOST/v1", "http://LOCALHOST/v1"),
    ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
    ("http://127.9.8.7/v1", "http://127.9.8.7/v1"),
    ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
]
BAD = [
    ("http://api.openai.com/v1", "this machine only"),
    ("http://localhost.example.com/v1", "this machine only"),
    ("http://127.0.0.1.example.com/v1", "this machine only"),
    ("http://128.0.0.1/v1", "this machine only"),
    ("http://10.0.0.1/v1", "this machine only"),
    ("http://0.0.0.0/v1", "this machine only"),
    ("http://[::2]/v1", "this machine only"),
    ("http://127.1/v1", "this machine only"),
    (f"https://user:{SECRET}@host/v1", "user or a password"),
    (f"https://{SECRET}@host/v1", "user or a password"),
    (f"http://localhost@{SECRET}.com/v1", "user or a password"),
    (f"https://host/v1?key={SECRET}", "query"),
    (f"https://host/v1#{SECRET}", "query"),
    ("https://host/v1?", "query"),
    ("ftp://host/v1", "must be an address"),
    ("file:///etc/passwd", "must be an address"),
    ("host/v1", "must be an address"),
    ("", "must be an address"),
    ("https://", "must be an address"),
    ("http://localhost\\@evil.com/v1", "characters"),
    ("https://host/ v1", "characters"),
    ("https://host/\nv1", "characters"),
    ("http://ⓛocalhost/v1", "characters"),
    ("https://host:99999999/v1", "no address"),
    ("http://[::1/v1", "no address"),
]


@pytest.mark.parametrize(("url", "expected"), GOOD)
def test_addresses(url, expected):
    assert check_address(url) == expected


@pytest.mark.parametrize(("url", "words"), BAD)
def test_what_is_no_address_for_a_key(url, words):
    with pytest.raises(ValueError, match=words) as raised:
        check_address(url)
    assert SECRET not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


def test_of_an_address_that_a_server_names_only_scheme_and_host_are_told():
    assert origin(f"https://user:{SECRET}@evil.com/{SECRET}?{SECRET}") == "https://evil.com"
    assert SECRET not in origin(f"/v2?{SECRET}") + origin(f"http://[{SECRET}")


def test_a_proxy_is_used_where_it_is_asked_for_and_never_to_this_machine(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "inside.example.com")
    assert proxy_for("https://api.openai.com/v1", wanted=False) is None
    assert proxy_for("https://api.openai.com/v1", wanted=True) == "http://proxy:3128"
    assert proxy_for("https://inside.example.com/v1", wanted=True) is None
    assert proxy_for("http://localhost:1/v1", wanted=True) is None
    assert proxy_for("https://127.0.0.1/v1", wanted=True) is None


@pytest.mark.parametrize(
    ("url", "variable", "expected"),
    [
        ("https://api.openai.com/v1", None, "sk-of-openai"),
        ("http://localhost/v1", None, ""),
        ("http://localhost/v1", "OPENAI_API_KEY", "sk-of-openai"),
        ("https://other.example.com/v1", "OTHER", "other-key-1"),
        ("https://other.example.com/v1", "none", ""),
    ],
)
def test_which_key_goes_where(monkeypatch, url, variable, expected):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
    monkeypatch.setenv("OTHER", " other-key-1\n")
    assert find_key(url, variable).secret == expected


@pytest.mark.parametrize(
    "value", ["", "  ", "short", f"{SECRET} {SECRET}", f"{SECRET}\n{SECRET}", f"{SECRET}é", f'"{SECRET}"']
)
def test_what_is_no_key(monkeypatch, value):
    monkeypatch.setenv("MINE", value)
    with pytest.raises(ValueError, match="MINE") as raised:
        find_key("https://other.example.com/v1", "MINE")
    assert SECRET not in str(raised.value)


def test_no_other_server_gets_the_key_of_openai_by_mistake(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
    for url in ("https://other.example.com/v1", "https://api.openai.com.evil.com/v1", "https://eu.api.openai.com/v1"):
        with pytest.raises(ValueError, match="--key-env"):
            find_key(url, None)


def test_a_key_is_hidden_in_every_spelling():
    key = Key("sk+ab/cd=ef")
    assert key.hide("a sk+ab/cd=ef b sk%2Bab%2Fcd%3Def c c2srYWIvY2Q9ZWY= d") == "a [key] b [key] c [key]= d"
    assert "sk+ab" not in repr(key)
    assert Key().hide("none of it") == "none of it"
