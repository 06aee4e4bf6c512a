"""What a server may do instead of answering, over the wire, and what comes of it; samples here are numbers."""

import json
import traceback
from pathlib import Path

import pytest
from PIL import Image

from kit.endpoint import Fault, completion, quick_reply, self_signed, serving
from savs_harvest.endpoint import pace
from savs_harvest.endpoint.asker import Asked, Asker
from savs_harvest.endpoint.client import Client
from savs_harvest.endpoint.form import Form, png
from savs_harvest.endpoint.journal import Journal
from savs_harvest.endpoint.key import Key
from savs_harvest.endpoint.limits import Limits, Prices
from savs_harvest.endpoint.pace import Pace
from savs_harvest.errors import EndpointError

KEY = "sk-test-0123456789abcdef"
COUNT = 12


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """Return a function that asks a server about so many pictures, going on where it was left; gives the asker."""
    monkeypatch.setattr(pace, "FIRST", 0.001)

    def run(served, count=COUNT, retries=5, concurrency=4, timeout=20, key="", limits=Limits(), form=Form("m")):  # noqa: B008
        told = []
        journal = Journal(tmp_path / "j.jsonl", form.describe(), Key(key).hide)
        journal.read()
        journal.begin()
        client = Client(served.url, Key(key), timeout)
        asker = Asker(client, form, journal, Pace(), retries, limits.check, told.append)
        asker.told = told
        left = [each for each in samples(count) if not journal.record.is_done(each.sample_id)]
        try:
            asker.yielded = list(asker.ask_all(left, concurrency))
            asker.error = ""
        except EndpointError as error:
            asker.error, asker.raised = str(error), error
        finally:
            client.close()
        return asker

    return run


def samples(count):
    return [
        Asked(str(n), f"is it {n} ?", lambda n=n: [png(Image.new("RGB", (4, 4), (n, n, n)))], "r") for n in range(count)
    ]


def failures(asker):
    found = map(json.loads, Path(asker.journal.path).read_text().splitlines()[1:])
    return [line for line in found if line["kind"] == "failed"]


def texts(asker):
    return {sample: line["text"] for sample, line in asker.journal.record.answers.items()}


@pytest.fixture
def expected():
    """What is said where nothing goes wrong."""
    form = Form("m")
    bodies = {each.sample_id: form.body(each.question, each.pictures()) for each in samples(COUNT)}
    return {sample: quick_reply(body)["choices"][0]["message"]["content"] for sample, body in bodies.items()}


def test_every_sample_is_asked_once(ask, expected):
    with serving(reply=quick_reply) as served:
        asker = ask(served)
        assert (asker.error, sorted(asker.yielded), texts(asker)) == ("", sorted(expected), expected)
        assert ask(served).yielded == []
    assert list(served.times.values()) == [1] * COUNT


def once(fault):
    """Return what does something instead of answering, the first time that each request comes."""

    def instead(served, body, headers):
        return fault if served.times[json.dumps(body["messages"])] == 1 else None

    return instead


SLOW = {"Retry-After": "0"}
FAULTS = [
    (Fault(429, {"error": {"message": "slow down"}}, SLOW), False),
    (Fault(429, {"error": {"message": "slow down"}}, {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}), False),
    (Fault(429, "", {"Retry-After": "soon"}), False),
    (Fault(500, "broken"), False),
    (Fault(503, "<html>"), False),
    (Fault(408, ""), False),
    (Fault(409, ""), False),
    (Fault(0), True),
    (Fault(0, after=0.4), True),
    (Fault(200, "hello"), True),
    (Fault(200, {"choices": []}), True),
    (Fault(200, {"choices": [{"message": None}]}), True),
    (Fault(200, [1]), True),
]


@pytest.mark.parametrize(("fault", "lost"), FAULTS)
def test_what_fails_is_asked_again(ask, expected, fault, lost):
    with serving(reply=quick_reply, fault=once(fault)) as served:
        asker = ask(served, concurrency=COUNT, timeout=0.2 if fault.after else 20)
    assert (asker.error, texts(asker), asker.failed) == ("", expected, {})
    assert list(served.times.values()) == [2] * COUNT
    assert [line["lost"] for line in failures(asker)] == [lost] * COUNT
    assert asker.journal.record.lost == COUNT * lost


