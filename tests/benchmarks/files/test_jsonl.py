"""A file of one's own: good lines become samples, every bad line is reported with its number and reason."""

import re
from dataclasses import replace

import pytest

from savs_benchmarks import BenchmarkError, Reading, check, load_jsonl, load_picture

NAN_LABEL = '{"image": "a.png", "question": "?", "label": NaN}'

# What is wrong with the line: a text, or changes to a good line; words of the report.
BAD_LINES = {
    "not JSON": ("cats are animals", "not JSON"),
    "cut short": ('{"image": "a.png"', "not JSON"),
    "array": ("[1, 2]", "expected an object {...}, got list"),
    "endless nesting": ("[" * 100_000, "recursion"),
    "no question": ({"question": None}, "the field 'question' is missing"),
    "neither": ({"label": None, "question": None}, "the field 'question' is missing"),
    "empty question": ({"question": "  "}, "'question' must be a text that is not empty"),
    "question of numbers": ({"question": 7}, "'question' must be a text"),
    "half a character": ('{"image": "a.png", "question": "\\ud800", "label": "cat"}', "surrogates not allowed"),
    "image and images": ({"images": ["a.png"]}, "either 'image' or 'images'"),
    "a picture by another name": (
        {"image": None, "file_name": "a.png"},
        "is its picture 'file_name'? Say --image-column",
    ),
    "a picture by a name like no other": (
        {"image": None, "scan": "a.png"},
        "is its picture 'scan'? Say --image-column scan",
    ),
    "an empty name": ({"image": ""}, "'image' must be a path"),
    "images no list": ({"image": None, "images": "a.png"}, "'images' a list of paths"),
    "image a number": ({"image": 3}, "'image' must be a path"),
    "missing picture": ({"image": "z.png"}, "there is no picture 'z.png'"),
    "missing second picture": ({"image": None, "images": ["a.png", "z.png"]}, "there is no picture 'z.png'"),
    "folder": ({"image": "sub"}, "there is no picture 'sub'"),
    "path out": ({"image": "../outside.png"}, "'../outside.png' leads out of"),
    "path out and back": ({"image": "sub/../../outside.png"}, "leads out of"),
    "absolute path": ({"image": "/etc/hostname"}, "'/etc/hostname' leads out of"),
    "link out": ({"image": "link.png"}, "'link.png' leads out of"),
    "link in a circle": ({"image": "circle.png"}, "circle.png"),
    "too long a name": ({"image": "a" * 5000}, "File name too long"),
    "URL": ({"image": "https://example.org/a.png"}, "is not a path below"),
    "file URL": ({"image": "file:///etc/hostname"}, "is not a path below"),
    "NUL": ({"image": "a.png\0"}, "is not a path below"),
    "label a truth value": ({"label": True}, "'label' must be a text or a whole number, got True"),
    "label a list": ({"label": ["cat"]}, "'label' must be a text or a whole number"),
    "label a fraction": ({"label": 0.5}, "'label' must be a text or a whole number, got 0.5"),
    "empty id": ({"id": ""}, "'id' must be a text"),
    "a key twice": (
        '{"image": "a.png", "question": "?", "label": "cat", "label": "dog"}',
        "the key 'label' stands twice",
    ),
    "a key twice within": (
        '{"image": "a.png", "question": "?", "label": "cat", "more": {"a": 1, "a": 2}}',
        "'a' stands twice",
    ),
    "null among options": (
        '{"image": "a.png", "question": "?", "label": "cat", "options": ["cat", null]}',
        "'options' must be",
    ),
    "id a list": ({"id": [1]}, "'id' must be a text"),
    "group an object": ({"group": {}}, "'group' must be a text"),
    "empty task": ({"task": ""}, "'task' must be a text"),
    "unknown split": ({"split": "train"}, "'split' must be one of pool, test, either, got 'train'"),
    "slot 7": ({"slot": 7}, "'slot' must be one of 0, 1, 2, 3, got 7"),
    "slot a truth value": ({"slot": True}, "'slot' must be one of 0, 1, 2, 3, got True"),
    "slot a text": ({"slot": "1"}, "'slot' must be one of 0, 1, 2, 3, got '1'"),
    "typo of a field": ({"lable": "cat"}, "unknown field 'lable', did you mean 'label'?"),
    "capital field": ({"Question": "?"}, "unknown field 'Question', did you mean 'question'?"),
    "options no list": ({"options": "cat"}, "'options' must be a list of labels"),
    "options of numbers": ({"options": [1]}, "'options' must be a list of labels"),
    "repeated id": ({"id": "1"}, "id '1' was used before, in line 1"),
    "unknown options": ({"options": ["cat", "cow"]}, "options ['cow'] are the label of no sample"),
}


@pytest.fixture
def folder_with_links(folder):
    (folder / "link.png").symlink_to(folder.parent / "outside.png")
    (folder / "circle.png").symlink_to(folder / "circle.png")


def faults_of(path):
    with pytest.raises(BenchmarkError) as raised:
        load_jsonl(path)
    return raised.value.faults


