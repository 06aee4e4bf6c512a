"""The command line: every command explains itself, an error is one sentence, the exit code tells the outcome."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import huggingface_hub
import pandas as pd
import pytest
import typer
from huggingface_hub.errors import LocalEntryNotFoundError
from typer.testing import CliRunner

from savs_benchmarks import BENCHMARKS
from savs_harvest.cli import commands as cli
from savs_harvest.models.specs import MODELS
from savs_harvest.run.forecast import duration
from savs_stores import open_store, terminal
from savs_stores.terminal import DONE_WITH_FAILURES, FAILED, INTERRUPTED, MISUSED, size

DATA = [["data", name] for name in ("list", "get", "show", "check")]
COMMANDS = [["run"], ["ask"], ["predict"], ["plan"], ["models"], ["data"], *DATA]


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    """Return a function that runs a command in an empty folder, in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: CliRunner().invoke(cli.app, list(map(str, arguments)))


def options_of(command):
    return {option for parameter in command.params for option in getattr(parameter, "opts", ())}


def test_help_lists_every_command(invoke):
    result = invoke("--help")
    assert result.exit_code == 0
    assert all(f" {name} " in result.output for name in ("run", "plan", "models", "data"))
    assert all(f" {name} " in invoke("data", "--help").output for name in ("list", "show"))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_and_every_option_is_explained(invoke, command):
    found = typer.main.get_command(cli.app)
    for name in command:
        found = found.commands[name]
    assert found.help
    assert all(parameter.help for parameter in found.params if parameter.param_type_name == "option")
    result = invoke(*command, "--help")
    assert result.exit_code == 0
    assert all(option in result.output for option in options_of(found))


@pytest.mark.skipif(os.name == "nt", reason="no such terminals")
@pytest.mark.parametrize("command", [["savs_harvest"], *[["savs_harvest", *words] for words in COMMANDS]], ids=" ".join)
def test_help_cuts_no_word_on_a_terminal_of_80_columns(command):
    """Names of options once ended in dots, as did what they said."""
    text = on_a_terminal(command, columns=80)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    found = typer.main.get_command(cli.app)
    for name in command[1:]:
        found = found.commands[name]
    said = " ".join(text.split())
    for part in (*found.params, *getattr(found, "commands", {}).values()):
        sentence = part.help.split(". ")[0].split(";")[0]
        assert "".join(sentence.split()) in "".join(said.split())


def on_a_terminal(command, columns):
    """Return the help of a command, in a process that sees a terminal of so many columns."""
    import pty
    import termios

    package, *words = command
    code = f"import sys; sys.argv[0] = 'x'; from {package}.cli import entry; entry()"
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"} | {"TERM": "xterm"}
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words, "--help"], stdout=theirs, stdin=theirs, env=environment
    )
    os.close(theirs)
    found = b""
    with suppress(OSError), open(ours, "rb", buffering=0) as stream:  # noqa: PTH123  it has no path
        while part := stream.read(2**16):
            found += part
    assert process.wait() == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", found.decode())


def test_models_lists_every_short_name(invoke):
    result = invoke("models")
    assert [line.split()[0] for line in result.stdout.splitlines()] == [
        "tiny",
        "qwen2vl",
        "llava-ov",
        "llava-ov-0.5b",
        "qwen2vl-2b",
        "llava-1.5",
        "tiny-clip",
        "siglip2-so400m",
        "siglip-so400m",
        "clip-l",
        "clip-b32",
        "dinov2-l",
        "dinov3-l",
    ]
    assert "hub id owner/name" in result.stderr


