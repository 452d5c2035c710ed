"""Dividing queries into those to train on, to stop on and to test on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Literal

from cascade.config.stage_settings import SplitSettings
from cascade.registry import text_digest

Part = Literal["train", "validation", "test"]


def part_of(text: str, split: SplitSettings) -> Part:
    """Return the part that a query text belongs to, whatever file it stands in."""
    digest = hashlib.sha256(f"{split.seed}:{text_digest(text)}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    if share < split.test:
        return "test"
    return "validation" if share < split.test + split.validation else "train"


def divide(texts: Mapping[str, str], split: SplitSettings) -> dict[Part, list[str]]:
    """Return the query ids of each part."""
    parts: dict[Part, list[str]] = {"train": [], "validation": [], "test": []}
    for query_id, text in texts.items():
        parts[part_of(text, split)].append(query_id)
    return parts
