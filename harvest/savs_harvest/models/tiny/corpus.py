"""What `tiny` is trained on: questions about pictures of digits, none of them a benchmark's question."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from savs_benchmarks.digits.digits import DIGIT_WORDS

YES_NO = ("no", "yes")

# Words that occur in questions of any kind. They are sprinkled between the words of training questions,
# so that a question in other words than the trained ones is not a run of unknown tokens.
FILLER = (
    "a about all and another answer any are as at be by can carefully choices choose claim claimed contain "
    "contains correct correctly data describe do does false find first following for from given hallucinated "
    "hallucination hand here image images in into it its just kind label larger least less letter look made "
    "many more most mostly not now number object of on one only option options or other out photo photos "
    "please point print question read really right same see seen select shape single small smaller some "
    "statement symbol tell that the their there these they thing third this those to true two type using value "
    "wants was what where which whole why will with word words written wrong you "
).split()
LETTERS = ("a", "b", "c", "d")


@dataclass(frozen=True)
class Exchange:
    """One training example: digits to show, the question, the answer."""

    digits: tuple[int, ...]
    question: str
    answer: str


def _name(digits: list[int], generator: np.random.Generator) -> tuple[str, str]:
    wording = ("which digit is this ?", "name the digit .", "say what you see .", "describe the picture .")
    return str(generator.choice(wording)), DIGIT_WORDS[digits[0]]


def _match(digits: list[int], generator: np.random.Generator) -> tuple[str, str]:
    wording = (
        "is this a {} ?",
        "does the picture show a {} ?",
        "is {} the digit in the picture ?",
        "{} ? yes or no .",
        "it is a {} , true ?",
        "the digit is {} . do you agree ?",
    )
    true = generator.random() < 0.5
    named = digits[0] if true else (digits[0] + int(generator.integers(1, 10))) % 10
    return str(generator.choice(wording)).format(DIGIT_WORDS[named]), YES_NO[true]


def _parity(digits: list[int], generator: np.random.Generator) -> tuple[str, str]:
    return "is the digit odd or even ?", ("even", "odd")[digits[0] % 2]


def _name_each(digits: list[int], generator: np.random.Generator) -> tuple[str, str]:
    return "name every digit .", " ".join(DIGIT_WORDS[digit] for digit in digits)


def _name_at(digits: list[int], generator: np.random.Generator) -> tuple[str, str]:
    place = int(generator.integers(len(digits)))
    return f"name the {('first', 'second', 'third')[place]} digit .", DIGIT_WORDS[digits[place]]


def _equal(digits: list[int], generator: np.random.Generator) -> tuple[str, str]:
    if generator.random() < 0.5:
        digits[1] = digits[0]
    return "are both digits equal ?", YES_NO[digits[0] == digits[1]]


# (question maker, number of pictures, share of the corpus). Reading digits is learnt first, comparing later.
FIRST_KINDS = ((_name, 1, 0.6), (_match, 1, 0.4))
KINDS = (
    (_name, 1, 0.20),
    (_match, 1, 0.45),
    (_parity, 1, 0.10),
    (_name_each, 2, 0.08),
    (_name_each, 3, 0.04),
    (_name_at, 2, 0.08),
    (_equal, 2, 0.05),
)
MOST_FILLER = 8


def _sprinkle(question: str, generator: np.random.Generator) -> str:
    words = question.split()
    for _ in range(int(generator.integers(0, MOST_FILLER + 1))):
        words.insert(int(generator.integers(len(words))), str(generator.choice(FILLER)))
    return " ".join(words)


def exchange(generator: np.random.Generator, kinds: tuple = KINDS) -> Exchange:
    """Return one random training example; the generator decides everything."""
    make, pictures, _ = kinds[int(generator.choice(len(kinds), p=[share for _, _, share in kinds]))]
    digits = generator.integers(0, 10, size=pictures).tolist()
    question, answer = make(digits, generator)
    return Exchange(tuple(digits), _sprinkle(question, generator), answer)


def vocabulary() -> list[str]:
    """Return every word the model knows, sorted."""
    generator = np.random.default_rng(0)
    words = {word for _ in range(3000) for e in [exchange(generator)] for word in (e.question + " " + e.answer).split()}
    roles = ("system", "user", "assistant", "you", "are", "helpful")
    return sorted(words | set(FILLER) | set(LETTERS) | set(DIGIT_WORDS) | set(roles) | set(".,:;?!()'\"|-"))
