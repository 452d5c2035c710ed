"""Dividing queries into those to train on, to stop on and to test on."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Literal

from cascade.config.stage_settings import SplitSettings
from cascade.errors import InputError
from cascade.judgments import Judgments
from cascade.registry import text_digest

Part = Literal["train", "validation", "test"]


def part_of(text: str, split: SplitSettings) -> Part:
    """Return the part that a query text belongs to, whatever file it stands in."""
    share = _share(f"{split.seed}:{text_digest(text)}")
    if share < split.test:
        return "test"
    return "validation" if share < split.test + split.validation else "train"


def divide(texts: Mapping[str, str], split: SplitSettings) -> dict[Part, list[str]]:
    """Return the query ids of each part."""
    parts: dict[Part, list[str]] = {"train": [], "validation": [], "test": []}
    for query_id, text in texts.items():
        parts[part_of(text, split)].append(query_id)
    return parts


def divide_by_time(times: Mapping[str, float], split: SplitSettings) -> dict[Part, list[str]]:
    """Return the query ids of each part: the latest are tested on, those before stop a training.

    Args:
        times: When each query was asked last; queries of one time stand in the order of their ids.
        split: The shares.
    """
    ordered = sorted(times, key=lambda query_id: (times[query_id], query_id))
    test = len(ordered) - round(split.test * len(ordered))
    validation = test - round(split.validation * len(ordered))
    return {
        "train": ordered[:validation],
        "validation": ordered[validation:test],
        "test": ordered[test:],
    }


def divide_judgments(
    judgments: Judgments, split: SplitSettings
) -> tuple[dict[Part, list[str]], list[str]]:
    """Return the query ids of each part, and those that a strict split drops.

    Raises:
        InputError: For a split by time, since judgments have none.
    """
    if split.by == "time":
        raise InputError(
            'split.by = "time": judgments have no time; train from a log by --clicks, or give '
            '"query" or "strict"'
        )
    if split.by != "strict":
        return divide(judgments.texts, split), []
    return divide_strictly(
        judgments.texts, {q: relevant(judgments, q) for q in judgments.texts}, split
    )


def divide_log(
    times: Mapping[str, float], wanted: Mapping[str, Collection[str]], split: SplitSettings
) -> tuple[dict[Part, list[str]], list[str]]:
    """Return the query texts of each part, and those that a strict split drops.

    Texts that differ in case and spaces alone stand on one side.

    Args:
        times: When each text was asked last, in seconds since 1970.
        wanted: The documents of each text that shoppers acted on.
        split: How they are divided.
    """
    if split.by == "query":
        return divide({text: text for text in times}, split), []
    by_digest: dict[str, list[str]] = {}
    for text in times:
        by_digest.setdefault(text_digest(text), []).append(text)
    dropped: list[str] = []
    if split.by == "time":
        latest = {d: max(times[t] for t in texts) for d, texts in by_digest.items()}
        parts = divide_by_time(latest, split)
    else:
        firsts = {d: texts[0] for d, texts in by_digest.items()}
        of = {
            digest: {doc_id for text in texts for doc_id in wanted.get(text, ())}
            for digest, texts in by_digest.items()
        }
        parts, dropped = divide_strictly(firsts, of, split)
    return (
        {part: [t for d in digests for t in by_digest[d]] for part, digests in parts.items()},
        [t for d in dropped for t in by_digest[d]],
    )


def divide_strictly(
    texts: Mapping[str, str], wanted: Mapping[str, Collection[str]], split: SplitSettings
) -> tuple[dict[Part, list[str]], list[str]]:
    """Return query ids of parts that share no document with the test part, and those dropped.

    Args:
        texts: By query id.
        wanted: The documents of each query that count.
        split: The shares.
    """
    # Documents are divided, and a query goes with its relevant ones: to draw test queries first
    # and drop what shares a document with them would leave few to train on, and odd ones.
    parts: dict[Part, list[str]] = {"train": [], "validation": [], "test": []}
    dropped: list[str] = []
    ratio = split.validation / (1 - split.test)
    for query_id, text in texts.items():
        tested = {
            _share(f"{split.seed}:document:{doc_id}") < split.test
            for doc_id in wanted.get(query_id, ())
        }
        if len(tested) > 1:
            dropped.append(query_id)
        elif tested == {True}:
            parts["test"].append(query_id)
        else:
            stops = _share(f"{split.seed}:{text_digest(text)}") < ratio
            parts["validation" if stops else "train"].append(query_id)
    return parts, dropped


def relevant(judgments: Judgments, query_id: str) -> set[str]:
    """Return the documents of a query that have a grade above 0."""
    return {doc_id for doc_id, grade in judgments.grades[query_id].items() if grade > 0}


def _share(text: str) -> float:
    """Return a number from 0 to 1 that follows from a text."""
    return (
        int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:8], "big") / 2**64
    )
