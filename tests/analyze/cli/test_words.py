"""One word for one thing: stores with --store or without it, the same options in the same words, JSON for programs."""

import json

import pytest
import typer
from typer.testing import CliRunner

from kit.sweeps import sweep
from savs_analyze.cli.commands import app
from savs_stores import Store, facts_of, open_store, terminal

GROUP = typer.main.get_command(app)
WITH_STORES = [name for name, command in GROUP.commands.items() if any("--store" in p.opts for p in command.params)]


def call(*words):
    return CliRunner().invoke(app, list(map(str, words)))


def said(*words):
    result = call(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_every_command_that_takes_a_store_takes_it_by_one_name():
    assert set(WITH_STORES) == set(
        "info verify join draws fit sweep study demo heads transfer projection answers report".split()
    )
    for name in WITH_STORES:
        arguments = [param.name for param in GROUP.commands[name].params if param.param_type_name == "argument"]
        assert not [one for one in arguments if "store" in one]


@pytest.mark.parametrize("name", WITH_STORES)
def test_the_help_says_a_store_once(name):
    shown = said(name, "--help")
    assert shown.count("--store ") == 1
    assert "[STORE" not in shown.splitlines()[0]


READ = {
    "info": [],
    "verify": [],
    "draws": ["--shots", 3, "--draws", 1],
}


@pytest.mark.parametrize("name", READ)
def test_both_forms_say_the_same(toy, name):
    with_word, without, behind = (
        call(name, *words) for words in (
            ["--store", toy.path, *READ[name]], [toy.path, *READ[name]], [*READ[name], "--", toy.path],
        )
    )  # fmt: skip
    assert with_word.exit_code == without.exit_code == behind.exit_code == 0
    assert with_word.output == without.output == behind.output != ""


def test_several_stores_come_in_either_form_and_in_both(make_store, tmp_path):
    paths = [make_store(name=name).path for name in ("a", "b", "c")]
    forms = {
        "with": [word for path in paths for word in ("--store", path)],
        "without": paths,
        "both": [paths[0], "--draws", "2", paths[1], "--store", paths[2]],
    }
    found = []
    for name, words in forms.items():
        said("sweep", *words, "--shots", 3, "--draws", 2, "--out", tmp_path / name)
        found.append(json.loads(said("table", tmp_path / name, "--format", "json")))
    assert found[0] == found[1] == found[2]
    assert {row["benchmark"] for row in found[0]} == {"a", "b", "c"}


def test_a_study_takes_stores_behind_its_name(toy, tmp_path):
    for name, words in (("with", ["--store", toy.path]), ("without", [toy.path])):
        said("study", "shots", *words, "--shots", "2,4", "--draws", 1, "--out", tmp_path / name)
    rows = [json.loads(said("table", tmp_path / name, "--format", "json")) for name in ("with", "without")]
    assert rows[0] == rows[1]
    assert {row["shots"] for row in rows[0]} - {0} == {2, 4}


WRONG = {
    "two for one": (["info", "a.zarr", "b.zarr"], "one store is asked for"),
    "both forms for one": (["verify", "a.zarr", "--store", "b.zarr"], "one store is asked for"),
    "none": (["verify"], "Missing option '--store'"),
    "an unknown option": (["sweep", "--stor", "a.zarr"], "No such option: --stor"),
    "a word too many": (["table", "results", "x"], "unexpected extra argument"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_is_told(case):
    words, message = WRONG[case]
    result = call(*words)
    assert result.exit_code == 2
    assert message in result.output


def test_sweep_and_study_say_what_they_share_in_the_same_words():
    one, other = ({p.name: p for p in GROUP.commands[name].params} for name in ("sweep", "study"))
    shared = set(one) & set(other)
    assert shared >= {"store", "out", "protocol", "shots", "draws", "model", "jobs"}
    for name in shared:
        same = [(of[name].help, of[name].opts, of[name].multiple) for of in (one, other)]
        assert same[0] == same[1]


def test_info_says_in_json_what_the_store_is(toy):
    found = json.loads(said("info", "--store", toy.path, "--format", "json"))
    assert found == json.loads(json.dumps(facts_of(open_store(toy.path))))
    assert set(found) == set("store format_version benchmark index_hash samples labelled texts checked models".split())
    assert found["samples"] == {"all": 120, "pool": 60, "test": 60, "either": 0}
    assert found["labelled"] == 120
    assert found["texts"] is False
    assert found["benchmark"]["tasks"] == {"all": ["cat", "dog"]}
    [model] = found["models"]
    vectors = toy["planted"]
    assert (model["model"], model["fingerprint"]) == ("planted", vectors.fingerprint)
    assert (model["layers"], model["heads"], model["dim"]) == (3, 12, 8)
    assert (model["shards"], model["missing_shards"], model["status"]) == (8, 0, {"OK": 120})


def test_facts_are_of_unfinished_stores_too(make_store):
    store = make_store()
    (store.path / "planted" / "shard_crc32c" / "c" / "3").unlink()
    [model] = facts_of(open_store(store.path))["models"]
    assert model["missing_shards"] == 1
    assert model["status"] == {"OK": 104, "PENDING": 16}


def test_verify_says_faults_in_json(make_store):
    store = make_store()
    assert json.loads(said("verify", store.path, "--format", "json")) == {
        "store": str(store.path),
        "sound": True,
        "faults": [],
    }
    shard = next(path for path in (store.path / "planted" / "heads").rglob("*") if path.is_file() and path.suffix == "")
    content = bytearray(shard.read_bytes())
    content[5] ^= 1
    shard.write_bytes(content)
    result = call("verify", store.path, "--format", "json")
    found = json.loads(result.stdout)
    assert result.exit_code == terminal.FAILED
    assert found["sound"] is False
    assert found["faults"] == call("verify", store.path).stdout.splitlines()


def test_audit_says_findings_in_json(toy: Store, tmp_path):
    sweep([toy.path], tmp_path / "out", shots=3, draws=2, heads=(2,))
    found = json.loads(said("audit", tmp_path / "out", "--seed", 0, "--format", "json"))
    assert (found["results"], found["sound"]) == (str(tmp_path / "out"), True)
    assert [set(one) for one in found["findings"]] == [{"checked", "sound", "words"}] * len(found["findings"])
    assert {one["checked"] for one in found["findings"]} >= {"files", "rows", "store"}
    (tmp_path / "out" / "rows.csv").write_text("benchmark\n")
    result = call("audit", tmp_path / "out", "--seed", 0, "--format", "json")
    assert result.exit_code == terminal.FAILED
    found = json.loads(result.stdout)
    assert found["sound"] is False
    assert {one["checked"]: one["sound"] for one in found["findings"]}["rows"] is False


def test_a_classifier_is_said_in_json():
    path = "tests/data/classifier-1.safetensors"
    found = json.loads(said("info", path, "--format", "json"))
    assert set(found) == set("classifier classes task question model data recipe estimate software heads dim".split())
    assert found["classifier"] == path
    assert all(len(head) == 2 for head in found["heads"])
