"""What a model is: one that answers, of pictures and words or of words alone, or an encoder; what loads it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from savs_benchmarks import Sample
from savs_harvest.errors import ModelError

# Encoders by model type, and whether they have a tower for texts beside the one for pictures.
ENCODERS = {
    "clip": True,
    "siglip": True,
    "siglip2": True,
    "dinov2": False,
    "dinov2_with_registers": False,
    "dinov3_vit": False,
}


def is_encoder(config: Any) -> bool:
    """Tell whether the model of a configuration gives embeddings, and answers nothing."""
    return config.model_type in ENCODERS


def answering(config: Any) -> Any:
    """Return the configuration of the part that reads and answers: the thinker, where a model speaks as well."""
    thinker = getattr(config, "thinker_config", None)
    if thinker is None:
        return config
    if getattr(thinker, "dtype", None) is None:
        thinker.dtype = getattr(config, "dtype", None)
    return thinker


def reads_pictures(config: Any) -> bool:
    """Tell whether the model of a configuration reads pictures, or words alone.

    Raises `ModelError` where transformers knows no such model of either kind.
    """
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    )

    if config.model_type in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        return True
    if is_encoder(config):
        raise ModelError(f"an encoder ({config.model_type}): it has no prompt, and answers no question")
    if config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise ModelError(
            f"a {config.model_type!r}: transformers knows no model of pictures and text, or of text, by it"
        )
    return False


def auto_model(config: Any) -> Any:
    """Return the class of transformers that makes the model of a configuration."""
    from transformers import AutoModel, AutoModelForCausalLM, AutoModelForImageTextToText

    if is_encoder(config):
        return AutoModel
    return AutoModelForImageTextToText if reads_pictures(config) else AutoModelForCausalLM


def check_pictures(name: str, pictures: bool, benchmark: str, samples: Iterable[Sample]) -> None:
    """Raise `ModelError` where samples show pictures to a model that reads none."""
    if pictures:
        return
    counted = [(sample.sample_id, bool(sample.images)) for sample in samples]
    if shown := [sample_id for sample_id, shows in counted if shows]:
        raise ModelError(
            f"{name} is a language model and reads no pictures: {len(shown):,} of {len(counted):,} samples of "
            f"{benchmark} show some, first {shown[0]!r}. Take a vision-language model, or samples in words alone"
        )
