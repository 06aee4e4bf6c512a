"""How shards were made is kept beside them, and told where they were made differently."""

import shutil

import pytest

from savs_stores import StoreError, open_store, verify
from savs_stores.format.provenance import describe_provenance, from_text, mixed_environments, to_text

ROWS = range(4), range(4, 8), range(8, 10)


def made(day="2026-01-02", seconds=1.5, **environment):
    return {"environment": environment, "run": {"started": f"{day}T03:04:05+00:00", "seconds": seconds}}


@pytest.mark.parametrize(
    ("provenances", "lines"),
    [
        ([], []),
        ([{}, {}], []),
        ([made(torch="1"), made(torch="1", day="2026-01-03", seconds=9)], []),
        ([made(torch="1"), {}, made(torch="1")], []),
        ([made(torch="1"), made(torch="2"), made(torch="1")], ["torch: 1 (shards 0, 2), 2 (shards 1)"]),
        ([{}, made(torch="1"), made(torch="1"), made()], ["torch: 1 (shards 1-2), unknown (shards 3)"]),
        (
            [made(torch="1", device="a"), made(torch="2", device="b")],
            ["device: a (shards 0), b (shards 1)", "torch: 1 (shards 0), 2 (shards 1)"],
        ),
        ([made(tf32=True), made(tf32=False)], ["tf32: True (shards 0), False (shards 1)"]),
    ],
)
def test_what_differs_between_shards_is_named(provenances, lines):
    assert list(mixed_environments(provenances)) == lines


def test_people_read_when_and_with_what_shards_were_made():
    provenances = [made(torch="1", savs="0.1", other="x"), {}, made(torch="1", savs="0.1", other="x", day="2026-02-01")]
    assert list(describe_provenance(provenances)) == [
        "2 shards made 2026-01-02 to 2026-02-01 in 3 s of their processes: savs 0.1, torch 1"
    ]
    assert list(describe_provenance([{}, {}])) == []
    assert (
        next(describe_provenance([{"environment": {}}]))
        == "1 shard made at an unknown time in 0 s of their processes: "
    )


@pytest.mark.parametrize("provenance", [None, {}, made(torch="1"), {"run": {"batches": [1, 2], "place": "é"}}])
def test_what_is_stored_is_read_again(toy, begun, provenance):
    toy.begin(begun).write(1, toy.content(ROWS[1]), provenance)
    assert from_text(to_text(provenance)) == (provenance or {})
    assert open_store(begun).peek("toy").shard_provenance == [{}, provenance or {}, {}]
    assert toy.begin(begun).provenances == [{}, provenance or {}, {}]


def test_a_shard_written_again_forgets_how_it_was_made_before(toy, begun):
    for provenance in (made(torch="1"), None):
        toy.begin(begun).write(1, toy.content(ROWS[1]), provenance)
    assert open_store(begun).peek("toy").shard_provenance == [{}] * 3


@pytest.mark.parametrize("text", ["{", "[1]", "3"])
def test_what_is_no_provenance_is_refused(text):
    with pytest.raises(ValueError, match=r"no JSON object|Expecting"):
        from_text(text)


def test_a_store_from_before_it_is_resumed_without(toy, first_version):
    begun = first_version(toy)
    shutil.rmtree(begun / "toy/shard_provenance")
    toy.begin(begun).write(0, toy.content(ROWS[0]), made(torch="1"))
    toy.write(begun)
    store = open_store(begun)
    assert store["toy"].shard_provenance == [{}] * 3
    assert list(verify(store)) == []


def test_a_damaged_provenance_is_found(toy, begun, flip):
    toy.begin(begun).write(1, toy.content(ROWS[1]), made(torch="1"))
    file = begun / "toy/shard_provenance/c/1"
    flip(file, file.stat().st_size // 2)
    with pytest.raises(StoreError, match="shard_provenance/c/1 cannot be read, it is damaged"):
        _ = open_store(begun).peek("toy").shard_provenance
    assert any("toy: " in line and "it is damaged" in line for line in verify(open_store(begun)))


def test_a_damaged_provenance_stops_neither_a_resume_nor_a_look_at_the_store(toy, begun, flip):
    toy.begin(begun).write(1, toy.content(ROWS[1]), made(torch="1"))
    file = begun / "toy/shard_provenance/c/1"
    flip(file, file.stat().st_size // 2)
    assert toy.begin(begun).provenances == [{}] * 3
    assert "shard_provenance/c/1 cannot be read, it is damaged" in repr(open_store(begun, allow_partial=True))
