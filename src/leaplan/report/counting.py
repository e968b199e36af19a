"""What is counted for a page: which classes are taken for which, and which step follows which."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeVar

Class = TypeVar("Class", int, str)


def confusions(pairs: Iterable[tuple[Class, Class]]) -> Counter[tuple[Class, Class]]:
    """Count (true, said) of different classes."""
    return Counter(pair for pair in pairs if pair[0] != pair[1])


def most_confused(counts: Mapping[tuple[Class, Class], float], most: int) -> list[Class]:
    """Return at most `most` classes that the most frequent confusions are between, the most frequent first."""
    found: dict[Class, None] = {}
    for pair, _ in ranked(counts):
        new = [each for each in pair if each not in found]
        if len(found) + len(new) > most:
            break
        found |= dict.fromkeys(new)
    return list(found)


def ranked(counts: Mapping[tuple[Class, Class], float]) -> list[tuple[tuple[Class, Class], float]]:
    """Return confusions by falling count; ties in the order of the classes."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def square(counts: Mapping[tuple[Class, Class], float], classes: Sequence[Class]) -> list[list[float]]:
    """Return the counts of `classes` as a matrix: rows are true, columns said."""
    return [[counts.get((true, said), 0) for said in classes] for true in classes]


def transitions(orders: Iterable[tuple[int, Sequence[int]]]) -> dict[int, dict[str, Any]]:
    """Return for each task its steps in the order in which they usually come, and how often one follows another.

    Args:
        orders: (task, step ids in order) of videos or windows; -1 stands for no task.

    Returns:
        Task to "steps", ids by their mean position, and "edges", [from, to, count] by falling count.
    """
    places: dict[int, dict[int, list[float]]] = {}
    edges: dict[int, Counter[tuple[int, int]]] = {}
    for task, steps in orders:
        for place, step in enumerate(steps):
            share = place / max(1, len(steps) - 1)
            places.setdefault(task, {}).setdefault(step, []).append(share)
        edges.setdefault(task, Counter()).update(pairwise(steps))
    return {
        task: {
            "steps": sorted(found, key=lambda step: (sum(found[step]) / len(found[step]), step)),
            "edges": [[*pair, count] for pair, count in ranked(edges[task])],
        }
        for task, found in places.items()
    }
