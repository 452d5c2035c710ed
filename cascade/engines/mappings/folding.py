"""The folding of `cascade.text`, as rules of a server's character filter.

A server replaces one string by another, the longest that fits first; it can neither decompose nor
compose. So each character that folds has a rule of its own, and so has each pair of a letter and a
mark that compose. Only what shops write is listed: Latin, punctuation, symbols and digits of all
forms, half-width kana, and marks after Greek, Cyrillic and kana letters.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import product

from cascade.text import ANALYSERS, _folded

_BLOCKS = (
    (0x0080, 0x02FF),
    (0x0370, 0x03FF),
    (0x1E00, 0x1EFF),
    (0x2000, 0x218F),
    (0x2460, 0x24FF),
    (0x3099, 0x309F),
    (0x30FF, 0x30FF),
    (0x3200, 0x33FF),
    (0xFB00, 0xFB06),
    (0xFEFF, 0xFEFF),
    (0xFF01, 0xFFEF),
)
_COMPOSED = ((0x0370, 0x03FF), (0x0400, 0x04FF), (0x3040, 0x30FF))
_HALF_WIDTH_KANA, _HALF_WIDTH_MARKS = range(0xFF66, 0xFF9E), "\uff9e\uff9f"
_JOINERS = "'.,"


@cache
def folding_rules(name: str) -> Mapping[str, str]:
    """Return what an analyser's folding makes of each string that it changes.

    Lower-casing is left to the server, and so is what separates tokens before as after.

    Args:
        name: The analyser's, as `text.ANALYSERS` lists them.
    """
    umlauts = ANALYSERS[name].umlauts
    rules: dict[str, str] = {}
    for first, last in _BLOCKS:
        for char in map(chr, range(first, last + 1)):
            folded = _folded(char, umlauts)
            if folded != char.lower() and not (_separates(char) and _separates(folded)):
                rules[char] = folded
    for pair in _pairs(umlauts):
        folded = _folded(pair, umlauts)
        if len(folded) == 1:
            rules[pair] = folded
    return rules


def _pairs(umlauts: bool) -> Iterator[str]:
    """Yield letters with a mark behind, that fold into one character."""
    for first, last in _COMPOSED:
        for char in map(chr, range(first, last + 1)):
            parts = unicodedata.normalize("NFD", char)
            if len(parts) == 2:
                yield parts
    for letter, mark in product(map(chr, _HALF_WIDTH_KANA), _HALF_WIDTH_MARKS):
        yield letter + mark
    if umlauts:
        yield from (letter + "\u0308" for letter in "aouAOU")


def _separates(text: str) -> bool:
    """Tell whether a text parts what stands around it; what folds to nothing does not."""
    return text != "" and not any(c.isalnum() or c in _JOINERS or _format(c) for c in text)


def _format(char: str) -> bool:
    return unicodedata.category(char) in ("Cf", "Mn", "Mc")
