"""A chat template is a stranger's program: it sees one date, gives one text, and cannot take time, memory or more."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import pytest
from PIL import Image

from kit.families import FAMILIES, build_processor
from kit.hub import IDEFICS, LLAVA, THINKING
from savs_benchmarks import load_jsonl
from savs_harvest import DATE
from savs_harvest.batches.layout_check import load_model
from savs_harvest.errors import ModelError
from savs_harvest.models import renderer as renderer_module
from savs_harvest.models import rendering
from savs_harvest.models.loading import ModelSpec
from savs_harvest.models.prompts import QUESTION, Shot, conversation, prepare, prompt_hash, render
from savs_harvest.models.renderer import renderer
from savs_harvest.models.templates import ChatTemplate, Refusal, check_date
from savs_harvest.run.harvest import harvest
from savs_harvest.run.settings import Settings
from savs_harvest.run.writing import Keeping
from savs_stores import MismatchError, open_store

ASKED = conversation([Image.new("RGB", (8, 8))], "is it odd ?")
SHOWN = conversation([], "is it odd ?", [Shot([Image.new("RGB", (8, 8))], "is it even ?", "no")])
# As Mistral Small 3.x tells its model what day it is.
DATED = "{%- set today = strftime_now('%Y-%m-%d') %}{{ 'The current date is ' + today + '. ' }}"
DATED += "{{ 'one' if '2025' in today else 'two' }}"


@pytest.mark.parametrize("messages", [ASKED, SHOWN], ids=["asked", "shown"])
@pytest.mark.parametrize("begin_answer", [True, False])
@pytest.mark.parametrize(
    "template", [*(pytest.param(build_processor(f).chat_template, id=f) for f in FAMILIES), LLAVA, IDEFICS, THINKING]
)
def test_a_template_writes_what_transformers_writes(template, messages, begin_answer):
    processor = build_processor("llava")
    processor.tokenizer.bos_token = "<s>"
    expected = processor.apply_chat_template(messages, chat_template=template, add_generation_prompt=begin_answer)
    assert ChatTemplate.of(processor, template).render(messages, begin_answer) == expected


# The date.


def test_a_template_sees_one_date_whatever_the_day():
    assert ChatTemplate("{{ strftime_now('%Y-%m-%d %H:%M:%S %A') }}").render([]) == "2025-01-01 00:00:00 Wednesday"
    assert ChatTemplate("{{ strftime_now('%d %B %Y') }}", date="2026-03-02").render([]) == "02 March 2026"


def test_the_date_needs_neither_the_machines_clock_nor_its_place(tmp_path):
    code = (
        "import sys; from savs_harvest.models.templates import ChatTemplate; "
        "print(ChatTemplate('{{ strftime_now(\"%s %c %x %Z|\") }}').render([]))"
    )
    found = [
        subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
        for env in ({"TZ": "Asia/Tokyo", "LC_ALL": "de_DE.UTF-8"}, {"TZ": "America/New_York"})
    ]
    assert found[0] == found[1] == "1735689600 Wed Jan  1 00:00:00 2025 01/01/25 |\n"


@pytest.mark.parametrize(
    "date", ["2025-1-32", "2026-3-2", "today", "", "01.02.2025", "2025-01-01T00:00", "20250101", "\u0662025-01-01"]
)
def test_what_is_no_date_is_refused(date):
    with pytest.raises(ModelError, match="no date; write it as 2025-01-01"):
        check_date(date)


def test_a_harvest_takes_no_other_date_either(model, write_benchmark, lines, tmp_path):
    with pytest.raises(ModelError, match="'2026-3-2' is no date"):
        harvest(model, load_jsonl(write_benchmark(lines)), tmp_path / "s.zarr", Settings(date="2026-3-2"))
    assert not (tmp_path / "s.zarr").exists()


@pytest.fixture
def dated(checkpoints, tmp_path):
    """A checkpoint whose template writes today's date."""
    import shutil

    folder = shutil.copytree(checkpoints["qwen2vl"], tmp_path / "dated")
    template = folder / "chat_template.jinja"
    template.write_text(DATED + template.read_text())
    return load_model(ModelSpec("dated", str(folder), "float32"), "cpu")


