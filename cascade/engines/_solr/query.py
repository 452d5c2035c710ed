"""From a query's words, filters and facets to Solr's clauses.

No text of a user is ever parsed as a query: what a clause is made of are the names of fields,
numbers, and references (`v=$c0`) to parameters that hold the terms and values as they are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from cascade.engines._server.fields import IndexField, IndexFields, held_by
from cascade.engines._server.limits import TYPO_WEIGHT, most_words
from cascade.engines.asking import (
    MAX_QUERY_CHARS,
    MAX_QUERY_TERMS,
    Word,
    Words,
    cleaned,
    distinct,
    needed,
)
from cascade.engines.connection import Matching
from cascade.filters import AllOf, AnyOf, Exists, Filter, In, Not, Range, fields_of

_SYNTAX = re.compile(r"([^\w\s])|(\b(?:AND|OR|NOT|TO)\b)")
_EVERYTHING, _NOTHING = "*:*", "(*:* -*:*)"
_EPOCH = datetime(1970, 1, 1)
_EARLIEST_MS, _LATEST_MS = -62_135_596_800_000, 253_402_300_799_999  # the years 1 to 9999


def number(value: float) -> str:
    """Return a number as Solr reads it; -0.0, which Lucene orders below 0.0, becomes 0.0."""
    return repr(float(value) + 0.0)


def instant(seconds: float, rounded: Callable[[float], int] = round) -> str:
    """Return a date in whole milliseconds, held within the years 1 to 9999."""
    exact = seconds * 1000
    near = round(min(max(exact, _EARLIEST_MS), _LATEST_MS))
    # Seconds of our time are known to a quarter of a microsecond: that near, they are meant whole.
    if abs(exact - near) >= 1e-3 and _EARLIEST_MS <= exact <= _LATEST_MS:
        near = rounded(exact)
    moment = _EPOCH + timedelta(milliseconds=min(near, _LATEST_MS))
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
        words: Finds the words of a text.
        fields: What holds the schema's fields in the index.
        matching: What a text must match and what that counts.
        key: The field of the documents' ids.
        ours: Whether the index holds our own terms, parted by blanks.
        always: Clauses that every request carries, and their values, by the value's name.
    """

    words: Words
    fields: IndexFields
    matching: Matching
    key: str = "id"
    ours: bool = True
    always: Mapping[str, tuple[str, str]] = field(default_factory=dict)

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

        A document's score is the sum over fields and distinct terms of boost x BM25, and what
        phrases are set to count beside.

        Raises:
            QueryError: If the index has not a field that is filtered.
        """
        values = _Values()
        if self.matching.analysed == "server" and not self.ours:
            score, matching = self._analysed_there(values, text, minimum_match), None
        else:
            score, matching = self._analysed_here(values, text, minimum_match)
        parts = self._filters(values, filters)
        if match_all:
            score = f"+{_EVERYTHING}^=0" + (f" {_and(score, matching)}" if score else "")
        elif matching is not None:
            parts.append(FilterClause(frozenset(), f"{{!lucene cache=false v={matching}}}"))
        if only is not None:
            parts.append(self._only(values, only))
        return Clauses(score, tuple(parts), values.params)

    def page(self, ids: Sequence[str], filters: AllOf) -> Clauses:
        """Return the clauses of documents by id that still pass the filters."""
        values = _Values()
        score = self._only(values, ids).clause
        return Clauses(score, tuple(self._filters(values, filters)), values.params)

    def filtered(self, filters: AllOf, only: Sequence[str] | None = None) -> Clauses:
        """Return the clauses of the filters alone, for a query that is not ours."""
        values = _Values()
        parts = self._filters(values, filters)
        if only is not None:
            parts.append(self._only(values, only))
        return Clauses(None, tuple(parts), values.params)

    def _analysed_here(
        self, values: _Values, text: str, minimum_match: float
    ) -> tuple[str | None, str | None]:
        """Return what scores a text, and what must match besides; None for nothing."""
        variants = self.words.variants(text, most_words(self.words, self.fields))
        words = distinct(variants)
        if not words:
            return None, None
        matching = None
        if minimum_match > 0 and len(words) > 1:
            parts = [self._at_least(values, variant, minimum_match) for variant in variants]
            if len(parts) == 1 and self.matching.phrase_boost <= 0:
                return parts[0], None
            matching = values.put(_any(parts))
        score = _any([clause for word in words for clause in self._word(values, word)])
        if self.matching.phrase_boost > 0 and len(words) > 1:
            score = f"(+{score} {' '.join(self._phrases(values, text))})"
        return score, matching

    def _word(self, values: _Values, word: Word) -> list[str]:
        known: dict[str, str] = {}
        clauses = []
        for name, term in word:
            if term not in known:
                known[term] = values.put(term)
            for held in self.fields[name]:
                exact = f"{{!term f={held.path} v={known[term]}}}"
                boost = self._boost(name)
                clauses.append(_boosted(exact, boost))
                if self.matching.typos and (edits := _edits(term)):
                    typed = values.put(f"{_escaped(term)}~{edits}")
                    fuzzy = f"{{!lucene df={held.path} v={typed}}}"
                    clauses.append(_boosted(fuzzy, boost * TYPO_WEIGHT))
        return clauses

    def _at_least(self, values: _Values, words: Sequence[Word], share: float) -> str:
        """Return the clause that at least a share of the words match."""
        parts = [values.put(_any(self._word(values, word))) for word in words]
        should = " ".join(f"should={part}" for part in parts)
        return f"{{!bool {should} mm={needed(share, len(words))}}}"

    def _phrases(self, values: _Values, text: str) -> list[str]:
        clauses = []
        for spec in self.words.fields:
            # Our own index holds terms parted by blanks; another reads the text as it stands.
            read = self.words.analysers[spec.name].tokens(cleaned(text[:MAX_QUERY_CHARS]))
            words = " ".join(read[:MAX_QUERY_TERMS]) if self.ours else cleaned(text)
            phrase = values.put(f'"{_escaped(words)}"~{self.matching.phrase_slop}')
            boost = spec.boost * self.matching.phrase_boost
            clauses += [
                _boosted(f"{{!lucene df={held.path} v={phrase}}}", boost)
                for held in self.fields[spec.name]
            ]
        return clauses

    def _analysed_there(self, values: _Values, text: str, minimum_match: float) -> str | None:
        """Return the clause in which the server's own analysers read the text."""
        words = [w for w in cleaned(text[:MAX_QUERY_CHARS]).split() if any(map(str.isalnum, w))]
        words = words[:MAX_QUERY_TERMS]
        paths = [
            (held.path, spec.boost) for spec in self.words.fields for held in self.fields[spec.name]
        ]
        if not words or not paths:
            return None
        plain = " ".join(map(_escaped, words))
        if self.matching.typos:
            edits = [(_escaped(word), _edits(word)) for word in words]
            plain = " ".join(f"{word}~{most}" if most else word for word, most in edits)
        # The scores of fields add up, as those of our own terms do, and no word names a field.
        settings = {"uf": "-*", "tie": "1.0", "sow": "false", "lowercaseOperators": "false"}
        settings["q.op"] = "OR"
        settings["mm"] = _share(minimum_match)
        settings["qf"] = values.put(_weights(paths, 1.0))
        if self.matching.phrase_boost > 0:
            settings["pf"] = values.put(_weights(paths, self.matching.phrase_boost))
            settings["ps"] = str(self.matching.phrase_slop)
        settings["v"] = values.put(plain)
        return f"({{!edismax {' '.join(f'{key}={value}' for key, value in settings.items())}}})"

    def _boost(self, name: str) -> float:
        return next(spec.boost for spec in self.words.fields if spec.name == name)

    def _filters(self, values: _Values, filters: AllOf) -> list[FilterClause]:
        for name, (_, value) in self.always.items():
            values.params[name] = value
        always = [FilterClause(frozenset(), clause) for clause, _ in self.always.values()]
        return always + [
            FilterClause(fields_of(part), self._filter(values, part)) for part in filters.parts
        ]

    def _only(self, values: _Values, ids: Sequence[str]) -> FilterClause:
        clause = _equal(values, self.key, [cleaned(doc_id) for doc_id in ids])
        return FilterClause(frozenset(), clause)

    def _filter(self, values: _Values, part: Filter) -> str:
        match part:
            case In(name, given):
                held = held_by(self.fields, name)
                clause = _any([_equal(values, one.path, _exact(one, given)) for one in held])
            case Range(name):
                clause = _any([_range(one, part) for one in held_by(self.fields, name)])
            case Exists(name):
                clause = _any([f"{one.path}:*" for one in held_by(self.fields, name)])
            case Not(inner):
                clause = f"({_EVERYTHING} -{self._filter(values, inner)})"
            case AnyOf(parts):
                clause = _any([self._filter(values, one) for one in parts])
            case AllOf(()):
                clause = _EVERYTHING
            case AllOf(parts):
                clause = f"({' '.join('+' + self._filter(values, one) for one in parts)})"
        return clause


