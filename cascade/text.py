"""Analysers: how a text becomes terms, the same when it is indexed and when it is asked for.

A text is lower-cased, folded, cut into tokens and each token stemmed; then synonyms are contracted.

Folding removes diacritics from Latin letters and spells ligatures and compatibility forms out.
Tokens are runs of letters and digits, much as Unicode's standard (UAX #29) cuts them: an
apostrophe between letters and a point or comma between digits belong to the token (`o'neill`,
`3.5`), and each ideograph or hiragana is a token. Unlike the standard, an underscore, and a point
or colon between letters, separate: shop texts are full of `red_dress`, `Color:Red` and missing
blanks after a full stop. No stop word is removed.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import chain
from pathlib import Path

import Stemmer

from cascade.errors import ConfigError, InputError, nearest

MAX_TOKEN_CHARS = 100
_CACHED_CHUNKS = 1 << 18
_CACHED_CHARS = 64


@dataclass(frozen=True, slots=True)
class Recipe:
    """Say how an analyser works.

    Attributes:
        version: Raised whenever the same text would give other terms.
        stemmer: The Snowball algorithm that stems each token, if any.
        umlauts: Whether folding leaves ä, ö and ü to the stemmer, which tells them from a, o, u.
    """

    version: int
    stemmer: str | None = None
    umlauts: bool = False


ANALYSERS: Mapping[str, Recipe] = {
    "english": Recipe(version=1, stemmer="english"),
    "german": Recipe(version=1, stemmer="german", umlauts=True),
    "plain": Recipe(version=1),
}


@dataclass(frozen=True, slots=True)
class Analyser:
    """Turn texts into terms.

    Attributes:
        name: Its key in `ANALYSERS`.
        version: Of the recipe.
        fingerprint: Of all that decides the terms: the recipe, the stemmer's release and the
            synonyms. Equal fingerprints mean equal terms.
    """

    name: str
    version: int
    fingerprint: str
    _terms: _Terms = field(repr=False, compare=False)
    _synonyms: Synonyms | None = field(default=None, repr=False, compare=False)

    def tokens(self, text: str) -> list[str]:
        """Return the terms of a text in its order."""
        if not text.isascii():
            text = _folded(text, self._terms.umlauts)
        if text.isascii():
            chunks = text.encode().translate(_ASCII_CHUNKS).decode().split()
        else:
            chunks = _CHUNK.findall(text)
        found = list(chain.from_iterable(map(self._terms.__getitem__, chunks)))
        return found if self._synonyms is None else self._synonyms.contracted(found)

    def tokens_of(self, values: Sequence[str]) -> list[str]:
        """Return the terms of all values, one after the other; no synonym spans two values."""
        if len(values) == 1:
            return self.tokens(values[0])
        return list(chain.from_iterable(map(self.tokens, values)))

    def spans(self, text: str) -> Iterator[tuple[int, int, Sequence[str]]]:
        """Yield start, end and terms of each word of a text as it stands, for marking matches.

        Each word is analysed alone, so a synonym of several words is not contracted.
        """
        terms, synonyms = self._terms, self._synonyms
        # Both changes are one character for one, so the places stay those of the text.
        if text.isascii():
            words = _ASCII_TOKEN.finditer(text.lower())
        else:
            words = _unicode_token().finditer(text.translate(_APOSTROPHES))
        for word in words:
            written = word.group()
            if not written.isascii():
                yield word.start(), word.end(), self.tokens(written)
                continue
            found = terms[written.lower()]
            if synonyms is not None:
                found = tuple(synonyms.contracted(list(found)))
            yield word.start(), word.end(), found


def analyser(name: str, synonyms: Path | None = None) -> Analyser:
    r"""Return the analyser of this name, with the synonyms of a file in Solr's form.

    `a, b, c` says that these mean the same: each becomes the first. `a, b => c` replaces each on
    the left by all on the right. Terms may have several words; the longest match wins; `#` opens
    a comment line; `\` takes the meaning from a comma or arrow. Lines that share a term join.

    Raises:
        InputError: If there is no such analyser.
        ConfigError: With every bad line of the synonym file, or if it cannot be read.
    """
    if name not in ANALYSERS:
        raise InputError(f"there is no analyser {name!r}; " + nearest(name, ANALYSERS))
    if synonyms is None:
        return _built(name, None, "")
    try:
        content = synonyms.read_text(encoding="utf-8")
    except OSError as error:
        problem = f"the synonym file cannot be read: {error.strerror}; correct the schema's path"
        raise ConfigError(str(synonyms), [problem]) from None
    except UnicodeDecodeError as error:
        problem = f"byte {error.start} is not UTF-8; save the synonym file as UTF-8"
        raise ConfigError(str(synonyms), [problem]) from None
    return _built(name, content, str(synonyms))


@lru_cache(maxsize=64)
def _built(name: str, synonyms: str | None, source: str) -> Analyser:
    recipe = ANALYSERS[name]
    digest = None if synonyms is None else hashlib.sha256(synonyms.encode()).hexdigest()
    release = Stemmer.version() if recipe.stemmer else None
    made_of = json.dumps([name, recipe.version, recipe.stemmer, release, digest])
    fingerprint = hashlib.sha256(made_of.encode()).hexdigest()[:16]
    if synonyms is None:
        return Analyser(name, recipe.version, fingerprint, _Terms(recipe))
    plain = _built(name, None, "")
    rules = _parse_synonyms(synonyms, source, plain.tokens)
    return Analyser(name, recipe.version, fingerprint, plain._terms, rules)


class _Terms(dict[str, tuple[str, ...]]):
    """Remember the terms of each chunk of text between blanks and punctuation.

    A lookup that hits is one dict access. The memory is bounded: a full one starts again.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.umlauts = recipe.umlauts
        # A Stemmer object is not safe in several threads; misses are rare enough for a lock.
        self._lock = threading.Lock()
        self._stemmer = Stemmer.Stemmer(recipe.stemmer, 0) if recipe.stemmer else None

    def __missing__(self, chunk: str) -> tuple[str, ...]:
        pattern = _ASCII_TOKEN if chunk.isascii() else _unicode_token()
        tokens = [token[:MAX_TOKEN_CHARS] for token in pattern.findall(chunk.lower())]
        if self._stemmer is not None:
            with self._lock:
                tokens = [self._stemmer.stemWord(token) for token in tokens]
        terms = tuple(map(sys.intern, tokens))
        if len(chunk) <= _CACHED_CHARS:
            if len(self) >= _CACHED_CHUNKS:
                self.clear()
            self[chunk] = terms
        return terms


# Inside a chunk stand letters, digits and what may join them; all else ASCII separates.
_JOINERS = "'.,"
_ASCII_CHUNKS = bytes(
    ord(chr(i).lower()) if chr(i).isalnum() or chr(i) in _JOINERS else 32 for i in range(128)
) + bytes(128)
_CHUNK = re.compile(r"[^\s\x00-\x26\x28-\x2b\x2d\x2f\x3a-\x40\x5b-\x60\x7b-\x7f]+")
_ASCII_TOKEN = re.compile(
    r"[a-z0-9]+(?:(?:(?<=[a-z])'(?=[a-z])|(?<=[0-9])[.,](?=[0-9]))[a-z0-9]+)*"
)
_SINGLES = "\u3040-\u309f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"

# What normalisation leaves alone or would glue to its neighbour.
_SPECIAL: Mapping[str, str] = {
    **{"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "ł": "l", "þ": "th"},
    **{"ħ": "h", "\u0131": "i", "ŧ": "t", "ŋ": "n", "ĸ": "k", "ƒ": "f"},
    **dict.fromkeys("\u2018\u2019\u02bc\u02b9\uff07\u00b4", "'"),
    **dict.fromkeys("\u2122\u2120\u00ae\u00a9\u2026", " "),
    # Dashes, quotes and bullets separate anyway; without them most texts are ASCII from here on.
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u201c\u201d\u201e\u00ab\u00bb", " "),
    **dict.fromkeys("\u2022\u00b7\u00b0\u00d7\u2032\u2033", " "),
    **dict.fromkeys("\u00ad\u200b\u200c\u200d\u2060\ufeff", ""),
    **{"\u00bd": " 1/2 ", "\u00bc": " 1/4 ", "\u00be": " 3/4 "},
}
_APOSTROPHES = {ord(char): "'" for char, plain in _SPECIAL.items() if plain == "'"}
_SPECIAL_CHARS = re.compile("[" + "".join(_SPECIAL) + "]")
# The mark first and then a look behind it: several times faster than looking before every letter.
_LATIN_MARKS = re.compile("[\u0300-\u036f](?<=[a-z].)[\u0300-\u036f]*")
_LATIN_MARKS_BUT_UMLAUTS = re.compile("[\u0300-\u036f](?<=[a-z].)(?<![aou]\u0308)[\u0300-\u036f]*")


def _folded(text: str, umlauts: bool) -> str:
    text = _SPECIAL_CHARS.sub(lambda match: _SPECIAL[match.group()], text.lower())
    # Compatibility forms decompose into capitals too: "℡" gives "TEL".
    text = unicodedata.normalize("NFKD", text).lower()
    text = (_LATIN_MARKS_BUT_UMLAUTS if umlauts else _LATIN_MARKS).sub("", text)
    return text if text.isascii() else unicodedata.normalize("NFC", text)


@cache
def _unicode_token() -> re.Pattern[str]:
    """Return the token pattern of any script: a word's marks are part of it."""
    marks = [i for i in range(0x300, 0x10000) if unicodedata.category(chr(i)) in ("Mn", "Mc")]
    ranges: list[tuple[int, int]] = []
    for mark in marks:
        if ranges and ranges[-1][1] == mark - 1:
            ranges[-1] = (ranges[-1][0], mark)
        else:
            ranges.append((mark, mark))
    listed = "".join(f"\\u{low:04x}-\\u{high:04x}" for low, high in ranges)
    word = rf"(?:(?![{_SINGLES}])[^\W_][{listed}]*)+"
    joined = r"(?:(?<=[^\W\d_])'(?=[^\W\d_])|(?<=\d)[.,](?=\d))"
    return re.compile(rf"[{_SINGLES}][{listed}]*|{word}(?:{joined}{word})*")


_Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Synonyms:
    """Hold the rules of a synonym file over analysed terms.

    Attributes:
        rules: By the first word of their left side: left and right sides, the longest first.
    """

    rules: Mapping[str, tuple[tuple[list[str], list[str]], ...]]

    def contracted(self, tokens: list[str]) -> list[str]:
        """Return the tokens with the left side of each rule replaced, the longest match first."""
        rules = self.rules
        starts = [at for at, token in enumerate(tokens) if token in rules]
        if not starts:
            return tokens
        out: list[str] = []
        done = 0
        for at in starts:
            if at < done:
                continue
            for left, right in rules[tokens[at]]:
                if tokens[at : at + len(left)] == left:
                    out += tokens[done:at]
                    out += right
                    done = at + len(left)
                    break
        return out + tokens[done:]


class _Classes:
    """Group terms that mean the same; each group stands for its first term in the file."""

    def __init__(self) -> None:
        self.parent: dict[_Words, _Words] = {}
        self.order: dict[_Words, int] = {}

    def head(self, term: _Words) -> _Words:
        while self.parent.get(term, term) != term:
            term = self.parent[term]
        return term

    def join(self, terms: Sequence[_Words]) -> None:
        for term in terms:
            self.parent.setdefault(term, term)
            self.order.setdefault(term, len(self.order))
        heads = sorted({self.head(term) for term in terms}, key=self.order.__getitem__)
        for other in heads[1:]:
            self.parent[other] = heads[0]


def _parse_synonyms(content: str, source: str, tokens: Callable[[str], list[str]]) -> Synonyms:
    classes, replaced = _Classes(), dict[_Words, tuple[list[_Words], int]]()
    problems: list[str] = []
    for number, line in enumerate(content.lstrip("\ufeff").splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            sides = [_terms_of(side, tokens) for side in re.split(r"(?<!\\)=>", line)]
            _accept(sides, number, classes, replaced)
        except ValueError as error:
            problems.append(f"line {number}: {error}: {line.strip()[:80]!r}")
    for left, (_, number) in replaced.items():
        if left in classes.parent:
            problems.append(
                f"line {number}: {' '.join(left)!r} is replaced here and an equivalent elsewhere; "
                "keep one of the two"
            )
    if problems:
        raise ConfigError(source, problems)
    pairs = {term: classes.head(term) for term in classes.parent}
    pairs |= {
        left: tuple(chain.from_iterable(map(classes.head, rights)))
        for left, (rights, _) in replaced.items()
    }
    rules: dict[str, list[tuple[list[str], list[str]]]] = {}
    for left, right in pairs.items():
        # A term of several words that stays as it is still keeps its parts from other rules.
        if left != right or len(left) > 1:
            rules.setdefault(left[0], []).append((list(left), list(right)))
    by_length = {word: sorted(found, key=lambda r: -len(r[0])) for word, found in rules.items()}
    return Synonyms({word: tuple(found) for word, found in by_length.items()})


def _terms_of(side: str, tokens: Callable[[str], list[str]]) -> list[_Words]:
    terms = []
    for written in re.split(r"(?<!\\),", side):
        words = tuple(tokens(re.sub(r"\\(.)", r"\1", written)))
        if not words:
            raise ValueError(f"the term {written.strip()!r} has no letter or digit")
        terms.append(words)
    return terms


def _accept(
    sides: list[list[_Words]],
    number: int,
    classes: _Classes,
    replaced: dict[_Words, tuple[list[_Words], int]],
) -> None:
    if len(sides) > 2:
        raise ValueError("there is more than one =>")
    if len(sides) == 1:
        if len(sides[0]) < 2:
            raise ValueError("one term alone has no synonym; accepted are 'a, b' and 'a => b'")
        classes.join(sides[0])
        return
    for left in sides[0]:
        known = replaced.setdefault(left, (sides[1], number))
        if known[0] != sides[1]:
            raise ValueError(f"{' '.join(left)!r} is already replaced in line {known[1]}")
