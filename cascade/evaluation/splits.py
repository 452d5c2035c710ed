"""Head, torso and tail: parts of a query set that are reported apart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from cascade.errors import InputError

BUCKETS = ("head", "torso", "tail")
HEAD_WORDS = 2
TORSO_WORDS = 4


@dataclass(frozen=True, slots=True)
class Split:
    """Hold query ids by bucket, and the rule that put them there, in words."""

    rule: str
    buckets: Mapping[str, tuple[str, ...]]


def by_frequency(frequency: Mapping[str, float]) -> Split:
    """Split queries by traffic: the most frequent make the head, up to a third of all requests.

    The query that passes a third still belongs to the head, the one that passes two thirds to
    the torso; all others are the tail. Equally frequent queries stand in the order of their ids.

    Args:
        frequency: How often each query id was asked, 0 or more.

    Raises:
        InputError: For a frequency below 0 or not finite.
    """
    for query_id, count in frequency.items():
        if not (math.isfinite(count) and count >= 0):
            message = f"query {query_id!r} has the frequency {count:g}; give a number of 0 or more"
            raise InputError(message)
    total = math.fsum(frequency.values())
    buckets: dict[str, list[str]] = {name: [] for name in BUCKETS}
    before = 0.0
    for query_id in sorted(frequency, key=lambda q: (-frequency[q], q)):
        third = min(2, int(3.0 * before / total)) if total else 2
        buckets[BUCKETS[third]].append(query_id)
        before += frequency[query_id]
    return Split("thirds of traffic", {name: tuple(ids) for name, ids in buckets.items()})


def by_length(texts: Mapping[str, str]) -> Split:
    """Split queries by length, for judgments without frequencies: short queries are the head.

    Args:
        texts: The text of each query id; words are what white space divides.
    """
    buckets: dict[str, list[str]] = {name: [] for name in BUCKETS}
    for query_id, text in texts.items():
        words = len(text.split())
        buckets[BUCKETS[(words > HEAD_WORDS) + (words > TORSO_WORDS)]].append(query_id)
    rule = (
        f"words in the query: head 1-{HEAD_WORDS}, torso {HEAD_WORDS + 1}-{TORSO_WORDS}, "
        f"tail {TORSO_WORDS + 1} or more"
    )
    return Split(rule, {name: tuple(ids) for name, ids in buckets.items()})
