"""Encoders: models that give an embedding of a picture, and of a text where they have a tower for texts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize
from torch.nn.utils.rnn import pad_sequence

from savs_harvest.errors import ModelError
from savs_harvest.models.checkpoints import WITHOUT_WEIGHTS, checkpoint_folder, load_config, loading
from savs_harvest.models.encoder_processors import EncoderProcessor, read_encoder_processor
from savs_harvest.models.families import Family
from savs_harvest.models.kinds import ENCODERS, is_encoder
from savs_harvest.models.loading import (
    LoadedModel,
    load_weights,
    model_identity,
    own_dtype,
    place_of,
    text_hash,
    torch_dtype_of,
)
from savs_harvest.models.prompts import sample_pictures
from savs_harvest.models.quantized import find_quantization
from savs_harvest.models.specs import HEADS, ModelSpec

PICTURE, TEXT = 0, 1
# Two sizes that a processor must make one of: pictures of several samples run together.
SIZES = (64, 48), (48, 72)


@dataclass(frozen=True)
class LoadedEncoder(LoadedModel):
    """An encoder ready to harvest: one layer, with a head for pictures, and one for texts where it reads any."""

    @property
    def layers(self) -> list[tuple[int, int, int, str]]:
        return embedding_layers(self.model.config)

    @property
    def reads_pictures(self) -> bool:
        return True

    @property
    def reads_texts(self) -> bool:
        return self.processor.tokenizer is not None

    def of_pictures(self, inputs: Mapping[str, Tensor]) -> Float[Tensor, "picture dim"]:
        """Return the embeddings of pictures: `get_image_features`, or the pooled CLS token where there is no such."""
        placed = {name: _placed(tensor, self.model) for name, tensor in inputs.items()}
        found = self.model.get_image_features(**placed) if self.reads_texts else self.model(**placed)
        return found.pooler_output

    def of_texts(self, tokens: Sequence[Tensor]) -> Float[Tensor, "text dim"]:
        """Return the embeddings of texts, `get_text_features`: what pads is masked where the tower knows lengths."""
        ids = pad_sequence(list(tokens), batch_first=True, padding_value=self.processor.tokenizer.pad_token_id or 0)
        inputs = {"input_ids": ids}
        if not self.processor.of_one_length:
            lengths = torch.tensor([len(each) for each in tokens])
            inputs["attention_mask"] = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
        placed = {name: _placed(tensor, self.model) for name, tensor in inputs.items()}
        return self.model.get_text_features(**placed).pooler_output

    def of_lines(self, text: str) -> Float[Tensor, " dim"]:
        """Return the embedding of a text, of several lines the mean of their unit embeddings, itself of length 1."""
        with torch.inference_mode():
            found = self.of_texts([self.processor.tokens(line)[0] for line in lines_of(text)]).float()
        return found[0] if len(found) == 1 else normalize(normalize(found, dim=-1).mean(0), dim=-1)

    def log_probabilities(
        self, picture: Float[Tensor, "picture dim"], classes: Float[Tensor, "class dim"]
    ) -> Float[Tensor, "picture class"]:
        """Return the log-softmax over classes of the model's own logits: scaled cosines, with its bias if any."""
        cosines = normalize(picture.float(), dim=-1) @ normalize(classes.float(), dim=-1).T
        bias = getattr(self.model, "logit_bias", None)
        logits = cosines * self.model.logit_scale.float().exp() + (0 if bias is None else bias.float())
        return logits.log_softmax(-1)


def lines_of(text: str) -> list[str]:
    """Return the templates of a class, one a line."""
    return [line for line in text.splitlines() if line.strip()]


def embedding_layers(config: Any) -> list[tuple[int, int, int, str]]:
    """Return layer, heads, width and kind of an encoder's embeddings, from its configuration."""
    if not ENCODERS[config.model_type]:
        return [(0, 1, config.hidden_size, "embedding")]
    if config.model_type == "clip":
        return [(0, 2, config.projection_dim, "embedding")]
    text = config.text_config
    width = getattr(text, "projection_size", None) or text.hidden_size
    return [(0, 1, config.vision_config.hidden_size, "embedding"), (0, 1, width, "embedding")]


