"""What is written down is there after anything, and belongs to one command."""

import json

import pytest

from savs_harvest.endpoint.journal import Journal, JournalError
from savs_harvest.endpoint.limits import Limits, Prices, spent
from savs_harvest.endpoint.record import Record
from savs_harvest.errors import EndpointError

HEADER = {"model": "one", "index_hash": "a", "temperature": 0.0}


def answer(text="yes", usage=(100, 2), model="m", logprobs=False):
    tokens = dict(zip(("prompt_tokens", "completion_tokens"), usage, strict=False))
    return {
        "text": text,
        "finish_reason": "stop",
        "usage": tokens,
        "first": [],
        "logprobs": logprobs,
        "model": model,
        "at": "t",
    }


@pytest.fixture
def journal(tmp_path):
    found = Journal(tmp_path / "j.jsonl", HEADER)
    found.begin()
    return found


def anything(record):
    pass


def reread(journal, header=HEADER):
    found = Journal(journal.path, header)
    found.read()
    return found.record


def test_what_is_read_is_what_was_written(journal):
    for sample in "abcd":
        assert journal.send(sample, "r", anything) == 1
    journal.answer("a", 1, answer())
    journal.refuse("b", 1, "no")
    journal.fail("c", 1, "cut", lost=True)
    assert journal.send("c", "r", anything) == 2
    assert journal.go_without("logprobs")
    assert not journal.go_without("logprobs")
    record = reread(journal)
    assert record == journal.record
    assert (record.sent, record.lost, record.open) == (5, 1, {("d", 1), ("c", 2)})
    assert [record.is_done(sample) for sample in "abcde"] == [True, True, False, False, False]


def test_refusals_count_once_anything_is_answered(journal):
    journal.send("a", "r", anything)
    journal.refuse("a", 1, "no")
    assert not journal.record.is_done("a")
    journal.send("b", "r", anything)
    journal.answer("b", 1, answer())
    assert journal.record.is_done("a")


def test_every_torn_end_is_cut_off_and_what_is_before_it_stays(journal):
    journal.send("a", "r", anything)
    journal.answer("a", 1, answer())
    whole = journal.path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for end in {*range(0, len(whole), 7), *(at for at in range(len(whole)) if whole[at : at + 1] == b"\n")}:
        journal.path.write_bytes(whole[:end])
        again = Journal(journal.path, HEADER)
        again.read()
        again.begin()
        kept = whole[:end].count(b"\n")
        assert journal.path.read_bytes() == b"".join(lines[: max(1, kept)])
        assert again.record.is_done("a") == (kept == 3)


@pytest.mark.parametrize(
    "line", ["", "{}", "[]", "7", "no", '{"kind": "sent"}', '{"kind": "other", "sample": "a", "attempt": 1}', "\xff"]
)
def test_a_damaged_line_is_named(journal, line):
    with journal.path.open("ab") as file:
        file.write(line.encode("latin-1") + b"\n")
    with pytest.raises(JournalError, match="line 2"):
        reread(journal)


@pytest.mark.parametrize(
    "change", [{"text": 7}, {"usage": []}, {"first": [["a"]]}, {"first": [["a", "b"]]}, {"model": None}]
)
def test_a_damaged_answer_is_named(journal, change):
    line = {"kind": "answer", "sample": "a", "attempt": 1, **answer(), **change}
    with journal.path.open("a") as file:
        file.write(json.dumps(line) + "\n")
    with pytest.raises(JournalError, match="line 2"):
        reread(journal)


@pytest.mark.parametrize("text", ["{}\n", "[]\n", "file,class\n", '{"format": "savs answers 1"}\n'])
def test_what_is_no_journal_is_left_alone(tmp_path, text):
    path = tmp_path / "j.jsonl"
    path.write_text(text)
    with pytest.raises(JournalError, match=r"no journal|no line"):
        Journal(path, HEADER).read()
    assert path.read_text() == text


def test_another_command_is_refused_with_what_differs(journal):
    with pytest.raises(JournalError, match=r"model: 'one' there, 'two' now"):
        reread(journal, HEADER | {"model": "two"})


def test_two_processes_are_not_at_one_journal(journal):
    with journal.held(), pytest.raises(JournalError, match="another process"), Journal(journal.path, HEADER).held():
        pass
    with journal.held():
        assert [path.name for path in journal.path.parent.iterdir() if path.suffix == ".lock"] == [".j.jsonl.lock"]
    assert [path.name for path in journal.path.parent.iterdir()] == ["j.jsonl"]


def test_what_is_hidden_never_reaches_the_disk(tmp_path):
    journal = Journal(
        tmp_path / "j.jsonl", HEADER | {"model": "my secret"}, lambda text: text.replace("secret", "[key]")
    )
    journal.begin()
    journal.send("secret", "r", anything)
    journal.answer("secret", 1, answer("the secret", model="secret"))
    assert "secret" not in journal.path.read_text()
    journal.read()
    assert journal.record.reported == "[key]"


def record_of(answers, lost=0, open_=0):
    record = Record()
    for number, usage in enumerate(answers):
        place = {"sample": str(number), "attempt": 1}
        record.take({"kind": "sent", **place})
        record.take({"kind": "answer", **place, **answer(usage=usage)})
    for number in range(lost + open_):
        record.take({"kind": "sent", "sample": f"x{number}", "attempt": 1})
    for number in range(lost):
        record.take({"kind": "failed", "sample": f"x{number}", "attempt": 1, "why": "", "lost": True})
    return record


def test_what_is_not_known_counts_as_the_dearest():
    prices = Prices(read=1e6, written=2e6)  # 1 and 2 a token
    record = record_of([(10, 1), (4, 3), ()], lost=2, open_=1)
    found = spent(record, prices)
    assert (found.known, found.dearest, found.unknown) == (14 + 8, 10 + 6, 1 + 2 + 1)
    assert found.at_most(assumed=99, more=1) == 22 + 5 * 16
    assert spent(record_of([], open_=2), prices).at_most(assumed=7, more=1) == 21


@pytest.mark.parametrize(
    ("limits", "stops"),
    [
        (Limits(), False),
        (Limits(most_requests=4), False),
        (Limits(most_requests=3), True),
        (Limits(most_cost=48, prices=Prices(1e6, 2e6)), False),
        (Limits(most_cost=47.9, prices=Prices(1e6, 2e6)), True),
    ],
)
def test_a_limit_is_never_passed(limits, stops):
    record = record_of([(10, 1), (10, 1)], lost=1)
    assert record.sent == 3
    if stops:
        with pytest.raises(EndpointError, match="stopped at --most"):
            limits.check(record)
    else:
        limits.check(record)
