"""Processors that need no torchvision: everything of a processor but its video part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import transformers
from transformers import AutoConfig, AutoImageProcessor, ProcessorMixin
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES
from transformers.utils import cached_file

PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json")


def image_only(processor_class: type[ProcessorMixin]) -> type[ProcessorMixin]:
    """Return the class without its video processor, which torchvision alone can build.

    The name stays, for it is written into saved checkpoints; `__init__` stays, for transformers
    reads its signature to decide which saved values to pass.
    """
    kept = [name for name in processor_class.get_attributes() if name != "video_processor"]
    return type(
        processor_class.__name__,
        (processor_class,),
        {"get_attributes": classmethod(lambda _: list(kept)), "__module__": processor_class.__module__},
    )


def processor_class(checkpoint: str | Path, revision: str | None = None) -> type[ProcessorMixin]:
    """Return the processor class that a checkpoint names, or that its model type implies."""
    for file_name in PROCESSOR_FILES:
        found = cached_file(checkpoint, file_name, revision=revision, _raise_exceptions_for_missing_entries=False)
        if found and (name := json.loads(Path(found).read_text()).get("processor_class")):
            return getattr(transformers, name)
    config = AutoConfig.from_pretrained(checkpoint, revision=revision)
    return getattr(transformers, PROCESSOR_MAPPING_NAMES[config.model_type])


def load_processor(checkpoint: str | Path, revision: str | None = None) -> Any:
    """Return a checkpoint's processor for text and images, its pictures always prepared by Pillow.

    Pillow is pinned because transformers switches to torchvision where it finds it, and the two
    resize differently: the same command would fill different stores on different machines.
    """
    processor = image_only(processor_class(checkpoint, revision)).from_pretrained(checkpoint, revision=revision)
    processor.image_processor = AutoImageProcessor.from_pretrained(checkpoint, revision=revision, backend="pil")
    processor.tokenizer.padding_side = "right"
    return processor
