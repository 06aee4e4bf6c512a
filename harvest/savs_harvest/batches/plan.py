"""Batches as arithmetic: which samples run together."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any


def plan_batches(lengths: Sequence[int], token_budget: int, kinds: Sequence[Any] | None = None) -> list[list[int]]:
    """Return batches of sample numbers, longest first, each within the budget of padded tokens.

    A batch costs its samples times its longest length; a sample over the budget runs alone. Samples of
    different `kinds` are never in one batch.
    """
    if token_budget < 1:
        raise ValueError(f"a token budget of {token_budget} holds no sample")
    batches: list[list[int]] = []
    longest = 0
    kinds = [0] * len(lengths) if kinds is None else kinds
    for sample in sorted(range(len(lengths)), key=lambda i: (kinds[i], -lengths[i])):
        fits = batches and (len(batches[-1]) + 1) * longest <= token_budget
        if not fits or kinds[batches[-1][0]] != kinds[sample]:
            batches.append([])
            longest = lengths[sample]
        batches[-1].append(sample)
    return batches


def plan_groups(
    pictures: Sequence[Hashable], lengths: Sequence[int], picture_tokens: Sequence[int], token_budget: int
) -> list[list[int]]:
    """Return groups of sample numbers that show the same pictures, in order.

    A group costs its pictures once, then each sample's own words; together they stay within the budget, or, where
    the pictures alone fill most of it, within twice the pictures.
    """
    groups: list[list[int]] = []
    open_group: dict[Hashable, tuple[list[int], int]] = {}
    for sample, shown in enumerate(pictures):
        words = lengths[sample] - picture_tokens[sample]
        members, cost = open_group.get(shown, ([], 0))
        if not members or cost + words > max(token_budget, 2 * picture_tokens[sample]):
            members, cost = [], picture_tokens[sample]
            groups.append(members)
        members.append(sample)
        open_group[shown] = (members, cost + words)
    return groups


def plan_packs(lengths: Sequence[int], token_budget: int, kinds: Sequence[Hashable] | None = None) -> list[list[int]]:
    """Return batches of sample numbers, longest first, the tokens of each within the budget without any padding.

    A sample goes into the first batch of its kind that has room for it; one over the budget runs alone.
    """
    if token_budget < 1:
        raise ValueError(f"a token budget of {token_budget} holds no sample")
    kinds = [0] * len(lengths) if kinds is None else kinds
    batches: list[list[int]] = []
    room: list[int] = []
    for sample in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        fitting = (
            number
            for number, left in enumerate(room)
            if left >= lengths[sample] and kinds[batches[number][0]] == kinds[sample]
        )
        number = next(fitting, len(batches))
        if number == len(batches):
            batches.append([])
            room.append(token_budget)
        batches[number].append(sample)
        room[number] -= lengths[sample]
    return batches
