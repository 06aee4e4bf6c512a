"""Processors that need no torchvision: everything of a processor but its video and audio parts."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import AutoConfig, AutoImageProcessor, AutoTokenizer, ProcessorMixin
from transformers.models.auto.configuration_auto import model_type_to_module_name
from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES
from transformers.utils import cached_file, is_num2words_available, is_torchvision_available
from transformers.utils.chat_template_utils import encode_marked_chat

from savs_harvest.errors import ModelError
from savs_harvest.models.checkpoints import loading
from savs_harvest.models.documented import DOCUMENTED
from savs_harvest.models.kinds import answering, reads_pictures

# How a language model is asked whose tokenizer has no chat template: a base model, that goes on with what it reads.
PLAIN_PROMPT = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}{{ ' ' + message['content'] + '\\n\\n' }}"
    "{% else %}{{ message['content'] + '\\nAnswer:' }}{% endif %}{% endfor %}"
)
NO_TEMPLATE = "its tokenizer has no chat template: a prompt is the question, a new line and 'Answer:'"
PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json")


# Parts of a processor that pictures and text do not need, and that need packages of their own.
NOT_READ = ("video_processor", "feature_extractor")


class NoVideo:
    """Stands where a chat template asks how to sample the frames of a video: there is none."""

    def __getattr__(self, name: str) -> None:
        """Return None for any setting: what a processor keeps of it is read for videos only."""
        if name.startswith("_"):  # Python's own questions, as those of copies
            raise AttributeError(name)


def image_only(processor_class: type[ProcessorMixin]) -> type[ProcessorMixin]:
    """Return the class without its video processor, which torchvision alone can build, and without audio.

    The name stays, for it is written into saved checkpoints; `__init__` stays, for transformers
    reads its signature to decide which saved values to pass.
    """
    names = list(processor_class.get_attributes())
    kept = [name for name in names if name not in NOT_READ]

    class Parts(ProcessorMixin):
        """Stands behind the class, which hands on all parts by their place or name: drops those that are not read."""

        def __init__(self, *parts: Any, **named: Any) -> None:
            given = dict(zip(names, parts, strict=False)) | named
            super().__init__(**{name: part for name, part in given.items() if name not in NOT_READ})

    def load_parts(cls: Any, *arguments: Any, **options: Any) -> list[Any]:
        found = processor_class._get_arguments_from_pretrained.__func__(cls, *arguments, **options)
        return [dict(zip(kept, found, strict=True)).get(name) for name in names]

    members = {
        "get_attributes": classmethod(lambda _: list(kept)),
        "_get_arguments_from_pretrained": classmethod(load_parts),
        "video_processor": NoVideo(),
        "__module__": processor_class.__module__,
    }
    return type(processor_class.__name__, (processor_class, Parts), members)


def family_processor(family: str) -> type[ProcessorMixin]:
    """Return the processor class of a model type, for text and images. Raises KeyError where it has none."""
    return image_only(_class_named(PROCESSOR_MAPPING_NAMES[family]))


def checkpoint_processor(checkpoint: str | Path, revision: str | None = None) -> type[ProcessorMixin]:
    """Return the processor class that a checkpoint names, or that its model type implies, for text and images."""
    for file_name in PROCESSOR_FILES:
        found = cached_file(checkpoint, file_name, revision=revision, _raise_exceptions_for_missing_entries=False)
        if found and (name := json.loads(Path(found).read_text(encoding="utf-8")).get("processor_class")):
            return image_only(_class_named(name))
    return family_processor(
        AutoConfig.from_pretrained(checkpoint, revision=revision, trust_remote_code=False).model_type
    )


def _class_named(name: str) -> type[ProcessorMixin]:
    """Return a processor class of transformers, also one that transformers hides where torchvision is missing."""
    found = getattr(transformers, name, None)
    if found is not None and not getattr(found, "is_dummy", False):
        return _without_number_words(found)
    family = next((family for family, processor in PROCESSOR_MAPPING_NAMES.items() if processor == name), None)
    if family is None:
        raise ValueError(f"transformers {transformers.__version__} has no processor {name!r}")
    folder = f"transformers.models.{model_type_to_module_name(family)}"
    if not is_torchvision_available():  # one helper is imported from it, and is the same in the module beside it
        torchvision_module = f"{folder}.image_processing_{family}"
        sys.modules.setdefault(torchvision_module, import_module(f"{folder}.image_processing_pil_{family}"))
    return getattr(import_module(f"{folder}.processing_{family}"), name)


def _without_number_words(found: type[ProcessorMixin]) -> type[ProcessorMixin]:
    """Let a class be made without num2words, with which it would only spell out the length of videos."""
    module = sys.modules[found.__module__]
    if not is_num2words_available() and getattr(module, "num2words", found) is None:
        module.num2words = str  # type: ignore[attr-defined]
    return found


def load_processor(checkpoint: str | Path, revision: str | None = None) -> Any:
    """Return a checkpoint's processor for text and images, see `read_processor`."""
    return read_processor(checkpoint, revision)[0]


