"""From a query's words, filters and facets to Solr's clauses.

No text of a user is ever parsed as a query: what a clause is made of are the names of fields,
numbers, and references (`v=$c0`) to parameters that hold the terms and values as they are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import chain

from cascade.engines.connection import Matching
from cascade.filters import AllOf, AnyOf, Exists, Filter, In, Not, Range, fields_of
from cascade.schema import Kind, Schema
from cascade.text import Analyser, analyser

MAX_QUERY_CHARS = 10_000
MAX_QUERY_TERMS = 64
MAX_CLAUSES = 1_000
"""Below the 1,024 that a Solr takes in one query unless its `maxBooleanClauses` says more."""

_SURROGATES = re.compile("[\ud800-\udfff]")
_SYNTAX = re.compile(r"([^\w\s])|(\b(?:AND|OR|NOT|TO)\b)")
_EVERYTHING = "*:*"
_NOTHING = "(*:* -*:*)"
_EPOCH = datetime(1970, 1, 1)
_EARLIEST, _LATEST = -62_135_596_800_000, 253_402_300_799_999  # the years 1 to 9999, in ms

Word = tuple[tuple[str, str], ...]
"""One word of a query: the term that it is in each field, as (field, term) pairs."""


def cleaned(text: str) -> str:
    """Replace lone surrogates, which JSON in UTF-8 cannot hold, by U+FFFD."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def number(value: float) -> str:
    """Return a number as Solr reads it; -0.0, which Lucene orders below 0.0, becomes 0.0."""
    return repr(float(value) + 0.0)


def instant(seconds: float) -> str:
    """Return a date in whole milliseconds, held within the years 1 to 9999."""
    ms = min(max(round(seconds * 1000), _EARLIEST), _LATEST)
    moment = _EPOCH + timedelta(milliseconds=ms)
    return f"{moment.isoformat(timespec='milliseconds')}Z"


@dataclass(frozen=True, slots=True)
class FilterClause:
    """Hold one filter: the fields that it reads, and the clause."""

    fields: frozenset[str]
    clause: str

    def tagged(self) -> str:
        """Return the clause under the name of its only field, if it has one, for facets."""
        if len(self.fields) != 1:
            return self.clause
        return f"{{!tag={next(iter(self.fields))}}}({self.clause})"


@dataclass(frozen=True)
class Clauses:
    """Hold what one request asks, and the values that its clauses refer to.

    Attributes:
        score: What is matched and scored; None if nothing can match.
        filters: What must hold besides.
        params: Terms, texts and values by the name that clauses know them by.
    """

    score: str | None
    filters: tuple[FilterClause, ...]
    params: Mapping[str, str]

    @property
    def queries(self) -> list[str]:
        """The filters as Solr's `filter` takes them."""
        return [part.clause for part in self.filters]

    @property
    def tagged(self) -> list[str]:
        """The filters, named by field so that a facet can leave its own out."""
        return [part.tagged() for part in self.filters]


@dataclass
class _Values:
    """Give every value a name to be referred to by."""

    params: dict[str, str] = field(default_factory=dict)

    def put(self, value: str) -> str:
        name = f"c{len(self.params)}"
        self.params[name] = value
        return f"${name}"