def test_data_list_describes_every_benchmark(invoke):
    blocks = {block.split()[0]: block for block in invoke("data", "list").stdout.strip().split("\n\n")}
    assert list(blocks) == list(BENCHMARKS)
    assert "pool 400, test 547; 10 classes; accuracy; CC BY 4.0" in blocks["digits"]
    assert "2 tasks, 2 to 3 classes" in blocks["digits-compare"]
    assert "question-image-group" in blocks["digits-pairs"]
    assert "here: in the package" in blocks["digits"]
    assert "either 1,901; 14 tasks, 2 to 4 classes; accuracy; Apache-2.0" in blocks["blink"]
    assert re.search(r"not here \(about 1 GB\); get it with:\n +savs-harvest data get blink$", blocks["blink"])
    assert "accept the conditions at https://huggingface.co/datasets/ys-zong/VLGuard" in blocks["vlguard"]
    for name, benchmark in BENCHMARKS.items():
        assert ("--wording default, td, tdc\n" in blocks[name]) == bool(benchmark.wordings)


@pytest.mark.parametrize("form", ["csv", "json"])
def test_data_list_for_programs(invoke, form):
    read = {"csv": pd.read_csv, "json": pd.read_json}[form]
    found = read(io.StringIO(invoke("data", "list", "--format", form, "--data-root", "elsewhere").stdout))
    assert found.name.tolist() == list(BENCHMARKS)
    found = found.set_index("name")
    assert "savs-harvest data get blink --data-root elsewhere" in str(found["get"]["blink"])
    assert {"csv": "default; td; tdc", "json": ["default", "td", "tdc"]}[form] == found["wordings"]["pets"]


def test_data_show_renders_the_prompt_as_the_model_reads_it(invoke):
    result = invoke("data", "show", "digits", "--samples", 1)
    assert result.exit_code == 0
    for words in ("licence    CC BY 4.0", "pool 400, test 547", "32 x 32 pixels", "What number is written here?"):
        assert words in result.stdout
    assert result.stdout.count("<|im_start|>user") == 1
    assert result.stdout.count("<|image_pad|>") == 1


def test_a_plan_tells_samples_shards_bytes_and_memory_and_does_nothing(invoke, tmp_path):
    result = invoke("plan", "--model", "tiny", "--data", "digits")
    lines = dict(line.split(None, 1) for line in result.stdout.splitlines())
    assert lines["samples"] == "947"
    assert lines["shards"].startswith("4 of 256 samples")
    assert lines["disk"] == "789.5 kB in stores/digits.zarr"
    assert "1.5 MB of weights" in lines["model"]
    assert {"memory", "benchmark"} < set(lines)
    assert list(tmp_path.iterdir()) == []


def run_parity(invoke, file, *options):
    return invoke("run", "--model", "tiny", "--data", file, "--store", "s.zarr", "--shard-samples", 4, *options)


def test_run_fills_a_store_that_a_plan_and_a_second_run_find_complete(invoke, write_benchmark, lines, tmp_path):
    file = write_benchmark(lines)
    result = run_parity(invoke, file)
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "10 samples in 3 shards to do, 0 of 3 shards done" in result.stderr
    assert f"next: {terminal.command('savs-analyze', 'sweep', '--store', 's.zarr')}" in result.stderr
    stored = open_store(tmp_path / "s.zarr")["tiny"]
    assert stored.read().shape == (10, 48, 8)
    assert stored.provenance["command"] == "savs-harvest run --model tiny --data FOLDER/parity.jsonl"
    again = run_parity(invoke, file)
    assert "nothing to do, 3 of 3 shards done" in again.stderr
    plan = invoke("plan", "--model", "tiny", "--data", file, "--store", "s.zarr", "--shard-samples", 4)
    assert "nothing, the store is complete" in plan.stdout


