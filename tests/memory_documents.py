"""Documents in plain lists: what tests hold the columns of, without a catalogue.

Every text and keyword is analysed by lower case and white space.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from cascade.candidates import Candidates, Query, Ragged, TextStatistics
from cascade.schema import Field, Kind, Schema


def ragged(lists: Sequence[Sequence[int]]) -> Ragged:
    offsets = np.cumsum([0, *map(len, lists)]).astype(np.int64)
    return Ragged(offsets, np.array([v for one in lists for v in one], dtype=np.int32))


class MemoryDocuments:
    """Hold documents given as dicts: text as str, keywords as list of str, numbers as float."""

    generation = "memory"
    stale = ()
    behaviour = None

    def __init__(
        self, fields: Mapping[str, str], documents: Sequence[Mapping[str, object]]
    ) -> None:
        self.schema = Schema("id", tuple(Field(n, Kind(kind)) for n, kind in fields.items()))
        self.documents = [dict(document) for document in documents]
        self._terms: dict[str, int] = {}
        self._codes: dict[str, dict[str, int]] = {}
        for document in self.documents:
            for field in self.schema.of_kind(Kind.TEXT):
                self._learn(str(document.get(field.name, "")))
            for field in self.schema.of_kind(Kind.KEYWORD):
                codes = self._codes.setdefault(field.name, {})
                for value in document.get(field.name, []):
                    codes.setdefault(value, len(codes))
                    self._learn(value)

    def _learn(self, text: str) -> None:
        for word in text.lower().split():
            self._terms.setdefault(word, len(self._terms))

    def _at(self, row: int) -> Mapping[str, object]:
        return self.documents[row] if row >= 0 else {}

    def __len__(self) -> int:
        return len(self.documents)

    @property
    def vocabulary_size(self) -> int:
        return len(self._terms)

    def ids(self, rows):
        return [str(self._at(row).get("id", row)) if row >= 0 else "" for row in rows.tolist()]

    def rows(self, ids):
        index = {str(d.get("id", i)): i for i, d in enumerate(self.documents)}
        return np.array([index.get(i, -1) for i in ids], dtype=np.int32)

    def deleted(self, rows):
        return np.zeros(len(rows), dtype=np.bool_)

    def numbers(self, names, rows):
        values = [[self._at(r).get(n, np.nan) for n in names] for r in rows.tolist()]
        return np.array(values, dtype=np.float64).reshape(len(rows), len(names))

    def keywords(self, name, rows):
        codes = self._codes.get(name, {})
        return ragged([[codes[v] for v in self._at(r).get(name, [])] for r in rows.tolist()])

    def keyword_codes(self, name, values):
        return np.array([self._codes.get(name, {}).get(v, -1) for v in values], dtype=np.int32)

    def keyword_values(self, name, codes):
        names = list(self._codes.get(name, {}))
        return [names[code] if code >= 0 else "" for code in codes.tolist()]

    def keyword_terms(self, name, codes):
        words = [value.lower().split() for value in self.keyword_values(name, codes)]
        return ragged([[self._terms[word] for word in one] for one in words])

    def tokens(self, name, rows):
        texts = [str(self._at(r).get(name, "")).lower().split() for r in rows.tolist()]
        return ragged([[self._terms[word] for word in text] for text in texts])

    def vectors(self, name, rows):
        dims = self.schema.by_name[name].dims
        nothing = [np.nan] * dims
        values = [self._at(r).get(name, nothing) for r in rows.tolist()]
        return np.array(values, dtype=np.float32).reshape(len(rows), dims)

    def analyse(self, name, text):
        unknown: dict[str, int] = {}
        ids = [
            self._terms[w] if w in self._terms else unknown.setdefault(w, -2 - len(unknown))
            for w in text.lower().split()
        ]
        return np.array(ids, dtype=np.int32)

    def statistics(self, name):
        texts = [str(d.get(name, "")).lower().split() for d in self.documents]
        frequency = np.zeros(len(self._terms), dtype=np.int32)
        for text in texts:
            for word in set(text):
                frequency[self._terms[word]] += 1
        return TextStatistics(sum(map(bool, texts)), sum(map(len, texts)), frequency)


def candidates(
    documents: MemoryDocuments,
    *listings: tuple[str | Query, Sequence[int]],
    columns: Mapping[str, Sequence[float]] | None = None,
) -> Candidates:
    """Return the candidates of (query, rows) listings; scores fall from the first row on."""
    queries = tuple(
        query if isinstance(query, Query) else Query(str(i), query)
        for i, (query, _) in enumerate(listings)
    )
    lengths = [len(rows) for _, rows in listings]
    rows = np.array([row for _, part in listings for row in part], dtype=np.int32)
    return Candidates(
        queries=queries,
        offsets=np.cumsum([0, *lengths]).astype(np.int64),
        rows=rows,
        scores=np.concatenate([np.arange(n, 0, -1) for n in (*lengths, 0)]).astype(np.float32),
        documents=documents,
        columns={n: np.array(c, dtype=np.float32) for n, c in (columns or {}).items()},
    )