@dataclass(frozen=True)
class ClauseWriter:
    """Write the clauses for one index.

    Attributes:
        schema: What documents look like.
        analysers: The analyser of each text field, by name.
        matching: What a text must match and what that counts.
        key: The field of the documents' ids.
        always: Clauses and their values that every request carries, by the value's name.
    """

    schema: Schema
    analysers: Mapping[str, Analyser]
    matching: Matching = field(default_factory=Matching)
    key: str = "id"
    always: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def terms(self, name: str, text: str) -> list[str]:
        """Return the distinct terms of a query text in a field, at most `MAX_QUERY_TERMS`."""
        tokens = self.analysers[name].tokens(cleaned(text[:MAX_QUERY_CHARS]))
        return list(dict.fromkeys(tokens))[:MAX_QUERY_TERMS]

    def retrieval(
        self,
        text: str,
        filters: AllOf,
        *,
        minimum_match: float = 0.0,
        only: Sequence[str] | None = None,
        match_all: bool = False,
    ) -> Clauses:
        """Return the clauses of a query text under filters.

        A document's score is the sum over fields and distinct terms of boost x BM25.
        """
        values = _Values()
        score, matching = self._text(values, text, minimum_match)
        parts = self._filters(values, filters)
        if match_all:
            score = f"+{_EVERYTHING}^=0" + (f" {_and(score, matching)}" if score else "")
        elif matching is not None:
            parts.append(FilterClause(frozenset(), f"{{!lucene cache=false v={matching}}}"))
        if only is not None:
            parts.append(FilterClause(frozenset(), self._in(values, self.key, list(only))))
        return Clauses(score, tuple(parts), values.params)

    def page(self, ids: Sequence[str], filters: AllOf) -> Clauses:
        """Return the clauses of documents by id that still pass the filters."""
        values = _Values()
        score = self._in(values, self.key, [cleaned(doc_id) for doc_id in ids])
        return Clauses(score, tuple(self._filters(values, filters)), values.params)

    def filtered(self, filters: AllOf) -> Clauses:
        """Return the clauses of the filters alone, for a query that is not ours."""
        values = _Values()
        return Clauses(None, tuple(self._filters(values, filters)), values.params)

    def searched(self) -> list[tuple[str, float]]:
        """Return the text fields that retrieval searches, with their boosts."""
        return [(f.name, f.boost) for f in self.schema.of_kind(Kind.TEXT) if f.boost > 0]

    def _text(
        self, values: _Values, text: str, minimum_match: float
    ) -> tuple[str | None, str | None]:
        """Return what scores a text, and what must match besides; None for nothing."""
        short = cleaned(text[:MAX_QUERY_CHARS])
        if self.matching.analysed == "server":
            return self._server_text(values, short, minimum_match), None
        variants = self._words(short)
        words = list(dict.fromkeys(chain.from_iterable(variants)))
        if not words:
            return None, None
        if minimum_match <= 0 or len(words) == 1:
            score = _any([one for word in words for one in self._word(values, word)])
            return self._with_phrases(values, score, words, short), None
        if len(variants) == 1:
            score = self._at_least(values, variants[0], minimum_match)
            return self._with_phrases(values, score, words, short), None
        score = _any([one for word in words for one in self._word(values, word)])
        needed = _any([self._at_least(values, variant, minimum_match) for variant in variants])
        return self._with_phrases(values, score, words, short), values.put(needed)

    def _words(self, text: str) -> list[list[Word]]:
        """Return the words of a text; more than one list where analysers part it differently.

        Fields of one analyser share their words. Analysers that find the same number of terms
        see the same words in other forms, which are matched place by place; otherwise (a synonym
        of several words) each analyser's fields have a list of their own.
        """
        groups: dict[int, tuple[list[str], list[str]]] = {}
        for name, _ in self.searched():
            reader = self.analysers[name]
            names, _ = groups.setdefault(id(reader), ([], reader.tokens(text)))
            names.append(name)
        found = [group for group in groups.values() if group[1]]
        if not found:
            return []
        if len({len(tokens) for _, tokens in found}) == 1:
            places = zip(*(tokens for _, tokens in found), strict=True)
            words = [
                tuple(
                    (name, term)
                    for (names, _), term in zip(found, place, strict=True)
                    for name in names
                )
                for place in places
            ]
            most = _most_words(sum(len(names) for names, _ in found))
            return [list(dict.fromkeys(words))[:most]]
        most = _most_words(2 * sum(len(names) for names, _ in found))
        return [
            [tuple((name, term) for name in names) for term in list(dict.fromkeys(tokens))[:most]]
            for names, tokens in found
        ]

    def _word(self, values: _Values, word: Word) -> list[str]:
        known: dict[str, str] = {}
        clauses = []
        for name, term in word:
            if term not in known:
                known[term] = values.put(_fuzzy(term) if self.matching.typos else term)
            parser = "lucene df" if self.matching.typos else "term f"
            clause = f"{{!{parser}={name} v={known[term]}}}"
            clauses.append(_boosted(clause, self.schema.by_name[name].boost))
        return clauses

    def _at_least(self, values: _Values, words: Sequence[Word], share: float) -> str:
        """Return the clause that at least a share of the words match."""
        parts = [values.put(_any(self._word(values, word))) for word in words]
        should = " ".join(f"should={part}" for part in parts)
        return f"{{!bool {should} mm={_needed(share, len(words))}}}"

    def _with_phrases(self, values: _Values, score: str, words: Sequence[Word], text: str) -> str:
        boost = self.matching.phrase_boost
        if boost <= 0 or len(words) < 2:
            return score
        phrase = values.put(f'"{_escaped(text)}"~{self.matching.phrase_slop}')
        phrases = [
            _boosted(f"{{!lucene df={name} v={phrase}}}", boost * own)
            for name, own in self.searched()
        ]
        return f"(+({score}) {' '.join(phrases)})"

    def _server_text(self, values: _Values, text: str, minimum_match: float) -> str | None:
        """Return the clause in which the server's own analysers read the text."""
        words = [word for word in text.split() if any(map(str.isalnum, word))]
        if not words:
            return None
        if self.matching.typos:
            plain = " ".join(_fuzzy(word) for word in words[:MAX_QUERY_TERMS])
        else:
            plain = _escaped(" ".join(words[:MAX_QUERY_TERMS]))
        fields = values.put(" ".join(f"{name}^{_weight(boost)}" for name, boost in self.searched()))
        settings = [f"qf={fields}", f"mm={_share(minimum_match)}", f"v={values.put(plain)}"]
        if self.matching.phrase_boost > 0:
            boosted = (
                f"{name}^{_weight(boost * self.matching.phrase_boost)}"
                for name, boost in self.searched()
            )
            settings.append(f"pf={values.put(' '.join(boosted))} ps={self.matching.phrase_slop}")
        # Fields add up, as they do with our own terms, and no word of the text names a field.
        return (
            f"({{!edismax uf=-* tie=1.0 sow=false lowercaseOperators=false {' '.join(settings)}}})"
        )

    def _filters(self, values: _Values, filters: AllOf) -> list[FilterClause]:
        for name, (_, value) in self.always.items():
            values.params[name] = value
        always = [FilterClause(frozenset(), clause) for clause, _ in self.always.values()]
        return always + [
            FilterClause(fields_of(part), self._filter(values, part)) for part in filters.parts
        ]

    def _filter(self, values: _Values, part: Filter) -> str:
        match part:
            case In(name, given):
                clause = self._in(values, name, given)
            case Range():
                clause = self._range(part)
            case Exists(name):
                clause = f"{name}:*"
            case Not(inner):
                clause = f"({_EVERYTHING} -{self._filter(values, inner)})"
            case AnyOf(parts):
                clause = _any([self._filter(values, one) for one in parts])
            case AllOf(()):
                clause = _EVERYTHING
            case AllOf(parts):
                clause = f"({' '.join('+' + self._filter(values, one) for one in parts)})"
        return clause

    def _in(self, values: _Values, name: str, given: Sequence[str | float]) -> str:
        exact = [cleaned(v) if isinstance(v, str) else self._written(name, v) for v in given]
        if len(exact) == 1:
            return f"{{!term f={name} v={values.put(exact[0])}}}" if exact[0] else _NOTHING
        separator = "\x01"
        while any(separator in value for value in exact):
            separator += "\x01\x02"
        listed = values.put(separator.join(exact))
        return f"{{!terms f={name} separator={values.put(separator)} v={listed}}}"

    def _range(self, part: Range) -> str:
        lower = [(b + 0.0, more) for b, more in ((part.gte, 0), (part.gt, 1)) if b is not None]
        upper = [(b + 0.0, -less) for b, less in ((part.lte, 0), (part.lt, 1)) if b is not None]
        low, above = max(lower, default=(None, 0))
        high, below = min(upper, default=(None, 0))
        first = "*" if low is None else self._written(part.field, low)
        last = "*" if high is None else self._written(part.field, high)
        return f"{part.field}:{'{' if above else '['}{first} TO {last}{'}' if below else ']'}"

    def _written(self, name: str, value: float) -> str:
        spec = self.schema.by_name.get(name)
        return instant(value) if spec is not None and spec.kind is Kind.DATE else number(value)


