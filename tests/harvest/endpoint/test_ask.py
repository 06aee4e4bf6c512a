"""An endpoint is asked once a sample, whatever fails; what it says is in the store, its key is nowhere."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from kit.endpoint import Fault, completion, parts_of, quick_reply, serving, tiny, tiny_logits
from savs_benchmarks import find_benchmark, load_picture
from savs_benchmarks.files.reading import Reading
from savs_harvest import cli
from savs_harvest.endpoint import pace
from savs_harvest.endpoint.journal import Journal
from savs_stores import Status, open_store, terminal, verify

KEY = "sk-test-0123456789abcdef"
COMMAND = "import sys; sys.argv[0] = 'savs-harvest'; from savs_harvest.cli import entry; entry()"
JOURNAL, STORE = "s.zarr.seen.asked.jsonl", "s.zarr"
LIMIT = 16
SMALL = "digits-claims", "--limit", 12


@pytest.fixture
def ask(tmp_path, monkeypatch, capfd):
    """Return a function that asks a server as a user would: gives the exit code and all that was printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(pace, "FIRST", 0.001)
    monkeypatch.setattr(terminal.signal, "signal", lambda *_: None)

    def run(served, *words, data=("digits-claims", "--limit", LIMIT), model="some/Model", name="seen"):
        options = ["--endpoint", served.url, "--model", model, "--data", *data, "--store", STORE, "--as", name, *words]
        monkeypatch.setattr(sys, "argv", ["savs-harvest", "ask", *map(str, options)])
        try:
            cli.entry()
        except SystemExit as stop:
            code = stop.code or 0
        printed = capfd.readouterr()
        return code, printed.out + printed.err

    return run


def lines_of(kind, path=JOURNAL):
    found = [json.loads(line) for line in Path(path).read_text().splitlines()[1:]]
    return [line for line in found if line["kind"] == kind]


def stored(name="seen", store=STORE):
    return open_store(store)[name]


def files_of(store):
    """Return the bytes of all files of a store but those that say when shards were made."""
    found = {path.relative_to(store): path.read_bytes() for path in Path(store).rglob("*") if path.is_file()}
    return {path: text for path, text in found.items() if "shard_provenance" not in path.parts}


def test_answers_are_tinys_own(ask):
    """The oracle is the model here, given the pictures as they are loaded here."""
    with serving() as served:
        code, said = ask(served)
    assert (code, len(served.bodies)) == (0, LIMIT), said
    benchmark = find_benchmark("digits-claims", reading=Reading(limit=LIMIT))
    vectors, logits = stored().read()[:, 0], stored().logits
    token = tiny().processor.tokenizer.convert_tokens_to_ids
    named = 0
    for row, sample in enumerate(benchmark.samples()):
        expected = tiny_logits([load_picture(image) for image in sample.images], sample.question)
        classes = [benchmark.answer(label) for label in benchmark.tasks[sample.task]]
        word = tiny().processor.tokenizer.convert_ids_to_tokens(int(expected.argmax()))
        assert vectors[row].tolist() == [float(word == each) for each in classes]
        named += word in classes
        likely = set(expected.argsort(descending=True)[:20].tolist())
        if {token(each) for each in classes} <= likely:
            assert logits[row].tolist() == pytest.approx([float(expected[token(each)]) for each in classes], abs=1e-5)
        else:
            assert np.isnan(logits[row]).all()
    assert named > LIMIT / 2
    assert np.isfinite(logits).any()


def test_what_is_in_the_store(ask):
    with serving(reply=quick_reply) as served:
        code, said = ask(served, "--shard-samples", 6)
        assert code == 0, said
        assert ask(served, "--shard-samples", 6)[0] == 0
    assert set(served.times.values()) == {1}
    assert len(served.bodies) == LIMIT
    vectors = stored()
    assert list(verify(open_store(STORE))) == []
    assert vectors.status.tolist() == [Status.OK] * LIMIT
    assert set(vectors.n_tokens.tolist()) == {100}
    assert (vectors.identity["system"], vectors.identity["model"], vectors.identity["reported"]) == (
        "endpoint",
        "some/Model",
        "served",
    )
    assert vectors.plan.shards == 3
    port = served.url.split(":")[2].split("/")[0]
    for path, text in files_of(STORE).items():
        assert b"127.0.0.1" not in text, path
        assert port.encode() not in text or path.name != "zarr.json", path
    answers = {line["sample"]: line["text"] for line in lines_of("answer")}
    expected = {"No.": [1, 0], "yes": [0, 1], "I cannot say": [0, 0]}
    (classes,) = open_store(STORE).benchmark.tasks.values()
    order = [["no", "yes"].index(open_store(STORE).benchmark.answers[label]) for label in classes]
    for sample_id, vector in zip(open_store(STORE).samples.sample_id, vectors.read()[:, 0], strict=True):
        assert vector.tolist() == [expected[answers[sample_id]][place] for place in order]
    assert "named no class" in said


