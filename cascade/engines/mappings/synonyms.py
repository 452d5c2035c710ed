"""The rules of a synonym file, written for a server that analyses them by the chain before."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from cascade.text import analyser


def synonym_rules(name: str, path: Path) -> list[str]:
    """Return one line `left => right` for each term of the file that is replaced.

    What lines mean together (groups, heads, longest match) is settled here, by `cascade.text`; a
    server sees plain replacements and need only take the longest at each place. It stems each side
    as it stems a text, so a side stands there as it was written in the file, unless its terms are
    ones that stemming leaves alone.

    Args:
        name: The analyser's name.
        path: The file.
    """
    content = path.read_text(encoding="utf-8").lstrip("\ufeff")
    return list(_rules(name, path, content))


@cache
def _rules(name: str, path: Path, content: str) -> tuple[str, ...]:
    alone, contracting = analyser(name), analyser(name, path)
    written: dict[tuple[str, ...], str] = {}
    replaced: dict[tuple[str, ...], None] = {}
    for line in content.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        sides = [re.split(r"(?<!\\),", side) for side in re.split(r"(?<!\\)=>", line)]
        terms = [[re.sub(r"\\(.)", r"\1", term).strip() for term in side] for side in sides]
        for term in (term for side in terms for term in side):
            written.setdefault(tuple(alone.tokens(term)), term)
        replaced.update(dict.fromkeys(tuple(alone.tokens(term)) for term in terms[0]))

    def side(terms: tuple[str, ...]) -> str:
        """Return a text that the server analyses into these terms."""
        parts = []
        at = 0
        while at < len(terms):
            longest = next(
                end for end in range(len(terms), at, -1) if _known(terms[at:end], end == at + 1)
            )
            parts.append(_source(terms[at:longest]))
            at = longest
        return _escaped(" ".join(parts))

    def _known(part: tuple[str, ...], last: bool) -> bool:
        return last or part in written or tuple(alone.tokens(" ".join(part))) == part

    def _source(part: tuple[str, ...]) -> str:
        stable = " ".join(part)
        return stable if tuple(alone.tokens(stable)) == part else written.get(part, stable)

    found = []
    for left in replaced:
        right = tuple(contracting.tokens(_source(left)))
        if right != left or len(left) > 1:
            found.append(f"{side(left)} => {side(right)}")
    return tuple(found)


def _escaped(text: str) -> str:
    return re.sub(r"([\\,]|=>)", r"\\\1", text)
