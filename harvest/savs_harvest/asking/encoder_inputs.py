"""Samples become the inputs of an encoder: their pictures, and their question as a text of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from savs_benchmarks import PictureError, load_picture
from savs_harvest.asking.preparing import Prepared, Question, Refused
from savs_harvest.models.checkpoints import load_config
from savs_harvest.models.encoder_processors import EncoderProcessor, read_encoder_processor
from savs_stores import Status

NO_PICTURE = "rejected: the encoder reads pictures only, and the sample shows none"


class EncoderPreparer:
    """Makes an encoder's inputs of questions. Travels to other processes as a folder's name, as `Preparer` does."""

    def __init__(self, folder: Path, dtype: torch.dtype, processor: EncoderProcessor | None = None) -> None:
        self.folder, self.dtype = folder, dtype
        self.processor = processor or read_encoder_processor(folder, load_config(folder, str(folder), True))[0]

    def __reduce__(self) -> tuple[Any, ...]:
        return EncoderPreparer, (self.folder, self.dtype)

    def inputs(self, question: Question) -> Prepared:
        """Return inputs of the pictures [picture, ...] and tokens [1, token] of the words, or why there are none."""
        try:
            pictures = [load_picture(picture) for picture in question.pictures]
            found = self.processor.pictures(pictures) if pictures else {}
            if self.processor.tokenizer is not None:
                found["input_ids"] = self.processor.tokens(question.words)
        except PictureError as error:
            return Refused(Status[error.code.upper()], f"{error.code}: {error}")
        except ValueError as error:
            return Refused(Status.REJECTED, f"rejected: {error}")
        if not found:
            return Refused(Status.REJECTED, NO_PICTURE)
        return {name: tensor.to(self.dtype) if tensor.is_floating_point() else tensor for name, tensor in found.items()}

    def length(self, question: Question, _sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
        """Return what a sample costs: a unit a picture, all of one size; one for words alone."""
        return max(1, len(question.pictures)), 0
