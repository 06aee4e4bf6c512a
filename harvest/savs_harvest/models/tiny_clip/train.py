"""Train `tiny-clip` from nothing and write it as an ordinary checkpoint.

    python -m savs_harvest.models.tiny_clip.train            a few minutes on two cores
    python -m savs_harvest.models.tiny_clip.train --steps 50 --out /tmp/tiny-clip

Seeds are fixed; the digits of scikit-learn that no benchmark uses are the only pictures, those of `tiny`.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize
from transformers import CLIPConfig, CLIPModel

from savs_benchmarks.digits.digits import DIGIT_WORDS, benchmark_pictures, training_pictures
from savs_harvest.models.encoder_processors import EncoderProcessor
from savs_harvest.models.tiny.train import SHIFTS, Pictures
from savs_harvest.models.tiny_clip import CHECKPOINT
from savs_harvest.models.tiny_clip.corpus import caption
from savs_harvest.models.tiny_clip.processor import PICTURE_SIDE, POSITIONS, build_processor, save_processor

STEPS = 1500
BATCH = 100
PEAK_LEARNING_RATE = 1e-3
LARGEST_SCALE = math.log(100)
HIDDEN = {"hidden_size": 48, "intermediate_size": 128, "num_attention_heads": 4}


def build_model(processor: EncoderProcessor) -> CLIPModel:
    tokenizer = processor.tokenizer
    special = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos")}
    texts = {"vocab_size": len(tokenizer), "num_hidden_layers": 2, "max_position_embeddings": POSITIONS}
    pictures = {"num_hidden_layers": 3, "image_size": PICTURE_SIDE, "patch_size": 8}
    config = CLIPConfig(
        text_config={**HIDDEN, **texts, **special}, vision_config={**HIDDEN, **pictures}, projection_dim=32
    )
    return CLIPModel(config)


def contrastive_loss(logits: Tensor, digits: Tensor) -> Tensor:
    """Return the loss of pictures against captions, both ways: all captions of the same digit are right alike."""
    same = (digits[:, None] == digits).float()
    wanted = same / same.sum(1, keepdim=True)
    return (cross_entropy(logits, wanted) + cross_entropy(logits.T, wanted)) / 2


def tokens_of(processor: EncoderProcessor, texts: list[str]) -> dict[str, Tensor]:
    found = processor.tokenizer(texts, padding=True, truncation=True, max_length=POSITIONS, return_tensors="pt")
    return {name: found[name] for name in ("input_ids", "attention_mask")}


def held_out_accuracy(model: CLIPModel, processor: EncoderProcessor) -> float:
    """Return how often the nearest of ten training captions is right, about pictures never trained on."""
    texts = tokens_of(processor, [f"a picture of the digit {word}" for word in DIGIT_WORDS])
    model.eval()
    with torch.inference_mode():
        named = normalize(model.get_text_features(**texts).pooler_output, dim=-1)
        right = []
        for digit in range(10):
            shown = processor.pictures(benchmark_pictures("test", digit))
            found = normalize(model.get_image_features(**shown).pooler_output, dim=-1)
            right.append((found @ named.T).argmax(1) == digit)
    return float(torch.cat(right).float().mean())


def train(steps: int) -> tuple[CLIPModel, EncoderProcessor, float]:
    """Return (model, processor, held-out accuracy)."""
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    processor = build_processor()
    model = build_model(processor)
    pictures = Pictures(processor, [list(training_pictures(digit)) for digit in range(10)], SHIFTS)
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LEARNING_RATE, total_steps=steps, pct_start=0.15)
    started = time.monotonic()
    model.train()
    for step in range(1, steps + 1):
        digits = generator.integers(0, 10, size=BATCH).tolist()
        texts = tokens_of(processor, [caption(generator, digit) for digit in digits])
        shown = torch.cat([pictures.draw(digit, generator) for digit in digits])
        loss = contrastive_loss(model(pixel_values=shown, **texts).logits_per_image, torch.tensor(digits))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            model.logit_scale.clamp_(max=LARGEST_SCALE)
        if step % 100 == 0:
            seconds = time.monotonic() - started
            print(f"step {step}/{steps}  loss {loss:.3f}  {seconds:.0f} s", file=sys.stderr)
    return model, processor, held_out_accuracy(model, processor)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--out", type=Path, default=CHECKPOINT)
    arguments = parser.parse_args()
    model, processor, accuracy = train(arguments.steps)
    model.save_pretrained(arguments.out)
    save_processor(processor, arguments.out)
    weights = sum(parameter.numel() for parameter in model.parameters())
    print(f"{weights:,} weights, accuracy {accuracy:.3f} on held-out pictures, written to {arguments.out}")


if __name__ == "__main__":
    main()
