"""A header may say anything: what is wrong is found when the file is read, not where it is shown."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from kit.classifiers import rewritten, setting
from savs_analyze.classifier import file as files
from savs_analyze.classifier.errors import ClassifierError
from savs_analyze.classifier.file import read_classifier, write_classifier
from savs_analyze.fitting.store import FitRequest, fit_store
from savs_analyze.fitting.words import describe
from savs_analyze.report.card import card_text, write_card


def places(value, path=()):
    """Yield the path of every value in a JSON document, and of every object and list."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places(one, (*path, key))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def told(toys, tmp_path_factory):
    """Return a file that says all that there is to say, and its header."""
    path = tmp_path_factory.mktemp("told") / "toy.safetensors"
    write_classifier(fit_store(toys(4)["planted"], FitRequest(method="ridge")), path)
    with safe_open(path, framework="numpy") as opened:
        return path, json.loads(json.loads(opened.metadata()[files.FORMAT])["classifier"])


@given(st.data())
def test_a_forged_header_is_refused_or_shown(told, tmp_path_factory, data):
    """Whatever stands in the place of any value, whoever reads and shows it meets the file's own error or none."""
    path, header = told
    place = data.draw(st.sampled_from([one for one in places(header) if one and one[0] != "fitted"]))
    lost = data.draw(st.booleans())
    value = data.draw(JSON)

    def forge(content):
        for key in place[:-1]:
            content = content[key]
        if lost and isinstance(content, dict):
            del content[place[-1]]
        else:
            content[place[-1]] = value

    forged = rewritten(path, tmp_path_factory.mktemp("forged") / "toy.safetensors", header=forge)
    try:
        found = read_classifier(forged)
    except ClassifierError:
        return
    "\n".join([*describe(found), card_text(found, "toy.safetensors", "toy.png")]).encode()
    if place[0] in ("estimate", "classes"):
        write_card(found, forged)


FORGED = {
    "estimate without its interval": (
        lambda header: header["estimate"].pop("interval"),
        "estimate .* lacks 'interval'",
    ),
    "an interval of words": (setting("estimate", "interval", value=["a", "b"]), "'estimate.interval' of its header is"),
    "classes of another number": (setting("estimate", "by_class", value=[1.0]), "'by_class' of other classes"),
    "folds as a number": (setting("recipe", "by_fold", value=3), "'recipe.by_fold' of its header is not"),
    "a share above one": (setting("estimate", "accuracy", value=7), "'estimate.accuracy' of its header is not"),
    "tests as a word": (setting("data", "kept_for_tests", value="many"), "'data.kept_for_tests' of its header is not"),
    "a name as a number": (setting("model", "name", value=7), "'model.name' of its header is not"),
    "a version as a number": (setting("software", "numpy", value=2), "'software.numpy' of its header is no word"),
    "half a pair": (setting("question", value="\ud800"), "is no classifier's file"),
}


@pytest.mark.parametrize("kind", FORGED)
def test_what_a_header_says_of_another_kind_is_refused(told, tmp_path, kind):
    change, words = FORGED[kind]
    with pytest.raises(ClassifierError, match=rf"bad\.safetensors.*{words}"):
        read_classifier(rewritten(told[0], tmp_path / "bad.safetensors", header=change))