def analysers_of(schema: Schema) -> dict[str, Analyser]:
    """Return the analyser of each text field by name."""
    return {f.name: analyser(f.analyser, f.synonyms) for f in schema.of_kind(Kind.TEXT)}


def _needed(share: float, words: int) -> int:
    return min(words, max(1, math.ceil(share * words - 1e-9)))


def _share(minimum_match: float) -> str:
    """Return edismax's `mm` that rounds up: so many percent of the words may be missing."""
    return (
        f"-{math.floor((1 - min(minimum_match, 1.0)) * 100 + 1e-9)}%" if minimum_match > 0 else "1"
    )


def _most_words(fields: int) -> int:
    return max(1, min(MAX_QUERY_TERMS, MAX_CLAUSES // fields))


def _boosted(clause: str, boost: float) -> str:
    return clause if boost == 1 else f"{clause}^{_weight(boost)}"


def _weight(boost: float) -> str:
    """Return a boost in digits: the syntax has no exponent."""
    return f"{Decimal(repr(boost)):f}"


def _any(clauses: Sequence[str]) -> str:
    return f"({' '.join(clauses)})"


def _and(score: str, matching: str | None) -> str:
    return score if matching is None else f"(+{score} +{{!lucene v={matching}}}^=0)"


def _escaped(text: str) -> str:
    """Return a text in which nothing is an operator of Lucene's syntax."""
    return _SYNTAX.sub(
        lambda found: f"\\{found[1]}" if found[1] else str(found[2]).lower(), text
    ).replace("\x00", " ")


def _fuzzy(word: str) -> str:
    """Return a word that may differ by a letter from 3 letters on, by two from 6 on."""
    edits = 0 if len(word) < 3 else 1 if len(word) < 6 else 2
    return _escaped(word) + (f"~{edits}" if edits else "")