def _exact(held: IndexField, given: Sequence[str | float]) -> list[str]:
    texts = [cleaned(value) for value in given if isinstance(value, str)]
    numbers = [value for value in given if not isinstance(value, str)]
    return texts + [instant(value) if held.is_date else number(value) for value in numbers]


def _equal(values: _Values, path: str, exact: Sequence[str]) -> str:
    """Return what holds where a field has one of these values, as they are."""
    if len(exact) == 1 and exact[0]:
        return f"{{!term f={path} v={values.put(exact[0])}}}"
    if not any(exact):
        return _NOTHING
    # A blank would have the values trimmed.
    used = set("".join(exact)) | {" "}
    separator = next(char for char in map(chr, range(1, 0xD800)) if char not in used)
    listed = values.put(separator.join(exact))
    return f"{{!terms f={path} separator={values.put(separator)} v={listed}}}"


def _range(held: IndexField, part: Range) -> str:
    lower = [(b + 0.0, more) for b, more in ((part.gte, 0), (part.gt, 1)) if b is not None]
    upper = [(b + 0.0, -less) for b, less in ((part.lte, 0), (part.lt, 1)) if b is not None]
    low, above = max(lower, default=(None, 0))
    high, below = min(upper, default=(None, 0))
    first, last = "*", "*"
    if low is not None:
        rounded = math.floor if above else math.ceil
        first = instant(low, rounded) if held.is_date else number(low)
    if high is not None:
        rounded = math.ceil if below else math.floor
        last = instant(high, rounded) if held.is_date else number(high)
    return f"{held.path}:{'{' if above else '['}{first} TO {last}{'}' if below else ']'}"