def test_a_harvest_goes_on_tomorrow_with_the_same_prompts(dated, write_benchmark, lines, tmp_path, monkeypatch):
    benchmark = load_jsonl(write_benchmark(lines))
    assert f"The current date is {DATE}. one" in render(dated.processor, 1, "is it odd ?")
    harvest(dated, benchmark, tmp_path / "s.zarr", keeping=Keeping(shard_samples=5))
    before = open_store(tmp_path / "s.zarr")["dated"]
    tomorrow = time.time() + 86400
    monkeypatch.setattr(time, "time", lambda: tomorrow)
    report = harvest(dated, benchmark, tmp_path / "s.zarr", keeping=Keeping(shard_samples=5))
    assert not report.statuses  # nothing was left to do, and the fingerprint is the same
    with pytest.raises(MismatchError, match="date"):
        harvest(dated, benchmark, tmp_path / "s.zarr", Settings(date="2026-11-26"))
    harvest(dated, benchmark, tmp_path / "s.zarr", Settings(date="2026-11-26"), Keeping("later"))
    later = open_store(tmp_path / "s.zarr")["later"]
    assert (before.identity["date"], later.identity["date"]) == (DATE, "2026-11-26")
    assert before.identity["prompt"] != later.identity["prompt"]
    assert before.n_tokens.tolist() == later.n_tokens.tolist()


def test_the_fingerprint_knows_one_prompt_by_its_tokens(model):
    same = prompt_hash(model.processor)
    assert same == prompt_hash(model.processor)
    ids = prepare(model.processor, [Image.new("RGB", (64, 48))], QUESTION)["input_ids"][0].tolist()
    assert len(same) == 64
    assert len(ids) > 10


# What changes.

CHANGING = {
    "a choice by chance": "{{ ['even', 'odd', 'one'] | random }}",
    "words by chance": "{{ lipsum(n=1, html=false) }}",
    "a place in memory": "{{ range }}",
    "the place of a function": "{{ strftime_now }}",
    "a hash of words": "{{ 'odd'.__hash__() }}",
}


@pytest.mark.parametrize("kind", CHANGING)
def test_a_template_that_writes_something_else_each_time_is_refused(kind):
    template = ChatTemplate(CHANGING[kind])
    with pytest.raises((ModelError, Refusal), match=r"another text each time|place in memory|is unsafe|access to attr"):
        template.check(ASKED)
    assert ChatTemplate("{{ messages | length }} {{ 'odd' | length }}").check(ASKED) is None


def test_a_checkpoint_with_a_changing_template_is_refused_by_name(checkpoints, tmp_path):
    import shutil

    folder = shutil.copytree(checkpoints["qwen2vl"], tmp_path / "changing")
    template = folder / "chat_template.jinja"
    template.write_text("{{ ['even', 'odd'] | random }}" + template.read_text())
    with pytest.raises(ModelError, match=r"changing: the chat template writes another text each time"):
        load_model(ModelSpec("changing", str(folder), "float32"), "cpu")


# Bounds.