def read_processor(checkpoint: str | Path, revision: str | None = None) -> tuple[Any, tuple[str, ...]]:
    """Return a checkpoint's processor for text and images, or for text alone, and what was changed of it, in words.

    Its pictures are always prepared by Pillow, its prompts are never cut.

    Pillow is pinned because transformers switches to torchvision where it finds it, and the two
    resize differently: the same command would fill different stores on different machines.
    """
    options = {"revision": revision, "trust_remote_code": False}
    with loading(checkpoint, "processor"):
        config = answering(AutoConfig.from_pretrained(checkpoint, **options))
        processor: Any
        if _reads_pictures(checkpoint, config):
            with _torchvision_named(checkpoint, config):
                processor = checkpoint_processor(checkpoint, revision).from_pretrained(checkpoint, **options)
                processor.image_processor = AutoImageProcessor.from_pretrained(checkpoint, backend="pil", **options)
            without_template = _as_documented(processor, config)
        else:
            processor = _words_processor(checkpoint, options)
            without_template = (NO_TEMPLATE,) if processor.chat_template == PLAIN_PROMPT else ()
        processor.tokenizer.padding_side = "right"
        file = cached_file(checkpoint, "tokenizer.json", revision=revision, _raise_exceptions_for_missing_entries=False)
        return processor, (*_keep_prompts_whole(processor.tokenizer, file), *without_template)


@contextmanager
def _torchvision_named(checkpoint: str | Path, config: Any) -> Iterator[None]:
    """Let what fails inside the block be said in words where transformers prepares a family's pictures with it only."""
    try:
        yield
    except Exception as error:
        backends = IMAGE_PROCESSOR_MAPPING_NAMES.get(config.model_type, {"pil": None})
        if "pil" in backends or is_torchvision_available():
            raise
        raise ModelError(
            f"{checkpoint}: pictures of a {config.model_type} are prepared by torchvision only: pip install "
            f"torchvision, of the version that belongs to torch {torch.__version__}"
        ) from error


def _as_documented(processor: Any, config: Any) -> tuple[str, ...]:
    """Give a processor without a chat template the prompt of its family's documentation, if any; say so."""
    documented = DOCUMENTED.get(config.model_type)
    if documented is None or processor.chat_template or processor.tokenizer.chat_template:
        return ()
    processor.chat_template = documented.template
    return (documented.remark,)


def _reads_pictures(checkpoint: str | Path, config: Any) -> bool:
    try:
        return reads_pictures(config)
    except ModelError as error:
        raise ModelError(f"{checkpoint} is {error}") from None


class WordsProcessor:
    """Stands for a processor where a model reads words alone: its tokenizer, and a template where that has none."""

    image_processor = None

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.chat_template = tokenizer.chat_template or PLAIN_PROMPT

    def __call__(self, text: Sequence[str], images: Any = None, **_: Any) -> dict[str, Tensor]:
        """Return the tokens of one prompt; marked control tokens are read as words."""
        [one] = text
        ids = torch.tensor([encode_marked_chat(self.tokenizer, one)])
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def _words_processor(checkpoint: str | Path, options: Mapping[str, Any]) -> WordsProcessor:
    tokenizer = AutoTokenizer.from_pretrained(checkpoint, **options)
    if not hasattr(tokenizer, "backend_tokenizer"):
        raise ModelError(
            f"{checkpoint}: its tokenizer, a {type(tokenizer).__name__}, is none of the tokenizers library"
        )
    return WordsProcessor(tokenizer)


def _keep_prompts_whole(tokenizer: Any, file: str | None) -> tuple[str, ...]:
    """Switch off what a tokenizer's file cuts or pads prompts to, often left from training; say what that was.

    It is read from the file: some tokenizers have lost it on the way, others have not.
    """
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    left = json.loads(Path(file).read_text(encoding="utf-8")) if file else {}
    told = []
    if cut := left.get("truncation"):
        told.append(f"tokenizer.json cuts prompts to {cut.get('max_length')} tokens: switched off")
    if left.get("padding"):
        told.append("tokenizer.json pads prompts: switched off")
    return tuple(told)
