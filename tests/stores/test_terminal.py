"""What a terminal is sent: errors as sentences, and nothing of a store that it would obey."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savs_stores.terminal import MISUSED, UNPRINTABLE, printable, run_app, say, shown

# What is done to a terminal, or to a reader's eye, and how it is shown.
ORDERS = {
    "colour": ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
    "title": ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
    "clipboard": ("\x1b]52;c;cm0gLXJm\x07", "\\x1b]52;c;cm0gLXJm\\x07"),
    "one byte": ("\x9b2J", "\\x9b2J"),
    "begin again": ("good\rbad", "good\\rbad"),
    "a line more": ("a\nmodel      b", "a\\nmodel      b"),
    "a line more of Unicode": ("a\u2028b\u2029c\x85d\x0be\x0cf", "a\\u2028b\\u2029c\\x85d\\x0be\\x0cf"),
    "turned": ("\u202egnp.exe", "\\u202egnp.exe"),
    "apart": ("\u2066a\u2069", "\\u2066a\\u2069"),
    "no width": ("a\u200bb\u200dc\ufeffd\u2060e", "a\\u200bb\\u200dc\\ufeffd\\u2060e"),
    "rubbed out": ("ab\x08\x7f", "ab\\x08\\x7f"),
    "a bell": ("\x07", "\\x07"),
    "a table": ("a\tb", "a\\tb"),
    "tags": ("a\U000e0041", "a\\U000e0041"),
    "half a character": ("\ud800", "\\ud800"),
}


@pytest.mark.parametrize("name", ORDERS)
def test_what_a_terminal_would_obey_is_shown(name):
    text, expected = ORDERS[name]
    assert printable(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "plain", "caf\u00e9", "\u732b", "\u0643\u0644\u0628", "a\u00a0b", "100 \u00b0", "\U0001f408", "back\\slash"],
)
def test_words_of_all_languages_stay_as_they_are(text):
    assert printable(text) == text


@given(st.text(), st.text())
def test_nothing_unprintable_is_left_and_all_else_is(one, other):
    found = printable(one)
    assert not any(unicodedata.category(character) in UNPRINTABLE for character in found)
    assert printable(found) == found
    assert shown(f"{one}\n{other}").count("\n") == 1 + one.count("\n") + other.count("\n")


def test_only_our_own_lines_are_lines(capsys):
    say("one\ntwo \x1b[2J\r", 3)
    assert capsys.readouterr().out == "one\\ntwo \\x1b[2J\\r\n3\n"


def test_errors_are_shown_and_not_obeyed(monkeypatch, capsys):
    def app():
        raise ValueError("line one\nline two \x1b[2J\u202e")

    for arguments, shown_in in (([], "error: line one\n"), (["-v"], "Traceback (most recent call last):\n")):
        monkeypatch.setattr("sys.argv", ["savs-analyze", *arguments])
        with pytest.raises(SystemExit) as raised:
            run_app(app)
        told = capsys.readouterr().err
        assert raised.value.code == MISUSED
        assert shown_in in told
        assert "line two \\x1b[2J\\u202e\n" in told


def test_a_closed_standard_output_is_told_in_words(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout", None)
    with pytest.raises(SystemExit) as stop:
        run_app(lambda: pytest.fail("it ran"))
    assert stop.value.code == MISUSED
    assert capsys.readouterr().err.startswith("error: standard output is closed: send it somewhere")
