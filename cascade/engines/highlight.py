"""Highlights: the part of a text that says most about a query, with its matches marked."""

from __future__ import annotations

import html
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from cascade.text import Analyser

FRAGMENT_CHARS = 200
MAX_TEXT_CHARS = 50_000
_OPEN, _CLOSE, _CUT = "<em>", "</em>", "\u2026"


@dataclass(frozen=True, slots=True)
class _Word:
    start: int
    end: int
    term: str | None  # None where it is no match


def highlighted(
    texts: Sequence[str], terms: Collection[str], reader: Analyser, length: int = FRAGMENT_CHARS
) -> str | None:
    """Return the best fragment of some texts as HTML, None if nothing in them matches.

    The best fragment holds the most distinct terms, then the most matches, then comes first. Its
    matches stand in `<em>`, all else is escaped, and an ellipsis says where the text goes on.

    Args:
        texts: The values of one field.
        terms: The query's terms, analysed by `reader`.
        reader: The field's analyser.
        length: How many characters of the text a fragment has at most; a match is never cut.
    """
    wanted = frozenset(terms)
    best: tuple[tuple[int, int], str] | None = None
    for text in texts if wanted else ():
        short = text[:MAX_TEXT_CHARS]
        words = _words(short, wanted, reader)
        matches = [word for word in words if word.term is not None]
        if not matches:
            continue
        worth, first, last = _densest(matches, length)
        if best is None or worth > best[0]:
            start, end = _bounds(short, words, (matches[first].start, matches[last].end), length)
            best = worth, _marked(text, matches, start, end)
    return best[1] if best else None


def _words(text: str, wanted: frozenset[str], reader: Analyser) -> list[_Word]:
    return [
        _Word(start, end, next((term for term in terms if term in wanted), None))
        for start, end, terms in reader.spans(text)
    ]


def _densest(matches: Sequence[_Word], length: int) -> tuple[tuple[int, int], int, int]:
    """Return (distinct terms, matches) of the best window, and its first and last match."""
    counts: dict[str | None, int] = {}
    best, first = ((0, 0), 0, 0), 0
    for last, match in enumerate(matches):
        counts[match.term] = counts.get(match.term, 0) + 1
        while first < last and match.end - matches[first].start > length:
            gone = matches[first].term
            counts[gone] -= 1
            if not counts[gone]:
                del counts[gone]
            first += 1
        worth = len(counts), last - first + 1
        if worth > best[0]:
            best = worth, first, last
    return best


def _bounds(
    text: str, words: Sequence[_Word], core: tuple[int, int], length: int
) -> tuple[int, int]:
    """Return where a fragment around `core` starts and ends, at the edges of words."""
    if len(text) <= length:
        return 0, len(text)
    slack = max(0, length - (core[1] - core[0]))
    start = max(0, min(core[0] - slack // 2, len(text) - length))
    if start > 0:
        start = next(word.start for word in words if word.start >= min(start, core[0]))
    limit = max(core[1], start + length)
    if limit >= len(text):
        return start, len(text)
    return start, max(word.end for word in words if word.end <= limit)


def _marked(text: str, matches: Sequence[_Word], start: int, end: int) -> str:
    parts = [_CUT] if start > 0 else []
    at = start
    for match in matches:
        if start <= match.start and match.end <= end:
            parts.append(html.escape(text[at : match.start]))
            parts.append(_OPEN + html.escape(text[match.start : match.end]) + _CLOSE)
            at = match.end
    parts.append(html.escape(text[at:end]))
    if end < len(text):
        parts.append(_CUT)
    return "".join(parts)