@pytest.mark.parametrize("kind", BAD_LINES)
def test_a_bad_line_is_reported_with_its_number_and_reason(write_lines, folder_with_links, kind):
    line, words = BAD_LINES[kind]
    (fault,) = faults_of(write_lines({}, "", line, {}))
    assert fault.startswith("line 3: ")
    assert words in fault


def test_all_bad_lines_are_reported_at_once(write_lines, folder_with_links):
    faults = faults_of(write_lines({}, *(line for line, _ in BAD_LINES.values())))
    by_line = {int(re.match(r"line (\d+): ", fault)[1]): fault for fault in faults}
    assert sorted(by_line) == list(range(2, len(BAD_LINES) + 2))
    assert len(faults) == len(BAD_LINES)
    for number, (_, words) in enumerate(BAD_LINES.values(), 2):
        assert words in by_line[number]


def test_good_lines_become_samples(write_lines, folder):
    path = write_lines(
        {},
        {"image": None, "images": ["sub/b.png", "a.png"], "id": "two", "split": "pool", "task": "size", "label": 7},
        {"task": "size", "label": " 8 ", "id": "eight"},
        {"id": 9, "split": "test", "group": "g", "options": ["dog", "cat"], "label": "dog"},
        {"image": "sub/../a.png", "source": "an unknown field that resembles none of ours"},
    )
    benchmark = load_jsonl(path)
    first, second, eighth, third, fourth = check(benchmark)
    assert (benchmark.name, benchmark.metric) == ("animals", "accuracy")
    assert benchmark.tasks == {"all": ("cat", "dog"), "size": ("7", "8")}
    assert eighth.label == "8"
    assert (first.sample_id, first.split, first.question, first.label) == (
        "1",
        "either",
        "Which animal is this?",
        "cat",
    )
    assert (first.task, first.group, first.slot, first.options) == ("all", None, None, ())
    assert [load_picture(picture).getpixel((0, 0))[0] for picture in second.images] == [20, 10]
    assert (second.sample_id, second.split, second.task, second.label) == ("two", "pool", "size", "7")
    assert (third.sample_id, third.split, third.group, third.options) == ("9", "test", "g", ("dog", "cat"))
    assert fourth.images == first.images


@pytest.mark.parametrize("absent", ["null", "NaN"])
def test_absent_is_absent_in_every_field(write_lines, absent):
    fields = ("id", "split", "task", "group", "slot", "options", "images")
    more = ", ".join(f'"{name}": {absent}' for name in fields)
    line = f'{{"image": "a.png", "question": "Which animal is this?", "label": "cat", {more}}}'
    benchmark = load_jsonl(write_lines(line, {"label": "dog"}))
    first, plain = check(benchmark)
    assert first == replace(plain, sample_id="1", label="cat")
    assert (benchmark.metric, benchmark.tasks) == ("accuracy", {"all": ("cat", "dog")})


def test_an_empty_group_is_none_and_words_stay_words(write_lines):
    line = {"group": "", "id": "nan", "task": "null", "label": "None"}
    first, second = check(load_jsonl(write_lines(line, {"task": "null", "group": "NaN", "id": "null"})))
    assert (first.group, first.sample_id, first.task, first.label) == (None, "nan", "null", "None")
    assert (second.group, second.sample_id) == ("NaN", "null")
    assert {sample.group for sample in load_jsonl(write_lines({"group": " \t"}, {"group": "  "})).samples()} == {None}


def test_whole_numbers_with_a_point_are_whole_numbers(write_lines):
    line = {"id": 3.0, "label": 7.0, "group": 2.0, "task": 1.0, "slot": 1.0}
    found = next(iter(load_jsonl(write_lines(line)).samples()))
    assert (found.sample_id, found.label, found.group, found.task, found.slot) == ("3", "7", "2", "1", 1)


def test_one_fault_sixty_times_is_one_line_with_the_first_places(write_lines):
    with pytest.raises(BenchmarkError) as raised:
        load_jsonl(
            write_lines({}, *({"image": f"{i}.png"} for i in range(60)), *({"label": i / 7} for i in range(1, 6)))
        )
    summary, missing, labels = str(raised.value).splitlines()
    assert summary.endswith("has 65 bad lines:")
    assert missing.startswith("  line 2: there is no picture '0.png' below")
    assert missing.endswith("(60 times, also line 3, line 4, line 5, line 6 ...)")
    assert labels == (
        "  line 62: 'label' must be a text or a whole number, got 0.14285714285714285 "
        "(5 times, also line 63, line 64, line 65, line 66)"
    )
    assert len(raised.value.faults) == 65


