"""Analysers: from a text to the terms that index, queries and features share.

An analyser splits a text into words, folds case and diacritics, stems, and replaces synonyms.
Words are runs of letters and digits; an apostrophe between letters and a point or comma between
digits stay inside a word, everything else separates (an approximation of Unicode UAX #29, which
Lucene's standard tokenizer follows; the underscore separates). No stop word is removed.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import Stemmer

from cascade.errors import InputError, nearest

VERSION = 1
MAX_TOKEN = 100
_CACHE_TERMS = 500_000
_WORD = re.compile(
    r"[^\W_]+(?:(?<=[^\W\d_])['’](?=[^\W\d_])[^\W_]+|(?<=\d)[.,](?=\d)[^\W_]+)*"
)
_GERMAN = str.maketrans({"ß": "ss", "ä": "a", "ö": "o", "ü": "u"})


@dataclass(frozen=True)
class Synonyms:
    """Hold the rules of a synonym file, in analysed terms.

    Attributes:
        rules: For the first term of each left side, the (left side, right side) pairs, the
            longest left side first.
        sha256: Of the file.
    """

    rules: Mapping[str, tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]]
    sha256: str

    def apply(self, tokens: list[str]) -> list[str]:
        """Replace the longest left side at each place by its right side."""
        rules = self.rules
        if rules.keys().isdisjoint(tokens):
            return tokens
        out: list[str] = []
        at = 0
        while at < len(tokens):
            for left, right in rules.get(tokens[at], ()):
                if tuple(tokens[at : at + len(left)]) == left:
                    out.extend(right)
                    at += len(left)
                    break
            else:
                out.append(tokens[at])
                at += 1
        return out


class Analyser:
    """Turn texts into terms; the same at index and at query time.

    Args:
        name: Its name in schemas.
        fold: Lower case and what else makes two spellings one, for a whole text.
        stemmer: The name of a Snowball stemmer, or None.
        synonyms: Rules that are applied to the stems.
    """

    def __init__(
        self,
        name: str,
        fold: Callable[[str], str],
        stemmer: str | None,
        synonyms: Synonyms | None = None,
    ) -> None:
        self.name = name
        self.version = VERSION
        self.synonyms = synonyms
        self._fold = fold
        self._language = stemmer
        self._stems: dict[str, str] = {}

    @property
    def fingerprint(self) -> str:
        """Name, version and the checksum of the synonyms: what decides every term."""
        rules = self.synonyms.sha256 if self.synonyms else "none"
        return f"{self.name}/{self.version}/{rules}"

    def tokens(self, text: str) -> list[str]:
        """Return the terms of a text, in order."""
        stems = self._stems
        words = _WORD.findall(self._fold(text))
        try:
            found = [stems[word] for word in words]
        except KeyError:
            found = [self._stem(word) for word in words]
        return self.synonyms.apply(found) if self.synonyms else found

    def tokens_of(self, values: Sequence[str]) -> list[str]:
        """Return the terms of a list of texts, one after the other."""
        if len(values) == 1:
            return self.tokens(values[0])
        return [token for value in values for token in self.tokens(value)]

    def spans(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Yield start, end and term of each word of a text, synonyms left as they are.

        Folding can change lengths, so each word is folded alone.
        """
        for match in _WORD.finditer(text):
            for word in _WORD.findall(self._fold(match.group())):
                yield match.start(), match.end(), self._stem(word)

    def _stem(self, word: str) -> str:
        found = self._stems.get(word)
        if found is None:
            root = word.replace("’", "'")
            if self._language == "english":
                root = root.removesuffix("'s")
            if self._language is not None:
                # A Stemmer object is not safe to share between threads; making one is cheap.
                root = Stemmer.Stemmer(self._language, 0).stemWord(root)
            found = root[:MAX_TOKEN]
            if len(self._stems) >= _CACHE_TERMS:
                self._stems.clear()
            self._stems[word] = found
        return found


