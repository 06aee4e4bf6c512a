"""What names a class to a model without a picture: one text a class (HEC-T, arXiv 2603.24181)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_lowercase

from savs_benchmarks import Benchmark, Sample

CLASS, QUESTION = "{class}", "{question}"
OF_PICTURES = f"You are given an image of a {CLASS}\n{QUESTION}"
OF_TEXTS = f"You are given a text about {CLASS}\n{QUESTION}"
# Classes of which these are all the names say what is answered, not what is seen.
NO_NAMES = {"yes", "no", "true", "false", "right", "wrong", *ascii_lowercase}


def check_class_prompt(prompt: str | None) -> None:
    """Raise ValueError where a prompt does not say which class it is of; "" stands for none at all."""
    if prompt and CLASS not in prompt:
        raise ValueError(
            f"--class-prompt {prompt!r} lacks {CLASS}, where the name of a class goes; {QUESTION} is what samples are "
            "asked, and '' makes no class vectors"
        )


def class_texts(
    benchmark: Benchmark, samples: Sequence[Sample], prompt: str | None = None
) -> dict[str, dict[str, str]]:
    """Return of every task the text of every class that has words; of a task with none, nothing.

    By default that of HEC, for the tasks whose classes have names; a prompt that is given is for all. Where samples of
    a task are asked different things, the question is left out.
    """
    found = {}
    for task, classes in benchmark.tasks.items():
        names = {name: benchmark.answer(name) for name in classes if benchmark.answer(name).strip()}
        if prompt == "" or not names or (prompt is None and _are_answers(names)):
            continue
        of_task = [sample for sample in samples if sample.task == task]
        usual = OF_PICTURES if any(sample.images for sample in of_task) else OF_TEXTS
        frame = _frame(usual if prompt is None else prompt, {sample.question for sample in of_task})
        found[task] = {name: frame.replace(CLASS, words) for name, words in names.items()}
    return found


def _are_answers(names: Mapping[str, str]) -> bool:
    return {word.strip(" ().").lower() for word in names.values()} <= NO_NAMES


def _frame(prompt: str, questions: set[str]) -> str:
    """Return a prompt with the one question that is asked, or without it where there are several."""
    return prompt.replace(QUESTION, questions.pop().strip() if len(questions) == 1 else "").strip()