def test_no_server_at_all_costs_nothing(ask):
    with serving(reply=quick_reply) as served:
        pass
    asker = ask(served, retries=1)
    assert "the server fails: 3 samples in a row" in asker.error
    assert asker.journal.record.lost == 0


def test_one_sample_that_always_fails_costs_no_other(ask, expected):
    def instead(served, body, headers):
        return Fault(500, "broken") if "is it 3 ?" in json.dumps(body) else None

    with serving(reply=quick_reply, fault=instead) as served:
        asker = ask(served, retries=2)
        assert asker.error == ""
        assert {sample: why[:3] for sample, why in asker.failed.items()} == {"3": "500"}
        assert max(served.times.values()) == 3
        served.fault = lambda *_: None
        assert texts(ask(served)) == expected
    assert list(served.answered.values()) == [1] * COUNT


def test_a_server_that_fails_throughout_stops_the_run(ask):
    with serving(reply=quick_reply, fault=lambda *_: Fault(503, "down")) as served:
        asker = ask(served, retries=1)
    assert "the server fails: 3 samples in a row" in asker.error
    assert len(served.bodies) <= 2 * (3 + 4)


@pytest.mark.parametrize("code", [401, 402, 403, 404, 429])
def test_what_asking_again_does_not_mend_stops_at_once(ask, expected, code):
    body = {"error": {"message": "because", "code": "insufficient_quota"}}
    with serving(reply=quick_reply, fault=lambda *_: Fault(code, body)) as served:
        asker = ask(served)
        assert str(code) in asker.error
        assert "because" in asker.error
        assert len(served.bodies) <= 4
        served.fault = lambda *_: None
        assert texts(ask(served)) == expected
    assert list(served.answered.values()) == [1] * COUNT


@pytest.mark.parametrize("words", ["logprobs is not supported", "Extra inputs are not permitted"])
@pytest.mark.parametrize("code", [400, 422])
def test_log_probabilities_are_given_up_where_the_server_has_none(ask, expected, code, words):
    def instead(served, body, headers):
        return Fault(code, {"error": {"message": words}}) if "logprobs" in body else None

    with serving(reply=quick_reply, fault=instead) as served:
        asker = ask(served)
        assert (asker.error, texts(asker), len(asker.told)) == ("", expected, 1)
        assert COUNT < len(served.bodies) <= COUNT + 4
        before = len(served.bodies)
        ask(served, count=COUNT + 5)
        assert len(served.bodies) == before + 5  # a later run knows


def test_a_sample_that_is_refused_takes_nothing_from_the_others(ask):
    """Where log-probabilities were given once, a refusal that does not speak of them is the sample's own."""

    def instead(served, body, headers):
        return Fault(400, {"error": {"message": "no such picture"}}) if "is it 7 ?" in json.dumps(body) else None

    with serving(reply=quick_reply, fault=instead) as served:
        asker = ask(served, concurrency=1)
    assert (asker.error, asker.told, list(asker.journal.record.refusals)) == ("", [], ["7"])
    assert all("logprobs" in body for body in served.bodies)
    assert len(served.bodies) == COUNT


def test_the_other_name_of_the_same_limit(ask, expected):
    def instead(served, body, headers):
        words = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
        return Fault(400, {"error": {"message": words}}) if "max_tokens" in body else None

    with serving(reply=quick_reply, fault=instead) as served:
        asker = ask(served)
    assert (asker.error, texts(asker), len(asker.told)) == ("", expected, 1)
    assert len(served.bodies) <= COUNT + 4
    assert {body.get("max_completion_tokens", 16) for body in served.bodies} == {16}
    assert all("logprobs" in body for body in served.bodies)


def test_a_server_that_refuses_everything_costs_no_sample_its_answer(ask, expected):
    with serving(reply=quick_reply, fault=lambda *_: Fault(400, {"error": {"message": "wrong form"}})) as served:
        asker = ask(served)
        assert "refuses every sample" in asker.error
        assert "wrong form" in asker.error
        assert len(served.bodies) <= 2 * (8 + 4)
        served.fault = lambda *_: None
        assert texts(ask(served)) == expected


