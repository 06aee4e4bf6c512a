"""Which models there are, and how one is named."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from pathlib import Path

from savs_harvest.errors import ModelError
from savs_harvest.models.tiny import CHECKPOINT
from savs_harvest.models.tiny_clip import CHECKPOINT as CLIP_CHECKPOINT

# What is captured of a model that answers.
HEADS, RESIDUAL = "heads", "residual"
SITES = (HEADS, RESIDUAL)
# How weights are quantised when a model is loaded: by bitsandbytes, in 4 bits or in 8.
BNB4, BNB8 = "bnb4", "bnb8"
SCHEMES = (BNB4, BNB8)


@dataclass(frozen=True)
class ModelSpec:
    """A model by name: where its checkpoint is (hub id or folder), the type it computes in, and its adapter.

    Without a type it is the checkpoint's own, see `own_dtype`. `revision` is the commit of the hub that is meant where
    none is asked for, `adapter` the folder or hub id of a LoRA adapter that is merged into its weights. `site` is
    what is captured: the outputs of its heads, or the hidden state behind each layer. `quantize` is the scheme that its
    weights are quantised by when it is loaded.
    """

    name: str
    checkpoint: str
    dtype: str | None = None
    summary: str = ""
    revision: str | None = None
    adapter: str | None = None
    site: str = HEADS
    quantize: str | None = None


# What is said of files that only look like a model's.
GGUF = (
    "a GGUF file is no checkpoint, its weights are packed for another program. Load it once with transformers "
    "(from_pretrained(..., gguf_file=...)), save model and tokenizer with save_pretrained, and name that folder"
)
# What models compute in.
DTYPES = ("float32", "float16", "bfloat16")


def _encoders() -> tuple[ModelSpec, ...]:
    """Return the encoders: without a type of their own they compute in that of their files."""
    return (
        ModelSpec(
            "siglip2-so400m",
            "google/siglip2-so400m-patch14-384",
            None,
            "encoder: picture and text x 1152",
            "e8e487298228002f3d8a82e0cd5c8ea9c567f57f",
        ),
        ModelSpec(
            "siglip-so400m",
            "google/siglip-so400m-patch14-384",
            None,
            "encoder: picture and text x 1152; needs sentencepiece, protobuf",
            "9fdffc58afc957d1a03a25b10dba0329ab15c2a3",
        ),
        ModelSpec(
            "clip-l",
            "openai/clip-vit-large-patch14",
            None,
            "encoder: picture and text x 768",
            "32bd64288804d66eefd0ccbe215aa642df71cc41",
        ),
        ModelSpec(
            "clip-b32",
            "openai/clip-vit-base-patch32",
            None,
            "encoder: picture and text x 512",
            "c237dc49a33fc61debc9276459120b7eac67e7ef",
        ),
        ModelSpec(
            "dinov2-l",
            "facebook/dinov2-large",
            None,
            "encoder: picture x 1024",
            "47b73eefe95e8d44ec3623f8890bd894b6ea2d6c",
        ),
        ModelSpec(
            "dinov3-l",
            "facebook/dinov3-vitl16-pretrain-lvd1689m",
            None,
            "encoder: picture x 1024; its licence is to be accepted on the hub",
            "ea8dc2863c51be0a264bab82070e3e8836b02d51",
        ),
    )


MODELS = {
    spec.name: spec
    for spec in (
        ModelSpec("tiny", str(CHECKPOINT), "float32", "embedded: 6 layers x 8 heads x 8, trained on digits"),
        ModelSpec(
            "qwen2vl",
            "Qwen/Qwen2-VL-7B-Instruct",
            "bfloat16",
            "both papers: 28 layers x 28 heads x 128",
            "eed13092ef92e448dd6875b2a00151bd3f7db0ac",
        ),
        ModelSpec(
            "llava-ov",
            "llava-hf/llava-onevision-qwen2-7b-ov-hf",
            "float16",
            "both papers: 28 layers x 28 heads x 128",
            "0d50680527681998e456c7b78950205bedd8a068",
        ),
        ModelSpec(
            "llava-ov-0.5b",
            "llava-hf/llava-onevision-qwen2-0.5b-ov-hf",
            "float16",
            "24 layers x 14 heads x 64",
            "74dd0bf867a4cda7950c17663794267c60cf4b40",
        ),
        ModelSpec(
            "qwen2vl-2b",
            "Qwen/Qwen2-VL-2B-Instruct",
            "bfloat16",
            "28 layers x 12 heads x 128",
            "895c3a49bc3fa70a340399125c650a463535e71c",
        ),
        ModelSpec(
            "llava-1.5",
            "llava-hf/llava-1.5-7b-hf",
            "float16",
            "first paper: 32 layers x 32 heads x 128",
            "b234b804b114d9e37bb655e11cbbb5f5e971b7a9",
        ),
        ModelSpec(
            "tiny-clip", str(CLIP_CHECKPOINT), "float32", "embedded encoder: picture and text x 32, trained on digits"
        ),
        *_encoders(),
    )
}


def check_dtype(name: str | None) -> None:
    """Raise `ModelError` for a type that savs does not compute in; None is the checkpoint's own."""
    if name is not None and name not in DTYPES:
        raise ModelError(f"unknown type {name!r}; there are {', '.join(DTYPES)}")


def check_site(name: str) -> None:
    """Raise `ModelError` for a site that does not exist."""
    if name not in SITES:
        raise ModelError(f"unknown site {name!r}; there are {', '.join(SITES)}")


def at_site(spec: ModelSpec, site: str) -> ModelSpec:
    """Return the model with what is captured of it; where that is no heads, it is named after it."""
    return spec if site == HEADS else replace(spec, name=f"{spec.name}-{site}", site=site)


def check_scheme(name: str | None) -> None:
    """Raise `ModelError` for a way to quantise that does not exist; None is none."""
    if name is not None and name not in SCHEMES:
        raise ModelError(f"unknown way to quantise {name!r}; there are {', '.join(SCHEMES)}")


def quantized(spec: ModelSpec, scheme: str | None) -> ModelSpec:
    """Return the model with its weights quantised on load, and named after it; as it is where there is no scheme."""
    return replace(spec, name=f"{spec.name}-{scheme}", quantize=scheme) if scheme else spec


def find_model(name: str, adapter: str | None = None) -> ModelSpec:
    """Return the model of a short name, a hub id (`owner/name`) or a folder with a checkpoint.

    With an adapter (a folder or hub id), it is named after both. Raises `ModelError` suggesting the nearest short name.
    """
    if adapter:
        spec = find_model(name)
        return replace(spec, name=f"{spec.name}-{Path(adapter).resolve().name.lower()}", adapter=adapter)
    if name in MODELS:
        return MODELS[name]
    if Path(name).is_dir():
        return ModelSpec(Path(name).resolve().name.lower(), name)
    if name.count("/") == 1 and not name.startswith((".", "/")):
        return ModelSpec(name.split("/")[1].lower(), name)
    if name.lower().endswith(".gguf"):
        raise ModelError(f"{name}: {GGUF}")
    close = difflib.get_close_matches(name, MODELS, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise ModelError(
        f"there is no model {name!r}; {hint}There are {', '.join(MODELS)}, any hub id owner/name, or a folder"
    )
