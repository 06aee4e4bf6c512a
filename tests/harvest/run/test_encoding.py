"""Samples become vectors: what runs together, what failed, what workers change."""

import numpy as np
import pytest

from savs_benchmarks.digits.digits import benchmark_pictures
from savs_harvest.asking.preparing import Question
from savs_harvest.run.encoding import VECTORS_ONLY, Encoder
from savs_harvest.run.settings import Settings
from savs_stores import Status


@pytest.fixture
def asked(tmp_path):
    """Three questions about each of two pictures, and two pictures that cannot be read."""
    for digit in (3, 4):
        benchmark_pictures("test", digit)[0].save(tmp_path / f"{digit}.png")
    (tmp_path / "text.png").write_text("text")
    words = "is it odd ?", "which digit is this ?", "say what you see ."
    names = ("3.png", "4.png", "text.png", "nowhere.png")
    return [Question((tmp_path / name,), one) for name in names for one in (words if name[0] in "34" else words[:1])]


def test_what_failed_has_a_status_and_the_others_vectors(loaded, asked):
    block = Encoder(loaded["qwen2vl"]).run(asked)
    assert block.failed == [6, 7]
    assert [Status(block.status[place]) for place in block.failed] == [Status.NOT_AN_IMAGE, Status.IMAGE_MISSING]
    assert "text.png: not a picture" in block.reason(6)
    assert np.isfinite(block.vectors[:6]).all()
    assert np.isnan(block.vectors[6:]).all()


def test_questions_about_one_file_share_it(loaded, asked):
    model, rows = loaded["qwen2vl"], []
    count = lambda _module, _args, inputs: rows.append(len(inputs["input_ids"]))  # noqa: E731
    handle = model.model.register_forward_pre_hook(count, with_kwargs=True)
    shared = Encoder(model).run(asked[:6]).vectors
    assert sum(rows) == 2
    rows.clear()
    alone = Encoder(model, Settings(logits=False, share=False)).run(asked[:6]).vectors
    assert sum(rows) == 6
    handle.remove()
    np.testing.assert_allclose(shared.astype(float), alone.astype(float), rtol=2**-9, atol=2e-3)


@pytest.mark.parametrize("workers", [0, 2])
def test_blocks_come_in_order_whoever_prepares_them(loaded, asked, workers):
    model = loaded["qwen2vl"]
    blocks = [asked[:3], asked[3:4], asked[4:]]
    settings = Settings(logits=False, workers=workers)
    found = list(Encoder(model, settings).stream(iter(blocks)))
    for block, of_it in zip(blocks, found, strict=True):
        expected = Encoder(model, VECTORS_ONLY).run(block)
        assert (of_it.status == expected.status).all()
        assert np.array_equal(of_it.vectors, expected.vectors, equal_nan=True)


def test_words_alone_are_encoded_beside_pictures(loaded, asked):
    model = loaded["qwen2vl"]
    mixed = [asked[0], Question((), "is it odd ?"), asked[1], Question((), "say what you see .")]
    found = Encoder(model).run(mixed)
    assert found.failed == []
    for place, question in enumerate(mixed):
        single = Encoder(model).run([question]).vectors[0]
        np.testing.assert_allclose(found.vectors[place].astype(float), single.astype(float), rtol=2**-9, atol=2e-3)
