"""What a model card says of the licence is found, and nothing else is taken for it."""

import pytest

from savs_harvest.models.licences import MOST_SAID, find_licence, licence_of


@pytest.mark.parametrize(
    ("header", "licence"),
    [
        ("license: apache-2.0", "apache-2.0"),
        ("language:\n- en\nlicense: mit\npipeline_tag: image-text-to-text", "mit"),
        ("license: 'cc-by-nc-4.0' # not for sale", "cc-by-nc-4.0"),
        ('license:   "llama3.2"', "llama3.2"),
        ("license:\n- mit\n- apache-2.0\ntags:\n- vision", "mit, apache-2.0"),
        ("license:\n  - mit\ntags: [vision]", "mit"),
        ("license: [mit, apache-2.0]", "mit, apache-2.0"),
        ("license: other\nlicense_name: tongyi-qianwen\nlicense_link: https://x", "tongyi-qianwen"),
        ("license_name: tongyi-qianwen\nlicense: other", "tongyi-qianwen"),
        ("license: other", "other"),
        ("license: mit\r\ntags:\r\n- a", "mit"),
        ("license:", None),
        ("license: null", None),
        ("language: en", None),
        ("model:\n  license: mit", None),
        ("license: a\x1b[2Jb", "a\\x1b[2Jb"),
        ("tags:\n- a\nlicense: [mit,\n  apache-2.0]", "mit, apache-2.0"),
        ("license:\n\n- mit\n- bsd", "mit, bsd"),
        ("license: >-\n  mit", "mit"),
        ("license: other\nlicense_name: my, own licence # x", "my, own licence"),
        ("license : 'gpl-3.0'", "gpl-3.0"),
        ("license: no", "no"),
        ("license:\tmit", "mit"),
        ("text: |\n license: no\nlicense: mit", "mit"),
        ("license: {a: b}", None),
        ("license: !!python/object/apply:os.getcwd []", None),
        ("license: " + "x" * 9999, "x" * MOST_SAID),
    ],
)
def test_the_licence_in_a_header_is_found(header, licence):
    assert licence_of(f"---\n{header}\n---\n# A model\nlicense: of the text\n") == licence


def test_a_card_with_a_byte_order_mark_has_a_header():
    assert licence_of("\ufeff---\nlicense: mit\n---\n") == "mit"


@pytest.mark.parametrize(
    "header", ["license: [mit", "a: b: c", "license: &a [*b]", "[" * 5000, '"\\UFFFFFFFF": a', "- mit"]
)
def test_a_header_that_is_no_yaml_of_fields_names_none(header):
    assert licence_of(f"---\n{header}\n---\n") is None


@pytest.mark.parametrize("card", ["", "license: mit", "---\nlicense: mit", "# A\n---\nlicense: mit\n---\n"])
def test_what_is_no_header_says_nothing(card):
    assert licence_of(card) is None


def test_a_folder_without_a_card_has_no_known_licence(tmp_path):
    assert find_licence(tmp_path) is None
    (tmp_path / "README.md").write_bytes(b"---\nlicense: mit\n---\n\xff")
    assert find_licence(tmp_path) == "mit"
