"""The folding of `cascade.text`, as the rules of a server's character filter.

A server replaces one string by another, the longest that fits first; it can neither decompose nor
compose. So each character that folds has a rule of its own, and so have the pairs of a letter and
a mark that compose. Only what shops write is listed: Latin, punctuation, symbols and digits of all
forms, half-width kana, and marks after Greek, Cyrillic and kana letters.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import product

from cascade.text import ANALYSERS, MAX_TOKEN_CHARS, analyser

_FOLDED = (
    (0x0080, 0x02FF),
    (0x1E00, 0x1EFF),
    (0x2000, 0x218F),
    (0x2460, 0x24FF),
    (0x3300, 0x33FF),
    (0xFB00, 0xFB06),
    (0xFEFF, 0xFEFF),
    (0xFF01, 0xFFEF),
)
_COMPOSED = ((0x0370, 0x03FF), (0x0400, 0x04FF), (0x3040, 0x30FF))
_HALF_WIDTH = range(0xFF66, 0xFF9E)
_HALF_WIDTH_MARKS = "\uff9e\uff9f"
_JOINERS = "'.,"

SINGLES = r"\u3040-\u309f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\x{20000}-\x{3ffff}"
"""Each of these characters is a token, as a part of a Java character class."""


@cache
def folding_rules(name: str) -> Mapping[str, str]:
    """Return what an analyser's folding makes of each string that it changes.

    Case is left to the server, and so is what separates tokens before as after.
    """
    fold = _folding(name)
    rules: dict[str, str] = {}
    for char in _listed():
        folded = fold(char)
        if folded == char.lower() or (_separates(char) and not folded.strip()):
            continue
        rules[char] = folded
    for pair in _pairs(ANALYSERS[name].umlauts):
        folded = fold(pair)
        if len(folded) == 1:
            rules[pair] = folded
    return rules
