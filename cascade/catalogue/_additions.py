"""What upserts add to the columns of a catalogue, and the states that readers see of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cascade.candidates import Float32, Float64, Ragged, TextStatistics
from cascade.catalogue._delta import GrowingFrequency, GrowingLists, GrowingRows
from cascade.catalogue.reader import Catalogue
from cascade.schema import Document, Kind
from cascade.text import Analyser, analyser


@dataclass(frozen=True, slots=True)
class State:
    """Hold what was added up to one moment; nothing in it changes.

    Attributes:
        rows: How many rows were added.
        vocabulary: How many terms there are, those of the build included.
        numbers: float64[rows, number and date fields].
        texts: The term ids of each text field by added row.
        codes: The codes of each keyword field by added row.
        terms: The term ids of each keyword field by added value.
        vectors: Each vector field by added row.
        statistics: Of each text field, with room for the added terms.
    """

    rows: int
    vocabulary: int
    numbers: Float64
    texts: Mapping[str, Ragged]
    codes: Mapping[str, Ragged]
    terms: Mapping[str, Ragged]
    vectors: Mapping[str, Float32]
    statistics: Mapping[str, TextStatistics]

    def values(self, name: str) -> int:
        """Return how many values of a keyword field were added."""
        return len(self.terms[name].offsets) - 1


class Additions:
    """Gather rows beyond those of a build; one thread adds, any may read `state`.

    Args:
        base: The build.
    """

    def __init__(self, base: Catalogue) -> None:
        schema = base.schema
        self._base = base
        self._schema = schema
        self.numeric = {f.name: i for i, f in enumerate(schema.of_kind(Kind.NUMBER, Kind.DATE))}
        self.analysers: Mapping[str, Analyser] = {
            f.name: analyser(f.analyser, f.synonyms)
            for f in schema.of_kind(Kind.TEXT, Kind.KEYWORD)
        }
        self.vocabulary: dict[str, int] = {}
        self.codes: dict[str, dict[str, int]] = {f.name: {} for f in schema.of_kind(Kind.KEYWORD)}
        self.values: dict[str, list[str]] = {name: [] for name in self.codes}
        self._numbers = GrowingRows(np.empty((0, len(self.numeric))))
        self._texts = {f.name: GrowingLists() for f in schema.of_kind(Kind.TEXT)}
        self._codes = {name: GrowingLists() for name in self.codes}
        self._terms = {name: GrowingLists() for name in self.codes}
        self._vectors = {
            f.name: GrowingRows(np.empty((0, f.dims), dtype=np.float32))
            for f in schema.of_kind(Kind.VECTOR)
        }
        self._statistics = {name: GrowingFrequency(base.statistics(name)) for name in self._texts}
        self.state = self._state()

    def add(self, documents: Sequence[Document | None]) -> None:
        """Append a row for each document, an empty one for None, and show them all at once."""
        before = len(self.vocabulary)
        for name, column in self._texts.items():
            tokens = [_texts(document, name, self.analysers[name]) for document in documents]
            column.extend([len(one) for one in tokens], self._numbered(tokens))
        for name, codes in self._codes.items():
            values = [document.keywords.get(name, ()) if document else () for document in documents]
            codes.extend([len(one) for one in values], self._coded(name, values))
        numbers = np.full((len(documents), len(self.numeric)), np.nan)
        for at, document in enumerate(documents):
            for name, number in document.numbers.items() if document else ():
                numbers[at, self.numeric[name]] = number
        self._numbers.extend(numbers)
        for name, rows in self._vectors.items():
            rows.extend(_vectors(documents, name, self._schema.by_name[name].dims))
        for statistics in self._statistics.values():
            statistics.widen(len(self.vocabulary) - before)
        self.state = self._state()

    def _state(self) -> State:
        return State(
            rows=len(self._numbers),
            vocabulary=self._base.vocabulary_size + len(self.vocabulary),
            numbers=self._numbers.view(),
            texts={name: column.view() for name, column in self._texts.items()},
            codes={name: column.view() for name, column in self._codes.items()},
            terms={name: column.view() for name, column in self._terms.items()},
            vectors={name: column.view() for name, column in self._vectors.items()},
            statistics={name: column.view() for name, column in self._statistics.items()},
        )

    def _numbered(self, lists: Sequence[Sequence[str]]) -> list[int]:
        """Return the term ids of all tokens in order; unknown ones become terms."""
        distinct = list(dict.fromkeys(token for tokens in lists for token in tokens))
        known = dict(zip(distinct, self._base.terms(distinct).tolist(), strict=True))
        start = self._base.vocabulary_size
        for token, term in known.items():
            if term < 0:
                known[token] = self.vocabulary.setdefault(token, start + len(self.vocabulary))
        return [known[token] for tokens in lists for token in tokens]

    def _coded(self, name: str, lists: Sequence[Sequence[str]]) -> list[int]:
        """Return the codes of all values in order; unknown ones get terms and codes."""
        distinct = list(dict.fromkeys(value for values in lists for value in values))
        codes = self._base.keyword_codes(name, distinct).tolist()
        known = dict(zip(distinct, codes, strict=True))
        own, start = self.codes[name], self._base.keyword_count(name)
        fresh = [value for value, code in known.items() if code < 0 and value not in own]
        tokens = [self.analysers[name].tokens(value) for value in fresh]
        self._terms[name].extend([len(one) for one in tokens], self._numbered(tokens))
        for value in fresh:
            self.values[name].append(value)
            own[value] = start + len(own)
        for value, code in known.items():
            if code < 0:
                known[value] = own[value]
        return [known[value] for values in lists for value in values]


def _texts(document: Document | None, name: str, analysis: Analyser) -> list[str]:
    texts = document.texts.get(name) if document is not None else None
    return analysis.tokens_of(texts) if texts is not None else []


def _vectors(documents: Sequence[Document | None], name: str, dims: int) -> NDArray[np.float32]:
    absent = (np.nan,) * dims
    rows = [d.vectors.get(name, absent) if d is not None else absent for d in documents]
    # Through float64, as a build writes them.
    return np.array(rows, dtype=np.float64).reshape(len(rows), dims).astype(np.float32)