def _share(minimum_match: float) -> str:
    """Return edismax's `mm` that rounds up: so many percent of the words may be missing."""
    if minimum_match <= 0:
        return "1"
    missing = math.floor((1 - minimum_match) * 100 + 1e-9)
    return f"-{missing}%" if missing > 0 else "100%"


def _weights(paths: Sequence[tuple[str, float]], factor: float) -> str:
    return " ".join(f"{path}^{_weight(boost * factor)}" for path, boost in paths)


def _boosted(clause: str, boost: float) -> str:
    return clause if boost == 1 else f"{clause}^{_weight(boost)}"


def _weight(boost: float) -> str:
    """Return a boost in digits: the syntax has no exponent."""
    return f"{Decimal(repr(boost)):f}"


def _any(clauses: Sequence[str]) -> str:
    return f"({' '.join(clauses)})" if clauses else _NOTHING


def _and(score: str, matching: str | None) -> str:
    return score if matching is None else f"(+{score} +{{!lucene v={matching}}}^0)"


def _escaped(text: str) -> str:
    """Return a text in which nothing is an operator of Lucene's syntax."""
    plain = _SYNTAX.sub(lambda at: f"\\{at[1]}" if at[1] else at[2].lower(), text)
    return plain.replace("\x00", " ")


def _edits(word: str) -> int:
    """Return by how many letters a word may differ."""
    return 0 if len(word) < 3 else 1 if len(word) < 6 else 2
