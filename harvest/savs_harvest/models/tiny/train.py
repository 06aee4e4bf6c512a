"""Train `tiny` from nothing and write it as an ordinary checkpoint.

    python -m savs_harvest.models.tiny.train            about eight minutes on two cores
    python -m savs_harvest.models.tiny.train --steps 50 --out /tmp/tiny

Seeds are fixed; the digits of scikit-learn that no benchmark uses are the only pictures.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageChops
from torch.nn.functional import cross_entropy
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

from savs_benchmarks.digits.digits import benchmark_digits, training_pictures
from savs_harvest.models.tiny import CHECKPOINT
from savs_harvest.models.tiny.corpus import FIRST_KINDS, KINDS, Exchange, exchange
from savs_harvest.models.tiny.processor import IMAGE_TOKENS, MERGE_SIZE, PATCH_SIZE, build_processor

STEPS = 1800
BATCH = 64
FIRST_PHASE = 0.25
PEAK_LEARNING_RATE = 1e-3
WEIGHT_SCALE, EMBEDDING_SCALE = 0.1, 0.05
SHIFTS = [(x, y) for x in (-3, 0, 3) for y in (-3, 0, 3)]
HELD_OUT = 1000
IGNORED = -100


def build_model(processor: Any) -> Qwen2VLForConditionalGeneration:
    token = processor.tokenizer.convert_tokens_to_ids
    config = Qwen2VLConfig(
        text_config={
            "vocab_size": len(processor.tokenizer),
            "hidden_size": 64,
            "intermediate_size": 160,
            "num_hidden_layers": 6,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "max_position_embeddings": 1024,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]},
            "bos_token_id": None,
            "eos_token_id": token("<|im_end|>"),
            "pad_token_id": token("<|endoftext|>"),
            "tie_word_embeddings": True,
        },
        vision_config={
            "depth": 2,
            "embed_dim": 48,
            "hidden_size": 64,
            "num_heads": 4,
            "mlp_ratio": 2,
            "patch_size": PATCH_SIZE,
            "spatial_merge_size": MERGE_SIZE,
            "temporal_patch_size": 2,
        },
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=True,
    )
    model = Qwen2VLForConditionalGeneration(config)
    # transformers' 0.02 suits layers fifty times as wide; here pictures would drown in the prompt's words.
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=EMBEDDING_SCALE if "embed_tokens" in name else WEIGHT_SCALE)
    return model


class Pictures:
    """Pixel values of every picture at every shift, prepared once: [digit][picture][shift]."""

    def __init__(self, processor: Any, pictures: list[list[Image.Image]], shifts: list[tuple[int, int]]) -> None:
        prepare = processor.image_processor
        self.pixels = [
            [[self._pixels(prepare, ImageChops.offset(picture, x, y)) for x, y in shifts] for picture in of_digit]
            for of_digit in pictures
        ]

    @staticmethod
    def _pixels(prepare: Any, picture: Image.Image) -> torch.Tensor:
        return prepare(images=[picture], return_tensors="pt")["pixel_values"]

    def draw(self, digit: int, generator: np.random.Generator) -> torch.Tensor:
        versions = self.pixels[digit][int(generator.integers(len(self.pixels[digit])))]
        return versions[int(generator.integers(len(versions)))]


def batch(
    processor: Any, exchanges: list[Exchange], pictures: Pictures, generator: np.random.Generator
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Return model inputs and labels [sample, token]; only answers and their end are learnt."""
    tokenizer = processor.tokenizer
    picture = f"<|vision_start|>{'<|image_pad|>' * IMAGE_TOKENS}<|vision_end|>"
    prompts = [
        f"<|im_start|>user\n{picture * len(e.digits)}{e.question}<|im_end|>\n<|im_start|>assistant\n" for e in exchanges
    ]
    texts = [f"{prompt}{e.answer}<|im_end|>" for prompt, e in zip(prompts, exchanges, strict=True)]
    encoded = tokenizer(texts, padding=True, return_tensors="pt")
    labels = encoded["input_ids"].masked_fill(encoded["attention_mask"] == 0, IGNORED)
    for row, prompt in enumerate(prompts):
        labels[row, : len(tokenizer(prompt)["input_ids"])] = IGNORED
    pixels = [pictures.draw(digit, generator) for e in exchanges for digit in e.digits]
    side = pixels[0].shape[0]
    inputs = {
        "input_ids": encoded["input_ids"],
        "attention_mask": encoded["attention_mask"],
        "mm_token_type_ids": (encoded["input_ids"] == tokenizer.convert_tokens_to_ids("<|image_pad|>")).int(),
        "pixel_values": torch.cat(pixels),
        "image_grid_thw": torch.tensor([[1, int(side**0.5), int(side**0.5)]] * len(pixels)),
    }
    return inputs, labels


def next_word_loss(model: Qwen2VLForConditionalGeneration, inputs: dict, labels: torch.Tensor) -> tuple:
    """Return (mean loss over answers, share of their words predicted right, the end of an answer not counted)."""
    logits = model(**inputs, use_cache=False).logits[:, :-1]
    wanted = labels[:, 1:]
    loss = cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=IGNORED)
    learnt = (wanted != IGNORED) & (wanted != model.config.text_config.eos_token_id)
    return loss, (logits.argmax(-1)[learnt] == wanted[learnt]).float().mean()


def held_out_accuracy(model: Qwen2VLForConditionalGeneration, processor: Any, pictures: Pictures) -> float:
    """Return next-word accuracy on the training questions about pictures never trained on."""
    generator = np.random.default_rng(1)
    inputs, labels = batch(processor, [exchange(generator) for _ in range(HELD_OUT)], pictures, generator)
    model.eval()
    with torch.inference_mode():
        return float(next_word_loss(model, inputs, labels)[1])


def train(steps: int) -> tuple[Qwen2VLForConditionalGeneration, Any, float]:
    """Return (model, processor, held-out next-word accuracy)."""
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    processor = build_processor()
    model = build_model(processor)
    pictures = Pictures(processor, [list(training_pictures(digit)) for digit in range(10)], SHIFTS)
    unseen: list[list[Image.Image]] = [[] for _ in range(10)]
    for split, digit, _, picture in benchmark_digits():
        if split == "test":
            unseen[digit].append(picture)
    held_out = Pictures(processor, unseen, [(0, 0)])
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LEARNING_RATE, total_steps=steps, pct_start=0.15)
    started = time.monotonic()
    for step in range(1, steps + 1):
        model.train()
        kinds = FIRST_KINDS if step < FIRST_PHASE * steps else KINDS
        inputs, labels = batch(processor, [exchange(generator, kinds) for _ in range(BATCH)], pictures, generator)
        loss, accuracy = next_word_loss(model, inputs, labels)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            seconds = time.monotonic() - started
            print(f"step {step}/{steps}  loss {loss:.3f}  accuracy {accuracy:.2f}  {seconds:.0f} s", file=sys.stderr)
    return model, processor, held_out_accuracy(model, processor, held_out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--out", type=Path, default=CHECKPOINT)
    arguments = parser.parse_args()
    model, processor, accuracy = train(arguments.steps)
    model.save_pretrained(arguments.out)
    processor.save_pretrained(arguments.out)
    weights = sum(parameter.numel() for parameter in model.parameters())
    print(f"{weights:,} weights, next-word accuracy {accuracy:.3f} on held-out pictures, written to {arguments.out}")


if __name__ == "__main__":
    main()