def test_a_key_twice_an_id_twice_and_a_strange_option_are_a_line_each_however_often(write_lines, folder):
    """What stood around the fault was different in every line, and so was every line told."""
    good = [{"options": [f"cow {i}"]} for i in range(60)] + [{"id": f"x{i}"} for i in range(60)] * 2
    path = write_lines(*good)
    twice = [f'{{"image": "cat.png", "question": "{i}?", "label": "a", "label": "b"}}' for i in range(60)]
    path.write_text(path.read_text() + "\n".join(["", *twice]))
    with pytest.raises(BenchmarkError) as raised:
        load_jsonl(path)
    _, options, ids, keys = str(raised.value).splitlines()
    assert options.startswith("  line 1: options ['cow 0'] are the label of no sample (60 times, also line 2,")
    assert ids.startswith("  line 121: id 'x0' was used before, in line 61 (60 times, also line 122,")
    assert "the key 'label' stands twice in {" in keys
    assert " ... (60 times, also line " in keys


def test_slots_make_it_a_benchmark_of_groups(write_lines):
    lines = [{"group": "g", "slot": slot, "label": label} for slot, label in enumerate(("yes", "no", "no", "yes"))]
    benchmark = load_jsonl(write_lines(*lines))
    assert benchmark.metric == "question-image-group"
    assert [sample.slot for sample in check(benchmark)] == [0, 1, 2, 3]
    with pytest.raises(BenchmarkError, match="needs each of the slots"):
        check(load_jsonl(write_lines(*lines[:3])))


def test_a_forgotten_slot_does_not_turn_groups_into_single_samples(write_lines):
    lines = [{"group": "g", "slot": slot, "label": label} for slot, label in enumerate(("yes", "no", "no", "yes"))]
    (fault,) = faults_of(write_lines(*lines, {"group": "h"}))
    assert fault == "line 5: it has no 'slot' though other lines have one: all must, or none"


@pytest.mark.parametrize("field", [{"split": "pool"}, {"task": "other"}])
def test_a_group_stays_in_one_task_and_split(write_lines, field):
    lines = [{"group": "g", "slot": slot, "label": label} for slot, label in enumerate(("yes", "no", "no", "yes"))]
    more = [{"task": "other", "group": "h", **line} for line in lines]
    lines[0] |= field
    with pytest.raises(BenchmarkError, match="group 'g' is spread over several tasks or splits"):
        check(load_jsonl(write_lines(*lines, *[line | {"group": "h"} for line in more])))


@pytest.mark.parametrize("label", [None, " ", '{"image": "a.png", "question": "?", "label": null}', NAN_LABEL])
def test_a_line_without_a_label_is_asked_and_is_no_class(write_lines, label):
    line = label if str(label).startswith("{") else {"label": label}
    benchmark = load_jsonl(write_lines({}, line, {"label": "dog"}))
    assert benchmark.tasks == {"all": ("cat", "dog")}
    assert [sample.label for sample in check(benchmark)] == ["cat", "", "dog"]


def test_lines_without_any_label_are_a_benchmark_without_classes(write_lines):
    benchmark = load_jsonl(write_lines({"label": None}, {"label": None}))
    assert benchmark.tasks == {"all": ()}
    assert len(check(benchmark)) == 2


def test_one_question_of_all_lines_is_the_prompt_to_the_letter(write_lines):
    assert load_jsonl(write_lines({}, {"label": "dog"})).prompt == "Which animal is this?"
    assert load_jsonl(write_lines({}, {"question": "And this?"})).prompt == "{question}"
    reading = Reading(question="Which {one}?")
    assert load_jsonl(write_lines({}, {"question": None, "label": "dog"}), reading).prompt == "Which {one}?"


def test_other_columns_and_another_root_are_taken_when_they_are_named(write_lines, folder):
    path = write_lines({"image": None, "photo": "b.png", "label": None, "kind": "cat"})
    reading = Reading(image_root=folder / "sub", image_column="photo", label_column="kind")
    (sample,) = load_jsonl(path, reading).samples()
    assert (sample.images, sample.label) == ((folder / "sub" / "b.png",), "cat")


def test_one_class_is_no_classification(write_lines):
    with pytest.raises(BenchmarkError, match="task 'all' has fewer than two classes"):
        check(load_jsonl(write_lines({}, {})))


def test_blank_lines_are_skipped_but_counted(write_lines):
    samples = check(load_jsonl(write_lines("", {}, "   ", {"label": "dog"}, "")))
    assert [sample.sample_id for sample in samples] == ["2", "4"]


def test_only_a_newline_ends_a_line(write_lines):
    # The line separator may stand in a JSON text; `str.splitlines` would cut there.
    path = write_lines('{"image": "a.png", "question": "one\u2028two\x85three", "label": "cat"}', "no JSON")
    (fault,) = faults_of(path)
    assert fault.startswith("line 2: ")
    path.write_bytes(path.read_bytes().replace(b"\nno JSON", b"\r\n"))
    assert next(iter(load_jsonl(path).samples())).question == "one\u2028two\x85three"


def test_a_changed_file_is_another_revision(write_lines):
    revisions = {load_jsonl(write_lines({"label": label})).revision for label in ("cat", "dog")}
    assert len(revisions) == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "there is no file"), (b"\xff\xfe", "is not UTF-8 text"), (b"", "has no lines"), (b"\n \n", "no lines")],
)
def test_a_file_without_samples_is_refused(folder, content, words):
    path = folder / "mine.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BenchmarkError, match=words):
        load_jsonl(path)
