"""What VQAScore asks (arXiv 2404.01291): whether a picture shows a caption, of every sample one or several."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from savs_benchmarks import Benchmark, Sample
from savs_harvest.asking.class_texts import CLASS

ASKED = 'Does this figure show "{caption}"? Please answer yes or no.'
YES, NO = "Yes", "No"
PLACE = re.compile(r"\{[a-z_]+\}")
# The ends of probabilities whose logarithms are kept.
LEAST = 1e-12


@dataclass(frozen=True)
class Captions:
    """The captions of samples: those of the classes of a task, or the one that a sample's yes-or-no question is about.

    `of_classes` has a caption for each class of a task; `of_samples` one for each sample of a task, and which of the
    task's two classes it is true of.
    """

    of_classes: Mapping[str, Sequence[str]]
    of_samples: Mapping[str, Mapping[str, str]]
    true_of: Mapping[str, int]

    def of(self, sample: Sample) -> Sequence[str]:
        if sample.task in self.of_classes:
            return self.of_classes[sample.task]
        return [self.of_samples[sample.task][sample.sample_id]]

    def logits(self, sample: Sample, shown: Float[np.ndarray, " caption"]) -> Float32[np.ndarray, " class"]:
        """Return the logarithm of each class's probability, from those that the picture shows each caption.

        Of one caption, the class that it is true of has its probability, the other one what is left.
        """
        if sample.task in self.of_classes:
            found = shown
        else:
            true_first = self.true_of[sample.task] == 0
            found = np.array([shown[0], 1 - shown[0]] if true_first else [1 - shown[0], shown[0]])
        return np.log(np.clip(found, LEAST, 1)).astype(np.float32)


def find_captions(benchmark: Benchmark, samples: Sequence[Sample], frame: str = CLASS) -> Captions:
    """Return the captions of a benchmark; `frame` makes one of a class's words, in the place of {class}.

    Classes that are answered by yes and no have none: there the question is about one, which stands in the only place
    of the benchmark's prompt. Raises ValueError where a task has neither, or no class at all.
    """
    if CLASS not in frame:
        raise ValueError(f"--caption {frame!r} lacks {CLASS}, where the name of a class goes")
    of_classes, of_samples, true_of = {}, {}, {}
    for task, classes in benchmark.tasks.items():
        words = [benchmark.answer(name).strip() for name in classes]
        if sorted(word.casefold() for word in words) == ["no", "yes"]:
            true_of[task] = [word.casefold() for word in words].index("yes")
            of_samples[task] = _asked_about(benchmark, [sample for sample in samples if sample.task == task])
        elif words and all(words) and not all(len(word.strip(" ().")) == 1 for word in words):
            of_classes[task] = [frame.replace(CLASS, word) for word in words]
        else:
            why = f"its classes have no names (first {classes[0]!r})" if classes else "no sample has a label"
            raise ValueError(
                f"{benchmark.name}: task {task!r} has no captions: {why}, and none is answered by yes and no"
            )
    return Captions(of_classes, of_samples, true_of)


def _asked_about(benchmark: Benchmark, samples: Sequence[Sample]) -> dict[str, str]:
    """Return what stands in the only place of the prompt, by sample."""
    places = PLACE.findall(benchmark.prompt)
    if len(places) != 1:
        raise ValueError(
            f"{benchmark.name} asks {benchmark.prompt!r}: a caption is what stands in the one {{place}} of a yes-or-no "
            f"question, this has {len(places)}"
        )
    before, after = map(re.escape, benchmark.prompt.split(places[0]))
    pattern = re.compile(f"{before}(.*){after}", re.DOTALL)
    found = {sample.sample_id: pattern.search(sample.question) for sample in samples}
    if lacking := [name for name, match in found.items() if match is None]:
        raise ValueError(f"{benchmark.name}: sample {lacking[0]} does not ask {benchmark.prompt!r}")
    captions = {name: match[1] for name, match in found.items() if match}
    if asking := [name for name, words in captions.items() if words.rstrip().endswith("?")]:
        raise ValueError(f"{benchmark.name}: sample {asking[0]} has a question, no caption: {captions[asking[0]]!r}")
    return captions
