"""A family that came without a chat template is asked as its documentation asks, and says so."""

import pytest
from PIL import Image
from transformers import AutoConfig
from transformers.utils import is_torchvision_available

from kit.zoo.build import save, tokenizer
from kit.zoo.trial import spec
from savs_harvest.batches.layout_check import load_model
from savs_harvest.errors import ModelError
from savs_harvest.models.documented import DOCUMENTED
from savs_harvest.models.processors import read_processor
from savs_harvest.models.prompts import Shot, conversation
from savs_harvest.models.templates import ChatTemplate

# Of every family: a question about two pictures, and behind an answered one about one.
ASKED = {
    "blip-2": ("Question: odd ? Answer:", "Question: even ? Answer: no\n"),
    "chameleon": ("odd ?<image><image>", "even ?<image>no\n"),
    "fuyu": ("odd ?\n", "even ?\nno\n"),
    "instructblip": ("odd ?", "even ? no\n"),
    "kosmos-2": ("<grounding> Question: odd ? Answer:", "<grounding> Question: even ? Answer: no\n"),
    "paligemma": ("<image><image>answer en odd ?", "<image>answer en even ?no\n"),
    "video_llava": ("USER: <image><image>\nodd ? ASSISTANT:", "USER: <image>\neven ? ASSISTANT: no\n"),
}


@pytest.mark.parametrize("family", DOCUMENTED)
def test_a_prompt_is_as_the_documentation_has_it(family):
    template, picture = ChatTemplate(DOCUMENTED[family].template), Image.new("RGB", (8, 8))
    asked, answered = ASKED[family]
    assert template.render(conversation([picture] * 2, "odd ?")) == asked
    shots = [Shot([picture], "even ?", "no")]
    assert template.render(conversation([picture] * 2, "odd ?", shots)) == answered + asked


def test_a_checkpoint_without_a_template_says_how_it_is_asked(tmp_path):
    loaded = load_model(spec(save("chameleon", tmp_path / "it")), "cpu")
    assert loaded.processor.chat_template == DOCUMENTED["chameleon"].template
    assert DOCUMENTED["chameleon"].remark in loaded.remarks
    assert "'{question}<image>...'" in DOCUMENTED["chameleon"].remark


def test_an_encoder_with_a_decoder_is_refused_in_words(tmp_path):
    folder = save("pix2struct", tmp_path / "it")
    with pytest.raises(ModelError, match=r"an encoder with a decoder \(pix2struct\): an encoder reads its prompt"):
        load_model(spec(folder), "cpu")


@pytest.mark.skipif(is_torchvision_available(), reason="torchvision is here")
@pytest.mark.parametrize("family", ["llama4", "kimi_k25", "molmo2"])
def test_a_family_whose_pictures_need_torchvision_says_so(family, tmp_path):
    AutoConfig.for_model(family).save_pretrained(tmp_path)
    tokenizer(family).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=f"pictures of a {family} are prepared by torchvision only: pip install"):
        read_processor(tmp_path)
