"""The rules of a synonym file, written for a server that analyses them by the chain before."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import chain
from pathlib import Path

from cascade.text import analyser

_Terms = tuple[str, ...]


def synonym_rules(name: str, path: Path) -> list[str]:
    """Return one line `left => right` for each term of the file that is replaced.

    What lines mean together (groups, heads, longest match) is settled by `cascade.text`; a server
    sees plain replacements and need only take the longest at each place. It analyses both sides as
    it does a text, so both stand there as they were written: a stem might be stemmed again.

    Args:
        name: The analyser's name.
        path: The file.

    Raises:
        ConfigError: If the file is bad or cannot be read.
    """
    alone, contracting = analyser(name), analyser(name, path)
    written: dict[_Terms, str] = {}
    replaced: dict[_Terms, None] = {}
    for line in path.read_text(encoding="utf-8").lstrip("\ufeff").splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        sides = [_split(side) for side in re.split(r"(?<!\\)=>", line)]
        for term in chain.from_iterable(sides):
            written.setdefault(tuple(alone.tokens(term)), term)
        replaced.update(dict.fromkeys(tuple(alone.tokens(term)) for term in sides[0]))
    rules = []
    for left in replaced:
        right = tuple(contracting.tokens(written[left]))
        # A term of several words that stays as it is still keeps its parts from other rules.
        if right != left or len(left) > 1:
            rules.append(f"{_escaped(written[left])} => {_escaped(_written(right, written))}")
    return rules


def _split(side: str) -> list[str]:
    return [re.sub(r"\\(.)", r"\1", term).strip() for term in re.split(r"(?<!\\),", side)]


def _written(terms: _Terms, written: Mapping[_Terms, str]) -> str:
    """Return a text of these terms, put together from the longest that stand in the file."""
    parts = []
    at = 0
    while at < len(terms):
        ends = (end for end in range(len(terms), at, -1) if terms[at:end] in written)
        end = next(ends, at + 1)
        parts.append(written.get(terms[at:end], terms[at]))
        at = end
    return " ".join(parts)


def _escaped(text: str) -> str:
    return re.sub(r"([\\,]|=>)", r"\\\1", text)