def test_a_plan_says_in_json_what_it_says_in_words(invoke, write_benchmark, lines):
    words = ["plan", "--model", "tiny", "--data", write_benchmark(lines), "--store", "s.zarr", "--shard-samples", 4]
    said = dict(line.split(maxsplit=1) for line in invoke(*words).stdout.replace("to do ", "to_do ").splitlines())
    found = json.loads(invoke(*words, "--format", "json").stdout)
    assert (found["store"], found["name"]) == ("s.zarr", "tiny")
    numbers = found.pop("numbers")
    assert all(type(number) in (int, float) for number in numbers.values())
    assert f"{numbers['samples']:,}" == said["samples"]
    assert said["prompts"].startswith(f"{numbers['tokens']:,} tokens")
    assert said["shards"].startswith(f"{numbers['shards']} of {numbers['shard_samples']} samples")
    assert said["disk"].startswith(size(numbers["disk_bytes"]))
    assert found["time"].startswith(duration(numbers["seconds"]))
    measured = said.pop("time"), found.pop("time")  # of this very moment
    assert len({re.sub(r"[\d.,]+", "0", text) for text in measured}) == 1
    assert {name: text for name, text in found.items() if name not in ("data", "store", "name")} == said
    assert set(said) == set("model benchmark samples prompts shards disk memory to_do".split())


def test_models_are_said_in_json(invoke):
    found = json.loads(invoke("models", "--format", "json").stdout)
    assert [one["name"] for one in found] == list(MODELS)
    assert all(set(one) == {"name", "hub_id", "revision", "embedded", "dtype", "summary"} for one in found)
    assert [one["name"] for one in found if one["embedded"]] == ["tiny", "tiny-clip"]
    assert all((one["hub_id"] is None) == one["embedded"] for one in found)


def test_options_reach_the_store(invoke, write_benchmark, lines, tmp_path):
    file = write_benchmark(lines)
    options = ["--as", "mine", "--dtype", "bfloat16", "--batch-tokens", 99, "--codec", "blosc-lz4-bitshuffle"]
    options += ["--no-logits", "--no-share", "--parity", "image-tag"]
    result = run_parity(invoke, file, *options, "--rank", 1, "--world", 2)
    assert result.exit_code == 0
    assert "mine (rank 1 of 2) on parity" in result.stderr
    stored = open_store(tmp_path / "s.zarr").peek("mine")
    assert stored.identity["batching"] == "at most 99 padded tokens"
    assert (stored.identity["logits"], stored.identity["parity"]) == ("none", ["image-tag"])
    resume = "--as mine --dtype bfloat16 --batch-tokens 99 --no-logits --no-share --parity image-tag"
    assert stored.provenance["command"].endswith(resume)
    assert stored.identity["dtype"] == "bfloat16"
    assert "99" in stored.identity["batching"]
    assert stored.missing == [0, 2]
    plan = invoke("plan", "--model", "tiny", "--data", file, "--store", "s.zarr", "--shard-samples", 4, "--as", "mine")
    assert "2 of 3 shards (0, 2)" in plan.stdout


def test_shots_and_packing_reach_the_store(invoke, write_benchmark, lines, tmp_path):
    file = write_benchmark(lines)
    result = run_parity(invoke, file, "--icl", 2, "--icl-seed", 3, "--pack")
    assert result.exit_code == 0
    stored = open_store(tmp_path / "s.zarr")["tiny-icl2-seed3"]
    assert stored.identity["in_context"] == {"shots": 2, "seed": 3}
    assert stored.identity["padding"] == "none"
    assert stored.provenance["command"].endswith("--pack --icl 2 --icl-seed 3")


def test_a_process_of_a_launcher_does_its_own_shards(invoke, write_benchmark, lines, tmp_path, monkeypatch):
    for name, value in {"SLURM_PROCID": "2", "SLURM_STEP_NUM_TASKS": "3", "SLURM_LOCALID": "0"}.items():
        monkeypatch.setenv(name, value)
    assert run_parity(invoke, write_benchmark(lines)).exit_code == 0
    assert open_store(tmp_path / "s.zarr").peek("tiny").missing == [0, 1]


def test_under_torchrun_failed_samples_end_no_other_process(invoke, write_benchmark, lines, monkeypatch):
    file = write_benchmark(lines)
    (file.parent / "3.png").write_bytes(b"")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    result = run_parity(invoke, file)
    assert result.exit_code == 0
    assert "1 sample failed" in result.stderr


