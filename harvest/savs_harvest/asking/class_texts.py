"""What names a class to a model without a picture: one text a class (HEC-T, arXiv 2603.24181)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from string import ascii_lowercase

from savs_benchmarks import Benchmark, Sample

CLASS, QUESTION = "{class}", "{question}"
OF_PICTURES = f"You are given an image of a {CLASS}\n{QUESTION}"
OF_TEXTS = f"You are given a text about {CLASS}\n{QUESTION}"
# Classes of which these are all the names say what is answered, not what is seen.
NO_NAMES = {"yes", "no", "true", "false", "right", "wrong", *ascii_lowercase}


def check_class_prompt(prompt: str | None, shots: int = 0) -> None:
    """Raise ValueError where a prompt does not say which class it is of, or is for samples with answered ones in front.

    "" stands for no class vectors at all.
    """
    if prompt and shots:
        raise ValueError("--class-prompt goes without --icl: no answered questions stand in front of a class")
    if prompt and CLASS not in prompt:
        raise ValueError(
            f"--class-prompt {prompt!r} lacks {CLASS}, where the name of a class goes; {QUESTION} is what samples are "
            "asked, and '' makes no class vectors"
        )


def class_texts(
    benchmark: Benchmark, samples: Sequence[Sample], prompt: str | None = None, usual: str | None = None
) -> dict[str, dict[str, str]]:
    """Return of every task the text of every class that has words; of a task with none, nothing.

    By default the `usual` one, that of HEC where none is told, for the tasks whose classes have names; a prompt that is
    given is for all. Where samples of a task are asked different things, the question is left out.
    """
    found = {}
    for task, classes in benchmark.tasks.items():
        names = {name: benchmark.answer(name) for name in classes if benchmark.answer(name).strip()}
        if prompt == "" or not names or (prompt is None and _are_answers(names)):
            continue
        of_task = [sample for sample in samples if sample.task == task]
        of_hec = OF_PICTURES if any(sample.images for sample in of_task) else OF_TEXTS
        questions = {sample.question.strip() for sample in of_task}
        asked = questions.pop() if len(questions) == 1 else ""
        frame = (usual or of_hec) if prompt is None else prompt
        found[task] = {name: _filled(frame, {CLASS: words, QUESTION: asked}) for name, words in names.items()}
    return found


def _are_answers(names: Mapping[str, str]) -> bool:
    return {word.strip(" ().").lower() for word in names.values()} <= NO_NAMES


def _filled(prompt: str, words: Mapping[str, str]) -> str:
    """Return a prompt with words in their places; braces in the words are words."""
    return re.sub("|".join(map(re.escape, words)), lambda found: words[found[0]], prompt).strip()