BOMBS = {
    "ten million words": ("{{ 'word ' * 10000000 }}", "writes 50,000,000 characters|MiB"),
    "ten thousand million letters": ("{{ 'a' * 10**10 }}", "needs more than 512 MiB"),
    "a wide field": ("{{ '%1000000000d' | format(1) }}", "needs more than 512 MiB|characters"),
    "doubling": (
        "{% set n = namespace(x='word') %}{% for i in range(40) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
        "needs more than 512 MiB",
    ),
    "a list": ("{{ ([0] * 1000000000) | length }}", "needs more than 512 MiB"),
    "itself": ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError"),
    "nesting": ("{{" + "(" * 5000 + ")" * 5000 + "}}", "RecursionError"),
    "no template": ("{% if %}", "line 1"),
    "a fault": ("{{ 1 / 0 }}", "ZeroDivisionError"),
    "too long a template": ("a" * 1_100_000, "1,100,000 characters"),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_template_that_needs_too_much_is_refused_by_name(kind, checkpoints, tmp_path):
    import shutil

    text, words = BOMBS[kind]
    folder = shutil.copytree(checkpoints["qwen2vl"], tmp_path / "bomb")
    (folder / "chat_template.jinja").write_text(text)
    with pytest.raises(ModelError, match=f"bomb: .*({words})"):
        load_model(ModelSpec("bomb", str(folder), "float32"), "cpu")
    assert ChatTemplate("{{ 1 }}").render([]) == "1"  # the next one is rendered all the same


LOOPS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"


@pytest.mark.parametrize("loops", [LOOPS, LOOPS.replace("range(99999)", "('a' * 99999)")], ids=["numbers", "letters"])
def test_nested_loops_end_in_time(loops, monkeypatch):
    monkeypatch.setattr("savs_harvest.models.renderer.SECONDS", 0.5)
    begun = time.monotonic()
    with pytest.raises(ModelError, match="takes more than 0 seconds"):
        ChatTemplate(loops).render(ASKED)
    assert time.monotonic() - begun < 60  # it would take many minutes
    assert ChatTemplate("{{ 2 }}").render([]) == "2"


def test_a_template_that_refuses_at_length_is_told_in_short():
    with pytest.raises(Refusal) as raised:
        ChatTemplate("{{ raise_exception('no pictures, please. ' * 1000000) }}").render(ASKED)
    assert len(str(raised.value)) < 400


def test_a_process_that_is_killed_between_two_prompts_is_begun_again():
    for number in range(3):
        assert ChatTemplate(f"killed{number}").render([]) == f"killed{number}"
        os.kill(renderer(0).running.pid, signal.SIGKILL)


def test_a_process_that_dies_of_a_prompt_is_begun_once_more(monkeypatch):
    """Killed from outside while it renders, it is not the template's fault."""
    begun, exchange = [], renderer_module._exchange

    def killed(process, request, seconds):
        if b"in the middle" in request:
            begun.append(process.pid)
            if len(begun) == 1:
                process.kill()
        return exchange(process, request, seconds)

    monkeypatch.setattr(renderer_module, "_exchange", killed)
    assert ChatTemplate("{{ 'in the middle' }}").render([]) == "in the middle"
    assert len(set(begun)) == 2


def rendered(who):
    return [ChatTemplate("{{ messages[0].content[0].text }}").render(conversation([], f"{who} {n}")) for n in range(99)]


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system forks no processes")
def test_a_fork_renders_by_a_process_of_its_own():
    assert rendered("before")
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        forked, ours = pool.submit(rendered, "fork"), rendered("ours")
        assert forked.result() == [f"fork {n}" for n in range(99)]
    assert ours == [f"ours {n}" for n in range(99)]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no such clock")
def test_a_process_that_nobody_ends_ends_itself():
    request = {
        "template": LOOPS,
        "messages": [],
        "tokens": {},
        "date": DATE,
        "begin_answer": True,
        "seed": 0,
        "most": 9,
    }
    with subprocess.Popen(
        [sys.executable, rendering.__file__, "0.5"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
        assert process.wait(60) == -signal.SIGALRM


def test_a_bomb_that_waits_for_a_sample_ends_the_harvest_by_name(load):
    loaded = load("qwen2vl")
    loaded.processor.chat_template += "{% if messages[0].content[1].text == 'odd ?' %}{{ 'a' * 10**10 }}{% endif %}"
    picture = Image.new("RGB", (32, 32))
    assert prepare(loaded.processor, [picture], "even ?")
    with pytest.raises(ModelError, match="needs more than 512 MiB"):
        prepare(loaded.processor, [picture], "odd ?")


def test_what_a_template_says_itself_is_a_samples_fault(load, write_benchmark, lines, tmp_path):
    loaded = load("qwen2vl")
    loaded.processor.chat_template = (
        "{% if messages[0].content | length > 2 %}{{ raise_exception('one picture, please') }}{% endif %}"
        + loaded.processor.chat_template
    )
    report = harvest(loaded, load_jsonl(write_benchmark(lines)), tmp_path / "s.zarr")
    assert report.failures == ["two pictures: rejected: the chat template refuses the prompt: one picture, please"]
    assert report.statuses == {"OK": 9, "REJECTED": 1}


def test_the_same_words_are_rendered_once(monkeypatch):
    from savs_harvest.models.renderer import Renderer

    asked = []
    ask = Renderer.ask
    monkeypatch.setattr(Renderer, "ask", lambda self, request: asked.append(json.loads(request)) or ask(self, request))
    template = ChatTemplate("{{ messages[0].content[0].text }} once")
    found = [template.render(conversation([], "is it odd ?")) for _ in range(3)]
    assert found == ["is it odd ? once"] * 3
    assert len(asked) == 1