def test_a_failed_sample_is_told_and_gives_exit_code_3(invoke, write_benchmark, lines, tmp_path):
    file = write_benchmark(lines)
    (file.parent / "3.png").write_bytes(b"")
    result = run_parity(invoke, file)
    assert result.exit_code == DONE_WITH_FAILURES
    assert "failed: 4: not_an_image" in result.stderr
    assert "1 sample failed" in result.stderr
    assert open_store(tmp_path / "s.zarr")["tiny"].usable.sum() == 9


def test_samples_that_failed_alike_are_told_in_one_line(invoke, write_benchmark, lines):
    file = write_benchmark(lines)
    for number in range(1, 8):
        picture = file.parent / f"{number}.png"
        picture.write_bytes(picture.read_bytes()[: 0 if number < 7 else -40])
    result = run_parity(invoke, file)
    told = [line for line in result.stderr.splitlines() if line.startswith("failed: ")]
    assert len(told) == 2
    assert told[0].startswith("failed: 2: not_an_image: ")
    assert told[0].endswith("(6 times, also 3, 4, two pictures, 6 ...)")
    assert told[1].startswith("failed: 8: image_corrupt: ")
    assert "times" not in told[1]


@pytest.fixture
def entry(tmp_path, monkeypatch, capfd):
    """Return a function that runs the whole program in this process: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["/somewhere/bin/savs-harvest", *arguments])
        with pytest.raises(SystemExit) as raised:
            cli.entry()
        return raised.value.code, *capfd.readouterr()

    yield run
    signal.signal(signal.SIGTERM, before)


# Arguments, exit code, words of the one sentence on stderr.
MISTAKES = {
    "unknown benchmark": (["plan", "--model", "tiny", "--data", "digit"], MISUSED, "did you mean 'digits'?"),
    "unknown wording": (
        ["run", "--model", "tiny", "--data", "digits", "--wording", "tdd"],
        MISUSED,
        "digits has no wording 'tdd'; did you mean 'td'? there are default, td, tdc",
    ),
    "unknown wording of what is not here": (
        ["run", "--model", "tiny", "--data", "pets", "--wording", "tdcs"],
        MISUSED,
        "pets has no wording 'tdcs'; did you mean 'tdc'?",
    ),
    "wording of a benchmark with one": (
        ["plan", "--model", "tiny", "--data", "digits-pairs", "--wording", "td"],
        MISUSED,
        "digits-pairs has no wording 'td'; it has one, default",
    ),
    "unknown model": (["plan", "--model", "tinny", "--data", "digits"], MISUSED, "did you mean 'tiny'?"),
    "no such file": (["run", "--model", "tiny", "--data", "mine.jsonl"], MISUSED, "there is no file mine.jsonl"),
    "unknown type": (
        ["run", "--model", "tiny", "--data", "digits", "--dtype", "int8"],
        MISUSED,
        "error: unknown type 'int8'",
    ),
    "unknown device": (["run", "--model", "tiny", "--data", "digits", "--device", "foo"], MISUSED, "device 'foo'"),
    "no such GPU": (["run", "--model", "tiny", "--data", "digits", "--device", "cuda:99"], MISUSED, "torch sees"),
    "not text": (["plan", "--model", "tiny", "--data", "noise.jsonl"], MISUSED, "noise.jsonl is not UTF-8 text"),
    "bad name": (["run", "--model", "tiny", "--data", "digits", "--as", "A/B"], MISUSED, "cannot name a model"),
    "bad codec": (["run", "--model", "tiny", "--data", "digits", "--codec", "zip"], MISUSED, "unknown codec 'zip'"),
    "rank without world": (
        ["run", "--model", "tiny", "--data", "digits", "--world", "2"],
        MISUSED,
        "--world 2 needs --rank",
    ),
    "parity of others": (
        ["run", "--model", "tiny", "--data", "digits", "--parity", "anyres"],
        MISUSED,
        "is for llava_onevision, the model is a qwen2_vl",
    ),
    "rank too high": (["run", "--model", "tiny", "--data", "digits", "--rank", "2"], MISUSED, "rank 2 of 1"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence_on_stderr_with_its_exit_code(entry, mistake):
    arguments, code, words = MISTAKES[mistake]
    Path("noise.jsonl").write_bytes(b"\xff")
    found, out, err = entry(*arguments)
    assert found == code
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("error: ")
    assert words in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["harvest"], "No such command"),
        (["run", "--model", "tiny"], "Missing option '--data'"),
        (["run", "--model", "tiny", "--data", "digits", "--shard-samples", "0"], "Invalid value for '--shard-samples'"),
    ],
)
def test_wrong_use_is_answered_by_the_usage(entry, arguments, words):
    code, out, err = entry(*arguments)
    assert (code, out) == (MISUSED, "")
    assert "Usage: savs-harvest" in err
    assert words in err


def test_an_unexpected_error_is_a_sentence_too_and_a_traceback_with_v(entry, monkeypatch):
    def fail():
        raise ZeroDivisionError("by chance")

    monkeypatch.setattr("savs_harvest.models.loading.quiet_libraries", fail)
    arguments = ["plan", "--model", "tiny", "--data", "digits"]
    assert entry(*arguments) == (FAILED, "", "error: ZeroDivisionError: by chance (-v shows where)\n")
    for words in (["-v", *arguments], [*arguments, "-v"]):
        code, out, err = entry(*words)
        assert (code, out) == (FAILED, "")
        assert err.startswith("Traceback")
        assert err.endswith("ZeroDivisionError: by chance\n")


def test_without_a_connection_the_way_out_is_named(entry, monkeypatch):
    def fail(*args, **kwargs):
        raise LocalEntryNotFoundError("no connection")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    code, out, err = entry("run", "--model", "qwen2vl", "--data", "digits")
    assert (code, out) == (FAILED, "")
    assert err.startswith("error: the Hugging Face hub cannot be reached")
    assert "hf download Qwen/Qwen2-VL-7B-Instruct" in err
    assert "Traceback" not in err


def test_an_interruption_names_the_command_that_goes_on(entry, monkeypatch):
    def stop():
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("savs_harvest.models.loading.quiet_libraries", stop)
    code, out, err = entry("run", "--model", "tiny", "--data", "digits")
    assert (code, out) == (INTERRUPTED, "")
    assert err == "interrupted; what is finished is kept, go on with: savs-harvest run --model tiny --data digits\n"


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_process_keeps_what_is_finished(tmp_path, stop):
    """Stop a real process after its first shard; the same command then finishes the store."""
    program = [sys.executable, "-c", "from savs_harvest.cli.commands import entry; entry()"]
    program += ["run", "--model", "tiny", "--data", "digits", "--store", "s.zarr", "--shard-samples", "64"]
    first = tmp_path / "s.zarr" / "tiny" / "shard_crc32c" / "c" / "0"
    process = subprocess.Popen(program, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not first.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(stop)
    _, err = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED
    assert "Traceback" not in err
    assert "interrupted; what is finished is kept, go on with: " in err
    left = open_store(tmp_path / "s.zarr").peek("tiny").missing
    assert 0 < len(left) < 15
    subprocess.run(program, cwd=tmp_path, check=True, capture_output=True, timeout=100)
    assert open_store(tmp_path / "s.zarr")["tiny"].usable.all()


def test_a_store_in_a_store_is_refused_before_a_model_is_loaded(invoke, monkeypatch):
    """It was written among the arrays of the other one, which `verify` then called damaged."""
    monkeypatch.setattr("savs_harvest.batches.layout_check.load_model", lambda *_, **__: pytest.fail("it was loaded"))
    Path("outer.zarr").mkdir()
    Path("outer.zarr/zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    result = invoke("run", "--model", "tiny", "--data", "digits", "--store", "outer.zarr/new/s.zarr")
    assert isinstance(result.exception, ValueError)
    assert "outer.zarr/new/s.zarr is in the store" in str(result.exception)
    assert [path.name for path in Path("outer.zarr").iterdir()] == ["zarr.json"]


@pytest.mark.parametrize("codec", ["none", "blosc-lz4-bitshuffle"])
def test_a_disk_without_room_is_told_before_a_model_is_loaded(invoke, monkeypatch, codec):
    """A harvest ran for hours into a full disk. What a compressed store takes is not known before."""
    monkeypatch.setattr("savs_stores.place.folder.Folder.free", lambda place: 1_000)

    def loaded(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("savs_harvest.batches.layout_check.load_model", loaded)
    result = invoke("run", "--model", "tiny", "--data", "digits", "--store", "s.zarr", "--codec", codec)
    if codec == "none":
        assert isinstance(result.exception, OSError)
        assert re.fullmatch(
            r"no space for s\.zarr: the \d+ shards still to be written need [\d.]+ kB, 1\.0 kB are free; "
            "make room, or name another disk with --store",
            str(result.exception),
        )
    else:
        assert "no space" not in result.output + str(result.exception)
    assert not Path("s.zarr").exists()


def test_a_papers_own_examples_are_the_pool(invoke, data_root, tmp_path):
    example = {"image": "/home/authors/VizWiz_val_00000001.jpg", "question": "What is written on can 7?"}
    file = tmp_path / "train.jsonl"
    file.write_text(json.dumps(example | {"label": "unanswerable"}) + "\n")
    asked = "data", "export", "vizwiz", "--data-root", data_root, "--support", file, "--out", "out.jsonl"
    refused = invoke(*asked)
    assert refused.exit_code
    assert "say --split paper" in str(refused.exception)
    assert invoke(*asked, "--split", "paper").exit_code == 0
    first, *others = map(json.loads, Path("out.jsonl").read_text().splitlines())
    assert (first["split"], first["label"]) == ("pool", "unanswerable")
    assert first["question"].startswith("\nWhat is written on can 7? \nWhen")
    assert {row["split"] for row in others} == {"test"}


def test_each_wording_has_a_store_of_its_own(invoke):
    for wording, name, asked in (
        ("td", "digits-td-10", "What number is written here?\nAnswer in one word."),
        ("default", "digits-10", "What number is written here?"),
    ):
        words = "--model", "tiny", "--data", "digits", "--limit", 10, "--wording", wording
        assert f"stores/{name}.zarr" in invoke("plan", *words, "--format", "json").stdout
        result = invoke("run", *words)
        assert result.exit_code == 0, result.output
        store = open_store(f"stores/{name}.zarr")
        assert store.benchmark.wording == ("" if wording == "default" else wording)
        assert set(store.texts.question) == {asked}
        assert (" --wording td" in store["tiny"].provenance["command"]) == (wording == "td")
    refused = invoke("run", *words, "--store", "stores/digits-td-10.zarr")
    assert refused.exit_code
    assert "wording: 'td' in the store, '' now" in str(refused.exception)


@pytest.mark.parametrize("wording", ["default", "td", "tdc"])
def test_a_wording_is_shown_checked_and_exported(invoke, wording):
    header = f"wording    {wording}, of default, td, tdc"
    for command in ("show", "check"):
        assert header in invoke("data", command, "digits", "--limit", 10, "--wording", wording).stdout
    assert invoke("data", "export", "digits", "--out", "out.jsonl", "--wording", wording).exit_code == 0
    [question] = {json.loads(line)["question"] for line in Path("out.jsonl").read_text().splitlines()}
    assert question.count("\n") == {"default": 0, "td": 1, "tdc": 11}[wording]