def test_the_model_of_a_server_does_not_change_on_the_way(ask, expected):
    def reply(body):
        return quick_reply(body, model="new" if len(served.bodies) in (6, 7) else "old")

    with serving(reply=reply) as served:
        asker = ask(served, concurrency=1)
        assert "now calls its model 'new', before 'old'" in asker.error
        assert len(served.bodies) == 6
        assert "now calls its model 'new'" in ask(served, concurrency=1).error
        asker = ask(served)
    assert (asker.error, texts(asker)) == ("", expected)
    assert {line["model"] for line in asker.journal.record.answers.values()} == {"old"}
    assert asker.journal.record.usage.told == COUNT + 2


def test_a_budget_of_requests_is_kept_over_all_runs(ask, expected):
    with serving(reply=quick_reply) as served:
        for most in (5, 5, 9):
            asker = ask(served, limits=Limits(most_requests=most))
            assert f"stopped at --most-requests {most}" in asker.error
            assert len(served.bodies) == most
        assert texts(ask(served, limits=Limits(most_requests=COUNT))) == expected


@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_budget_of_money_is_never_passed(ask, concurrency):
    prices = Prices(10_000, 0)  # 1 a request of 100 tokens
    with serving(reply=quick_reply) as served:
        asker = ask(served, limits=Limits(None, 7.5, prices, assumed=2), concurrency=concurrency)
        assert "stopped at --most-cost 7.5" in asker.error
        assert 3 <= len(served.bodies) <= 7
        if concurrency == 1:
            assert len(served.bodies) == 7


def test_a_redirection_is_not_followed(ask):
    with serving(reply=quick_reply) as other:
        for code in (301, 302, 307, 308):
            where = {"Location": other.url.replace("127.0.0.1", "localhost") + f"/chat/completions?{KEY}"}
            with serving(reply=quick_reply, fault=lambda *_, c=code, w=where: Fault(c, "", w)) as served:
                asker = ask(served, key=KEY)
            assert "sends on to http://localhost" in asker.error
            assert KEY not in asker.error
            assert len(served.bodies) <= 4
    assert other.headers == []


@pytest.mark.parametrize("code", [200, 400, 401, 404, 429, 500])
def test_what_a_server_repeats_of_a_key_is_hidden(ask, code):
    def instead(served, body, headers):
        said = f"you sent {headers['Authorization']} to me: {KEY}"
        if code == 200:
            return Fault(200, completion(said, model=f"model of {KEY}", first=[(KEY, -1.0)]), {"X-Key": KEY})
        return Fault(code, {"error": {"message": said, "code": said}}, {"X-Key": KEY, **SLOW})

    with serving(reply=quick_reply, fault=instead) as served:
        asker = ask(served, key=KEY, retries=0)
    assert {headers["authorization"] for headers in served.headers} == {f"Bearer {KEY}"}
    assert bool(asker.error) == (code != 200)
    written = Path(asker.journal.path).read_text()
    if asker.error:
        trace = "".join(traceback.format_exception(asker.raised))
        assert KEY not in trace
    assert "[key]" in asker.error + written
    for text in (asker.error, written, repr(asker), str(asker.told)):
        assert KEY[3:] not in text
        assert KEY[:-3] not in text


def test_a_key_cannot_be_looked_at(monkeypatch):
    client = Client("http://127.0.0.1:9/v1", Key(KEY), 1)
    assert KEY not in repr(client) + repr(vars(client)) + repr(Key(KEY))
    client.close()


def test_a_certificate_that_nobody_vouches_for_is_not_taken(ask, tmp_path, monkeypatch):
    certificate = self_signed(tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))  # the environment vouches for nobody
    with serving(reply=quick_reply, certificate=certificate) as served:
        asker = ask(served, key=KEY)
    assert served.url.startswith("https://localhost")
    assert "certificate is not valid" in asker.error
    assert (served.headers, asker.journal.record.lost) == ([], 0)