def names_encoder(spec: ModelSpec, revision: str | None = None) -> bool:
    """Tell whether a checkpoint is one of an encoder; needs its configuration only."""
    folder = checkpoint_folder(spec, revision, WITHOUT_WEIGHTS)
    return is_encoder(load_config(folder, spec.checkpoint, encoders=True))


def refuse_encoder(spec: ModelSpec, revision: str | None = None) -> None:
    """Raise `ModelError` where a checkpoint is one of an encoder, which says nothing."""
    if names_encoder(spec, revision):
        raise ModelError(f"{spec.name} is an encoder: it answers no question; savs-harvest run keeps its embeddings")


def load_encoder(
    spec: ModelSpec, device: str = "auto", dtype: str | None = None, revision: str | None = None, local_rank: int = 0
) -> LoadedEncoder:
    """Load an encoder for inference, as `load_checkpoint` does a model that answers.

    Raises `ModelError` also for an adapter, for weights that are not in safetensors, and where embeddings have other
    widths than the configuration says.
    """
    if spec.adapter:
        raise ModelError(f"{spec.name} is an encoder: --adapter is for models that answer")
    if spec.site != HEADS:
        raise ModelError(f"--site {spec.site} is for models that answer: {spec.checkpoint} is an encoder")
    if spec.quantize:
        raise ModelError(f"{spec.name} is an encoder: --quantize is for models that answer")
    place, folder = place_of(device, local_rank), checkpoint_folder(spec, revision)
    _refuse_other_files(spec, folder)
    config = load_config(folder, spec.checkpoint, encoders=True)
    if find_quantization(spec, config):
        raise ModelError(f"{spec.checkpoint} is a quantised encoder: take the one it was made from")
    model = load_weights(spec, folder, config, torch_dtype_of(dtype or spec.dtype or own_dtype(spec, config)))
    model = model.to(place).eval()
    processor, remarks = read_encoder_processor(folder, config)
    identity = _identity(spec, folder, model, processor)
    loaded = LoadedEncoder(spec.name, model, processor, [], identity, folder, Family(), remarks)
    with loading(spec.checkpoint, "model", folder), torch.inference_mode():
        _check_widths(loaded)
    return loaded


def _refuse_other_files(spec: ModelSpec, folder: Path) -> None:
    if not any(folder.glob("*.safetensors")):
        raise ModelError(
            f"{spec.checkpoint} has no weights in safetensors, and no other files of weights are read: load it once "
            "with transformers, save model and processor with save_pretrained, and name that folder"
        )


def _check_widths(loaded: LoadedEncoder) -> None:
    """Raise `ModelError` where pictures of two sizes do not run together, or embeddings are not as wide as was said."""
    prepared = loaded.processor.pictures([sample_pictures(loaded.processor, size)[0] for size in SIZES])
    widths = [loaded.of_pictures(prepared).shape[-1]]
    if loaded.reads_texts:
        widths.append(loaded.of_texts([loaded.processor.tokens("yes")[0]]).shape[-1])
    expected = [width for _, heads, width, _ in loaded.layers for _ in range(heads)]
    if widths != expected:
        raise ModelError(f"{loaded.name}: its embeddings are {widths} wide, by its configuration {expected}")


def _identity(spec: ModelSpec, folder: Path, model: Any, processor: EncoderProcessor) -> dict[str, Any]:
    """Return every field that must be equal for two embeddings to be comparable."""
    pictures, tokenizer = processor.image_processor, processor.tokenizer
    features = "get_image_features, get_text_features" if tokenizer else "pooler_output"
    return {
        **model_identity(spec, folder, model),
        "heads": [list(layer) for layer in embedding_layers(model.config)],
        "hook": features,
        "tokenizer": text_hash(_tokenizer_text(tokenizer)) if tokenizer else None,
        **processor.describe(),
        "image_processor": json.loads(pictures.to_json_string()),
        "image_backend": type(pictures).__name__,
        "several_pictures": "mean of unit embeddings",
        "adapter": None,
    }


def _tokenizer_text(tokenizer: Any) -> str:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return backend.to_str() if backend else json.dumps(tokenizer.get_vocab(), sort_keys=True)


def _placed(tensor: Tensor, model: Any) -> Tensor:
    return tensor.to(model.device, model.dtype if tensor.is_floating_point() else None)
