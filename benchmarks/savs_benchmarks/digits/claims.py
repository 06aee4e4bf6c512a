"""Claims about handwritten digits: is the claim about the picture hallucinated? (The shape of MHaluBench.)

Source and licence: see `digits`. Every picture carries one claim, every second claim is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator

from savs_benchmarks.digits.digits import DIGIT_WORDS, LICENCE, REVISION, SOURCE, benchmark_digits
from savs_benchmarks.sample import DEFAULT_TASK, Benchmark, Sample

PROMPT = "Claim: the photo contains number {claimed}. Is the claim hallucinated? Answer the question with yes or no."


def samples() -> Iterator[Sample]:
    for split, digit, index, picture in benchmark_digits():
        wrong = index % 2
        # Successive wrong claims about a digit run through the nine other digits.
        claimed = (digit + wrong * (1 + index // 2 % 9)) % 10
        yield Sample(
            sample_id=f"{split}-{DIGIT_WORDS[digit]}-{index}",
            images=(picture,),
            question=PROMPT.format(claimed=DIGIT_WORDS[claimed]),
            label="hallucination" if wrong else "non-hallucination",
            split=split,
        )


BENCHMARK = Benchmark(
    name="digits-claims",
    summary="is a claim about a picture of a digit hallucinated",
    source=SOURCE,
    revision=REVISION,
    licence=LICENCE,
    metric="accuracy",
    tasks={DEFAULT_TASK: ("hallucination", "non-hallucination")},
    prompt=PROMPT,
    samples=samples,
    answers={"hallucination": "yes", "non-hallucination": "no"},
    varying=(DEFAULT_TASK,),
)