@pytest.fixture
def clean(ask):
    """The files of a store where nothing went wrong."""
    with serving(reply=quick_reply) as served:
        assert ask(served, data=SMALL)[0] == 0
    found = files_of(STORE)
    Path(STORE).rename("clean.zarr")
    Path(JOURNAL).rename("clean.jsonl")
    return found


def test_what_is_sent(ask):
    with serving(reply=quick_reply) as served:
        assert ask(served, "--no-logprobs", "--max-tokens", 5, "--temperature", 0.5)[0] == 0
    benchmark = find_benchmark("digits-claims", reading=Reading(limit=LIMIT))
    expected = Counter((sample.question, load_picture(sample.images[0]).tobytes()) for sample in benchmark.samples())
    found = [(parts_of(body), body) for body in served.bodies]
    assert Counter((question, picture.tobytes()) for ((picture,), question), _ in found) == expected
    for _, body in found:
        assert set(body) == {"model", "messages", "temperature", "max_tokens"}
        assert (body["model"], body["temperature"], body["max_tokens"]) == ("some/Model", 0.5, 5)
    assert np.isnan(stored().logits).all()


def test_words_alone_are_asked_without_pictures(ask, tmp_path):
    rows = [{"question": f"is {n} odd ?", "label": ("no", "yes")[n % 2]} for n in range(6)]
    Path("words.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with serving(reply=quick_reply) as served:
        code, said = ask(served, data=("words.jsonl",))
    assert code == 0, said
    assert sorted(parts_of(body)[1] for body in served.bodies) == [row["question"] for row in rows]


def test_whatever_fails_on_the_way_the_store_is_the_same(ask, clean):
    faults = [Fault(429, "", {"Retry-After": "0"}), Fault(500, ""), Fault(0), Fault(200, "hello")]

    def instead(served, body, headers):
        tried = served.times[json.dumps(body["messages"])]
        return faults[tried - 1] if tried <= len(faults) else None

    with serving(reply=quick_reply, fault=instead) as served:
        code, said = ask(served, data=SMALL)
    assert code == 0, said
    assert set(served.times.values()) == {5}
    assert files_of(STORE) == clean


def test_samples_without_an_answer_leave_the_store_unfinished(ask, clean):
    def instead(served, body, headers):
        return Fault(500, "broken") if len(served.times) == 3 else None

    with serving(reply=quick_reply, fault=instead) as served:
        code, said = ask(served, "--retries", 0, "--concurrency", 1, data=SMALL)
        assert (code, "1 sample had no answer after 0 retries" in said) == (1, True), said
        served.fault = lambda *_: None
        assert ask(served, data=SMALL)[0] == 0
    assert set(served.answered.values()) == {1}
    assert files_of(STORE) == clean


REFUSALS = [
    (Fault(400, {"error": {"message": "not this picture"}}), "not this picture"),
    (Fault(200, completion("", reason="content_filter")), "content filter"),
]


@pytest.mark.parametrize(("fault", "words"), REFUSALS)
def test_a_sample_that_is_refused_gets_a_status(ask, fault, words):
    bad = []

    def instead(served, body, headers):
        text = json.dumps(body["messages"])
        if len(served.answered) > 3 and len(bad) < 2 and text not in bad:
            bad.append(text)
        return fault if text in bad else None

    with serving(reply=quick_reply, fault=instead) as served:
        code, said = ask(served)
        assert code == 3, said
        assert words in said
        assert "2 samples failed" in said
        assert ask(served)[0] == 3
    assert [served.times[text] for text in bad] == [1, 1]
    assert Counter(stored().status.tolist()) == {Status.OK: LIMIT - 2, Status.REJECTED: 2}
    assert np.isnan(stored().read(samples=np.flatnonzero(stored().status == Status.REJECTED))).all()


def test_pictures_that_cannot_be_read_are_never_sent(ask, write_benchmark, lines):
    file = write_benchmark(lines)
    (file.parent / "3.png").write_bytes(b"no picture")
    (file.parent / "6.png").write_bytes((file.parent / "6.png").read_bytes()[:90])
    with serving(reply=quick_reply) as served:
        code, said = ask(served, data=(file,))
        assert code == 3, said
        assert ask(served, data=(file,))[0] == 3
    assert len(served.bodies) == len(lines) - 2
    statuses = [Status(each).name for each in stored().status.tolist()]
    assert [statuses[3], statuses[6], statuses.count("OK")] == ["NOT_AN_IMAGE", "IMAGE_CORRUPT", len(lines) - 2]


def test_a_budget_of_requests_is_kept_over_all_runs(ask):
    with serving(reply=quick_reply) as served:
        for most, total in ((7, 7), (7, 7)):
            code, said = ask(served, "--most-requests", most)
            assert code == 1
            assert f"stopped at --most-requests {most}" in said
            assert len(served.bodies) == total
        assert ask(served, "--most-requests", LIMIT)[0] == 0
    assert len(served.bodies) == LIMIT


def test_a_budget_of_money_is_kept_and_told(ask):
    prices = "--price-in", 10_000, "--price-out", 0  # 1 a request of 100 tokens
    with serving(reply=quick_reply) as served:
        code, said = ask(served, *prices, "--most-cost", 5)
        assert (code, served.bodies) == (1, [])  # a thousand tokens a picture are assumed before anything is known
        assert "stopped at --most-cost 5" in said
        code, said = ask(served, *prices, "--most-cost", 12.5, "--concurrency", 1)
        assert (code, len(served.bodies)) == (1, 12)
        said = ask(served, *prices, "--dry-run")[1]
        assert "cost so far: 12" in said
        assert "cost to come: about 4" in said


def test_what_a_server_does_not_tell_is_told(ask):
    with serving(reply=lambda body: quick_reply(body, usage=())) as served:
        assert ask(served)[0] == 0
        said = ask(served, "--price-in", 1, "--price-out", 1, "--dry-run")[1]
    assert f"cost of {LIMIT} requests is not known" in said


def test_a_dry_run_sends_nothing_and_writes_nothing(ask, tmp_path):
    with serving(reply=quick_reply) as served:
        code, said = ask(served, "--dry-run", "--price-in", 2.5, "--price-out", 10, "--key-env", "NOT_THERE")
    assert (code, served.bodies, list(tmp_path.iterdir())) == (0, [], [])
    assert "16 to ask" in said
    assert "16 pictures" in said
    assert "1,000 tokens a picture" in said


WRONG = [
    (("--most-cost", "1"), "--price-in and --price-out"),
    (("--price-in", "1"), "go together"),
    (("--key-env", "NOT_THERE"), "NOT_THERE"),
    (("--as", "Not A Name"), "cannot name a model"),
    (("--endpoint", "http://example.com/v1"), "this machine only"),
    (("--store", "s3://bucket/s.zarr"), "--journal"),
]


@pytest.mark.parametrize(("words", "said"), WRONG)
def test_wrong_use_is_told_before_anything_is_sent(ask, words, said):
    with serving(reply=quick_reply) as served:
        code, printed = ask(served, *words)
    assert (code, served.bodies) == (2, [])
    assert said in printed


def test_two_processes_are_refused(ask):
    with serving(reply=quick_reply) as served:
        with Journal(Path(JOURNAL), {}).held():
            code, said = ask(served)
        assert (code, "another process" in said, served.bodies) == (2, True, [])


def test_a_journal_and_a_store_belong_to_what_was_asked(ask):
    with serving(reply=quick_reply) as served:
        assert ask(served)[0] == 0
        for words, model, expected in (
            (("--max-tokens", 3), "some/Model", "max_tokens: 16 there, 3 now"),
            ((), "other", "model: 'some/Model' there, 'other' now"),
        ):
            code, said = ask(served, *words, model=model)
            assert (code, expected in said) == (2, True), said
        Path(JOURNAL).rename("elsewhere.jsonl")
        code, said = ask(served, model="other")
        assert (code, "'some/Model' in the store" in said) == (2, True), said
        code, said = ask(served, data=SMALL)
        assert code == 2
        assert ask(served, model="other", name="other")[0] == 0
    assert len(served.bodies) == 2 * LIMIT
    assert sorted(open_store(STORE).models) == ["other", "seen"]


@pytest.mark.parametrize("code", [401, 200])
def test_a_key_is_in_no_file_and_no_message_whatever_a_server_repeats(ask, tmp_path, monkeypatch, code):
    monkeypatch.setenv("MY_KEY", KEY)

    def instead(served, body, headers):
        said = f"you sent {headers['Authorization']} to me: {KEY}"
        if code == 200:
            return Fault(200, completion(said, model=f"model of {KEY}", first=[(KEY, -1.0)]), {"X-Key": KEY})
        return Fault(code, {"error": {"message": said, "code": said}}, {"X-Key": KEY, "Retry-After": "0"})

    with serving(reply=quick_reply, fault=instead) as served:
        stopped, said = ask(served, "--key-env", "MY_KEY", "--retries", 1, "-v")
    assert {headers["authorization"] for headers in served.headers} == {f"Bearer {KEY}"}
    assert stopped == (0 if code == 200 else 1)
    assert "[key]" in said + Path(JOURNAL).read_text()
    assert "Traceback" in said or code == 200
    for spelled in (KEY, KEY[3:], KEY[:-3]):
        assert spelled not in said
        for path in tmp_path.rglob("*"):
            assert spelled not in path.name
            assert path.is_dir() or spelled.encode() not in path.read_bytes()


@pytest.mark.parametrize("left", [4, 8])
def test_no_part_of_a_key_is_left_where_words_are_cut(ask, tmp_path, monkeypatch, left):
    monkeypatch.setenv("MY_KEY", KEY)
    name = "m" * (300 - left) + KEY  # a name is cut to 300 characters

    with serving(reply=lambda body: quick_reply(body, model=name)) as served:
        assert ask(served, "--key-env", "MY_KEY")[0] == 0
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or f"m{KEY[:left]}".encode() not in path.read_bytes()


def test_nothing_else_of_the_environment_travels(ask, monkeypatch):
    secrets = ["org-secret", "project-secret", "admin-secret", "header-secret", "usual-secret"]
    names = ["OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY", "OPENAI_CUSTOM_HEADERS", "OPENAI_API_KEY"]
    for name, secret in zip(names, secrets, strict=True):
        monkeypatch.setenv(name, f"X-Mine: {secret}" if "HEADERS" in name else secret)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("OPENAI_LOG", "debug")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with serving(reply=quick_reply) as served:
        code, said = ask(served, "--proxy")
    assert code == 0, said
    assert len(served.headers) == LIMIT
    sent = json.dumps(served.headers).lower()
    assert [secret for secret in secrets if secret in sent] == []
    assert "authorization" not in sent
    assert "stainless" not in sent


def test_a_missing_package_is_told(ask, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "openai", None)
    with serving(reply=quick_reply) as served:
        code, said = ask(served)
    assert (code, 'pip install "savs[endpoint]"' in said) == (1, True)
    assert list(tmp_path.iterdir()) == []


def test_from_any_torn_journal_the_same_store_comes_and_no_answer_is_paid_twice(ask, clean):
    """A kill leaves some beginning of the journal, and whatever shards were written."""
    whole = Path("clean.jsonl").read_bytes()
    ends = [len(whole) // 3, len(whole) - 1]
    for end in ends:
        for path in (STORE, JOURNAL):
            subprocess.run(["rm", "-rf", path], check=True)
        Path(JOURNAL).write_bytes(whole[:end])
        kept = [json.loads(line) for line in whole[:end].splitlines(keepends=True)[1:] if line.endswith(b"\n")]
        answered = {line["sample"] for line in kept if line["kind"] == "answer"}
        with serving(reply=quick_reply) as served:
            code, said = ask(served, data=SMALL)
        assert code == 0, said
        assert len(served.bodies) == 12 - len(answered)
        lost = sum(line["kind"] == "sent" for line in kept) - len(answered)
        assert ("may have been paid" in said) == bool(lost)
        assert files_of(STORE) == clean


def start(served, told):
    options = ["--endpoint", served.url, "--model", "some/Model", "--as", "seen", "--store", STORE]
    command = [sys.executable, "-c", COMMAND, "ask", "--data", *map(str, SMALL), *options]
    with told.open("w") as file:
        return subprocess.Popen(command, cwd=told.parent, stderr=file)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no such signals")
@pytest.mark.parametrize("after", [2, 7])
def test_a_kill_loses_no_answer_and_changes_no_byte(clean, tmp_path, after):
    with serving(reply=lambda body: time.sleep(0.05) or quick_reply(body)) as served:
        process = start(served, tmp_path / "killed.txt")
        while len(served.answered) < after and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        text = Path(JOURNAL).read_bytes()
        found = [json.loads(line) for line in text[: text.rindex(b"\n")].splitlines()[1:]]
        kept, sent = (sum(line["kind"] == kind for line in found) for kind in ("answer", "sent"))
        assert after - 4 <= kept < SMALL[-1]
        assert start(served, tmp_path / "again.txt").wait() == 0
        assert len(lines_of("sent")) == sent + SMALL[-1] - kept
        assert len(served.bodies) <= len(lines_of("sent"))
        assert set(Counter(line["sample"] for line in lines_of("answer")).values()) == {1}
        lost = sent - kept
        assert ("may have been paid" in (tmp_path / "again.txt").read_text()) == bool(lost)
    assert max(served.times.values()) <= 2
    assert files_of(STORE) == clean


@pytest.mark.slow
def test_an_endpoint_is_asked_without_torch(tmp_path):
    code = COMMAND.replace("entry()", "exec('try: entry()\\nexcept SystemExit: pass'); print('torch' in sys.modules)")
    with serving(reply=quick_reply) as served:
        words = ["ask", "--data", "digits-claims", "--limit", "8", "--endpoint", served.url, "--model", "m"]
        done = subprocess.run([sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ["False"], done.stderr
    assert len(served.bodies) == 8
