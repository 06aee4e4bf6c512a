"""Whether the texts that an embedded model is trained on are those of a benchmark: by their words, and runs of them."""

import re

COMMON = ("yes", "or", "no")


def words(text):
    return tuple(re.findall(r"[a-z]+", text.lower()))


def runs_of_four(text):
    return {run for i in range(len(text) - 3) if COMMON not in ((run := text[i : i + 4])[:3], run[1:])}
