"""Pictures and texts as an encoder reads them: by Pillow, one picture at a time; texts cut to what its tower holds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from savs_harvest.errors import ModelError
from savs_harvest.models.checkpoints import loading, read_json
from savs_harvest.models.kinds import ENCODERS

PICTURES_CONFIG = "preprocessor_config.json"
# What a processor gives of pictures; of the last two, NaFlex towers know how each was cut into patches.
PICTURE_INPUTS = ("pixel_values", "pixel_attention_mask", "spatial_shapes")
# Towers that were trained on texts of one length, without a mask.
OF_ONE_LENGTH = ("siglip", "siglip2")
SMALL_LETTERS = "its tokenizer is Gemma's and leaves capitals: texts are put in small letters, as SigLIP 2 was trained"


class EncoderProcessor:
    """Prepares pictures, and texts where the encoder reads any: `tokenizer` is None where it does not.

    A text is cut to `positions` tokens; `of_one_length` ones are padded to as many.
    """

    def __init__(
        self, pictures: Any, tokenizer: Any, positions: int = 0, of_one_length: bool = False, lower: bool = False
    ) -> None:
        self.image_processor, self.tokenizer = pictures, tokenizer
        self.positions, self.of_one_length, self.lower = positions, of_one_length, lower

    def pictures(self, pictures: Sequence[Image.Image]) -> dict[str, Tensor]:
        """Return the inputs of pictures, [picture, ...] each. Raises ValueError for one that the processor refuses."""
        found = [self.image_processor(images=[picture], return_tensors="pt") for picture in pictures]
        return {name: torch.cat([each[name] for each in found]) for name in PICTURE_INPUTS if name in found[0]}

    def tokens(self, text: str) -> Tensor:
        """Return the tokens [1, token] of a text, cut and padded; control tokens in it are words."""
        padding = "max_length" if self.of_one_length else False
        return torch.tensor([self._encoded(text, truncation=True, max_length=self.positions, padding=padding)])

    def is_cut(self, text: str) -> bool:
        """Tell whether a text has more tokens than the encoder reads."""
        return len(self._encoded(text)) > self.positions

    def _encoded(self, text: str, **options: Any) -> list[int]:
        text = text.lower() if self.lower else text
        return self.tokenizer(text, split_special_tokens=True, verbose=False, **options)["input_ids"]

    def describe(self) -> dict[str, Any]:
        """Return the fields of the identity that say how texts are read."""
        padding = "padded to as many, without a mask" if self.of_one_length else "with a mask"
        letters = ", in small letters" if self.lower else ""
        return {"texts": f"cut to {self.positions} tokens, {padding}{letters}" if self.tokenizer else None}


class TensorPictures:
    """Prepares pictures as DINOv3's processor, which needs torchvision: scaled to 0..1, then resized as floats."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = {name: settings[name] for name in ("size", "resample", "image_mean", "image_std")}

    def __call__(self, images: Sequence[Image.Image], return_tensors: str = "pt") -> dict[str, Tensor]:
        """Return `pixel_values` [picture, channel, height, width]."""
        return {"pixel_values": torch.stack([self._prepared(image) for image in images])}

    def _prepared(self, image: Image.Image) -> Tensor:
        size = self.settings["size"]
        mode = {Image.Resampling.BILINEAR: "bilinear", Image.Resampling.BICUBIC: "bicubic"}[self.settings["resample"]]
        pixels = torch.frombuffer(bytearray(image.convert("RGB").tobytes()), dtype=torch.uint8)
        picture = pixels.view(1, image.height, image.width, 3).permute(0, 3, 1, 2) / 255
        resized = interpolate(picture, (size["height"], size["width"]), mode=mode, antialias=True)[0]
        mean, std = (torch.tensor(self.settings[name])[:, None, None] for name in ("image_mean", "image_std"))
        return (resized - mean) / std

    def to_json_string(self) -> str:
        return json.dumps(self.settings)


def read_encoder_processor(folder: Path, config: Any) -> tuple[EncoderProcessor, tuple[str, ...]]:
    """Return what prepares an encoder's pictures and texts, and what is worth knowing of it, in words."""
    with loading(folder, "processor"):
        pictures = _pictures(folder, config)
        if not ENCODERS[config.model_type]:
            return EncoderProcessor(pictures, None), ()
        from transformers import AutoTokenizer

        _check_sentencepiece(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        lower = config.model_type in OF_ONE_LENGTH and _is_gemma(folder, tokenizer)
        one_length = config.model_type in OF_ONE_LENGTH
        positions = config.text_config.max_position_embeddings
        found = EncoderProcessor(pictures, tokenizer, positions, one_length, lower)
        return found, (SMALL_LETTERS,) if lower else ()


def _pictures(folder: Path, config: Any) -> Any:
    """Return the image processor, always Pillow's, for the reason that `read_processor` gives."""
    from transformers import AutoImageProcessor

    if config.model_type == "dinov3_vit":
        return TensorPictures(_settings_of_dinov3(read_json(folder / PICTURES_CONFIG)))
    return AutoImageProcessor.from_pretrained(folder, backend="pil", trust_remote_code=False)


def _settings_of_dinov3(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of DINOv3's processor; raises ValueError for those that are not carried out here."""
    unusual = {"do_resize": False, "do_rescale": False, "do_normalize": False, "do_center_crop": True}
    if wrong := [name for name, value in unusual.items() if said.get(name) is value]:
        raise ValueError(f"{wrong[0]} = {said[wrong[0]]} of DINOv3 pictures is not carried out without torchvision")
    imagenet = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    return {"size": {"height": 224, "width": 224}, "resample": 2, **imagenet, **said}


def _tokenizer_class(folder: Path) -> str:
    file = folder / "tokenizer_config.json"
    return str(read_json(file).get("tokenizer_class", "")) if file.exists() else ""


def _check_sentencepiece(folder: Path) -> None:
    """Refuse SigLIP's own tokenizer where its libraries are missing: another one would read texts otherwise."""
    from transformers.utils import is_protobuf_available, is_sentencepiece_available

    needed = _tokenizer_class(folder) == "SiglipTokenizer"
    if needed and not (is_sentencepiece_available() and is_protobuf_available()):
        raise ModelError("SiglipTokenizer needs sentencepiece and protobuf: pip install sentencepiece protobuf")


def _is_gemma(folder: Path, tokenizer: Any) -> bool:
    """Tell whether texts keep their capitals: of Gemma's tokenizer, where it is not SigLIP 2's own class."""
    gemma = "Gemma" in _tokenizer_class(folder) or "Gemma" in type(tokenizer).__name__
    return gemma and "Siglip2" not in type(tokenizer).__name__