def _fold_latin(text: str) -> str:
    """Return lower case without the diacritics of Latin letters."""
    if text.isascii():
        return text.lower()
    lowered = unicodedata.normalize("NFKC", text).casefold()
    if lowered.isascii():
        return lowered
    parts = unicodedata.normalize("NFKD", lowered)
    return unicodedata.normalize(
        "NFC", "".join(c for c in parts if not "̀" <= c <= "ͯ")
    )


def _fold_german(text: str) -> str:
    return _fold_latin(text if text.isascii() else text.casefold().translate(_GERMAN))


ANALYSERS: Mapping[str, tuple[Callable[[str], str], str | None]] = {
    "english": (_fold_latin, "english"),
    "german": (_fold_german, "german"),
    "plain": (_fold_latin, None),
}
"""The analysers by name: how a text is folded, and the Snowball stemmer."""


def analyser(name: str, synonyms: Path | None = None) -> Analyser:
    """Return an analyser, the same object for the same name and file content.

    Raises:
        InputError: If there is no such analyser, or the synonym file cannot be used.
    """
    if name not in ANALYSERS:
        raise InputError(f"there is no analyser {name!r}; {nearest(name, ANALYSERS)}")
    if synonyms is None:
        return _analyser(name, None, b"")
    try:
        content = synonyms.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the synonyms {synonyms}: {error.strerror}") from None
    return _analyser(name, synonyms, content)


@lru_cache(maxsize=64)
def _analyser(name: str, path: Path | None, content: bytes) -> Analyser:
    fold, stemmer = ANALYSERS[name]
    plain = Analyser(name, fold, stemmer)
    if path is None:
        return plain
    return Analyser(name, fold, stemmer, read_synonyms(content, plain, str(path)))


def read_synonyms(content: bytes, plain: Analyser, source: str) -> Synonyms:
    """Read synonym rules in Solr's form.

    `a, b, c` makes the words equal: each becomes the first of its line, in documents and in
    queries (what Lucene calls expand=false). `a, b => c, d` replaces what stands on the left by
    all that stands on the right. `#` begins a comment. A side may have several words.

    Args:
        content: The file.
        plain: The analyser that both sides go through.
        source: Names the file in messages.

    Raises:
        InputError: Naming the line that is not of this form, or gives a left side twice.
    """
    try:
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{source} is not UTF-8: {error}") from None
    table: dict[tuple[str, ...], tuple[tuple[str, ...], int]] = {}
    for number, line in enumerate(lines, 1):
        rule = line.split("#", 1)[0].strip()
        if not rule:
            continue
        left, arrow, right = rule.partition("=>")
        sides = _sides(left, plain)
        targets = _sides(right, plain) if arrow else sides[:1]
        if not sides or not targets or (not arrow and len(sides) < 2) or "=>" in right:
            raise InputError(
                f"{source}, line {number}: {line.strip()!r} is no rule; accepted are "
                "'a, b, c' and 'a, b => c'"
            )
        made = tuple(term for target in targets for term in target)
        for side in sides:
            before, at = table.setdefault(side, (made, number))
            if before != made:
                raise InputError(
                    f"{source}, line {number}: {' '.join(side)!r} has another rule on line {at}"
                )
    rules: dict[str, list[tuple[tuple[str, ...], tuple[str, ...]]]] = {}
    for side, (made, _) in table.items():
        if side != made:
            rules.setdefault(side[0], []).append((side, made))
    ordered = {
        first: tuple(sorted(pairs, key=lambda pair: -len(pair[0])))
        for first, pairs in rules.items()
    }
    return Synonyms(ordered, hashlib.sha256(content).hexdigest())


def _sides(text: str, plain: Analyser) -> list[tuple[str, ...]]:
    analysed = (tuple(plain.tokens(side)) for side in text.split(","))
    return [side for side in analysed if side]
