"""What a header says besides its voters, looked at once: whoever shows it need not ask again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from savs_analyze.classifier.errors import ClassifierError

Check = Callable[[Any], bool]
# Far more than any number here counts, and no more than a float holds.
MOST = 2**53


def _word(value: Any) -> bool:
    return isinstance(value, str)


def _truth(value: Any) -> bool:
    return isinstance(value, bool)


def _object(value: Any) -> bool:
    return isinstance(value, dict)


def _number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < MOST


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value < MOST


def _share(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1


def _maybe(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _list(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _pair(first: Check, second: Check) -> Check:
    return lambda value: isinstance(value, list) and len(value) == 2 and first(value[0]) and second(value[1])


# What each object of the header may hold; whatever else is there, nobody reads.
MAY: dict[str, dict[str, Check]] = {
    "model": {
        **{"name": _word, "fingerprint": _word, "identity": _object, "files": _object},
        **{"layers": _count, "heads": _word, "licence": _maybe(_word)},
    },
    "data": {
        **dict.fromkeys(("benchmark", "source", "licence", "index_hash"), _maybe(_word)),
        **{"answers": _object, "samples": _list(_count), "kept_for_tests": _count},
    },
    "recipe": {
        **{"asked": _word, "chosen": _object, "column": _word, "by_fold": _list(_word), "among": _list(_word)},
        **{"budget": _share, "seed": _number},
    },
    "estimate": {"layers": _list(_pair(_count, _share)), "partitions": _count},
}
# What an estimate must hold, but for one that is empty.
MUST: dict[str, Check] = {
    **dict.fromkeys(("accuracy", "balanced", "chance", "calibration_error"), _share),
    **{"interval": _pair(_share, _share), "zero_shot": _maybe(_share), "log_loss": _number, "brier": _number},
    **{"by_class": _list(_share), "counts": _list(_count), "recipes": _list(_share)},
    **{"nested": _truth, "folds": _count, "clusters": _count, "gain": _maybe(_number)},
    **{"curve": _list(_pair(_count, _share)), "answered": _list(_pair(_share, _share))},
}
BY_CLASS = ("by_class", "counts")


def check_said(header: Mapping[str, Any]) -> None:
    """Raise `ClassifierError` naming the first field whose value is of another kind than the format says."""
    for part, fields in MAY.items():
        _check(part, header[part], fields)
    if wrong := [name for name, value in header["software"].items() if not _word(value)]:
        raise ClassifierError(f"the field {'software.' + wrong[0][:40]!r} of its header is no word")
    estimate = header["estimate"]
    if not estimate:
        return
    if lacking := [name for name in MUST if name not in estimate]:
        raise ClassifierError(f"the estimate of its header lacks {lacking[0]!r}")
    _check("estimate", estimate, MUST)
    if wrong := [name for name in BY_CLASS if len(estimate[name]) != len(header["classes"])]:
        raise ClassifierError(f"the estimate of its header has {wrong[0]!r} of other classes than there are")


def _check(part: str, found: Mapping[str, Any], fields: Mapping[str, Check]) -> None:
    if wrong := [name for name, check in fields.items() if name in found and not check(found[name])]:
        shown = str(found[wrong[0]])[:40]
        raise ClassifierError(f"the field '{part}.{wrong[0]}' of its header is not what the format says: {shown!r}")
