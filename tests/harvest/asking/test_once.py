"""What questions about one picture share is made once, and is what each would get alone."""

import numpy as np
import pytest
import torch
from PIL import Image

from kit.families import FAMILIES, build_processor
from savs_benchmarks.digits.digits import benchmark_pictures
from savs_harvest.asking import once
from savs_harvest.asking.once import LastPictures, keep_last
from savs_harvest.asking.preparing import Preparer, Question

QUICK = ("qwen2_vl", "llava_onevision", "idefics3", "gemma3", "mllama")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for digit in range(3):
        benchmark_pictures("test", digit)[0].resize((40 + 8 * digit, 36)).save(folder / f"{digit}.png")
    return [folder / f"{digit}.png" for digit in range(3)]


def preparer_of(family):
    return Preparer(None, torch.float32, (), False, build_processor(family))


@pytest.mark.parametrize("family", FAMILIES)
def test_questions_about_one_picture_get_what_each_gets_alone(family, files):
    one, two, three = files
    questions = [
        *(Question((one,), words) for words in ("is it odd ?", "look carefully , odd or even ?", "name it")),
        *(Question((one, two), words) for words in ("are both odd ?", "name both")),
        Question((two, one), "name both"),
        Question((three,), "is it odd ?"),
        Question((one,), "is it odd ?"),
    ]
    shared = preparer_of(family)
    for question in questions:
        found, alone = shared.inputs(question), preparer_of(family).inputs(question)
        assert found.keys() == alone.keys()
        assert all(torch.equal(found[name], alone[name]) for name in alone), question


@pytest.mark.parametrize("family", QUICK)
def test_the_picture_is_read_and_prepared_once(family, files, monkeypatch):
    read, real = [], once.load_picture
    monkeypatch.setattr(once, "load_picture", lambda source: (read.append(source), real(source))[1])
    preparer, made = preparer_of(family), []
    kind = type(preparer.processor.image_processor).__mro__[1]
    call = kind.preprocess
    monkeypatch.setattr(kind, "preprocess", lambda *args, **given: (made.append(1), call(*args, **given))[1])
    for words in ("is it odd ?", "odd or even ?", "name it", "is it even ?"):
        preparer.inputs(Question((files[0],), words))
    assert read == [files[0]]
    assert len(made) == 1
    preparer.inputs(Question((files[1],), "name it"))
    assert read == files[:2]
    assert len(made) == 2


def test_a_processor_stays_what_it_is(files):
    processor = build_processor("qwen2_vl").image_processor
    name, settings = type(processor).__name__, processor.to_json_string()
    picture = Image.open(files[0]).convert("RGB")
    for _ in range(2):
        keep_last(processor)
        processor(images=[picture], return_tensors="pt")
    assert type(processor).__name__ == name
    assert processor.to_json_string() == settings
    assert len(type(processor).__mro__) == len(type(build_processor("qwen2_vl").image_processor).__mro__) + 1


def test_what_takes_parts_out_of_it_leaves_it_whole(files):
    processor = build_processor("llava_onevision").image_processor
    keep_last(processor)
    picture = Image.open(files[0]).convert("RGB")
    first = dict(processor(images=[picture], return_tensors="pt"))
    for _ in range(3):
        found = processor(images=[picture], return_tensors="pt")
        assert all(torch.equal(found[name], first[name]) for name in first)
        found.clear()


def test_other_options_are_another_call(files):
    processor = build_processor("qwen2_vl").image_processor
    keep_last(processor)
    picture = Image.open(files[0]).convert("RGB")
    plain = processor(images=[picture], return_tensors="pt")["pixel_values"]
    other = processor(images=[picture], return_tensors="pt", do_normalize=False)["pixel_values"]
    assert not torch.equal(plain, other)


def test_pictures_that_cannot_be_read_are_tried_again(files, tmp_path):
    last, late = LastPictures(), tmp_path / "late.png"
    for _ in range(2):
        with pytest.raises(ValueError, match=r"late\.png"):
            last.load((files[0], late))
    late.write_bytes(files[0].read_bytes())
    assert len(last.load((files[0], late))) == 2


def test_an_option_that_its_words_do_not_tell_is_never_taken_for_another(files):
    """The words of a long array are shortened: two that differ in the middle read alike."""

    class Adding:
        def __call__(self, images, image_mean):
            return {"pixel_values": torch.from_numpy(image_mean)}

    processor, picture = Adding(), Image.open(files[0]).convert("RGB")
    keep_last(processor)
    one = np.zeros(5000)
    other = one.copy()
    other[2500] = 1
    assert repr(one) == repr(other)
    first, second = (processor([picture], image_mean=mean)["pixel_values"] for mean in (one, other))
    assert first[2500] == 0
    assert second[2500] == 1
