"""A lexical index over the generator's own words: which listings say a word, and how loudly.

It stands in for a shop's first search engine: it picks what shoppers are shown and what judges
are asked about. Weights are the sum of per-field BM25 (Robertson and Zaragoza 2009, eq. 3.15).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cascade.shop.lexicon import Lexicon
from cascade.shop.wording import Wording

K1 = 1.2
B = 0.75
# Field -> (boost, mean length in words, words that are no forms of the vocabulary).
FIELDS = {"title": (3.0, 7.0, 0.5), "tags": (1.0, 6.0, 0.0), "description": (1.0, 45.0, 38.0)}


@dataclass(frozen=True)
class Postings:
    """Hold, for every word, the listings that say it, in ascending order.

    Attributes:
        starts: `int64[words + 1]`.
        rows: `int32[postings]`.
        weights: `float16[postings]`, BM25 without its idf.
        idf: `float64[words]`.
        listings: How many listings there are.
    """

    starts: NDArray[np.int64]
    rows: NDArray[np.int32]
    weights: NDArray[np.float16]
    idf: NDArray[np.float64]
    listings: int

    def score(self, words: NDArray[np.int16]) -> NDArray[np.float32]:
        """Return `float32[listings]`, the lexical score of a query's words."""
        total = np.zeros(self.listings, np.float32)
        for word in words.tolist():
            start, stop = self.starts[word], self.starts[word + 1]
            total[self.rows[start:stop]] += self.weights[start:stop] * np.float32(self.idf[word])
        return total


@dataclass(frozen=True)
class PostingBlock:
    """Hold the postings of one block, sorted by word and then row."""

    counts: NDArray[np.int64]
    rows: NDArray[np.int32]
    weights: NDArray[np.float16]


def index_block(wording: Wording, first_row: int, lex: Lexicon) -> PostingBlock:
    """Index the words of a block of listings."""
    n = len(wording.titles)
    fields = {
        "title": wording.title_forms,
        "tags": wording.tag_forms,
        "description": wording.description_forms,
    }
    keys, weights = [], []
    for name, forms in fields.items():
        boost, mean, filler = FIELDS[name]
        length = filler + np.where(forms >= 0, lex.form_length[forms], 0).sum(axis=1)
        said = np.where((forms >= 0)[:, :, None], lex.form_words[forms], -1).reshape(n, -1)
        row, column = np.nonzero(said >= 0)
        key, count = np.unique(said[row, column].astype(np.int64) * n + row, return_counts=True)
        norm = K1 * (1 - B + B * length[key % n] / mean)
        keys.append(key)
        weights.append(boost * count * (K1 + 1) / (count + norm))
    key, place = np.unique(np.concatenate(keys), return_inverse=True)
    weight = np.bincount(place, np.concatenate(weights))
    counts = np.bincount(key // n, minlength=len(lex.words))
    return PostingBlock(
        counts.astype(np.int64),
        (key % n + first_row).astype(np.int32),
        weight.astype(np.float16),
    )


def join_blocks(blocks: list[PostingBlock], listings: int) -> Postings:
    """Join the postings of all blocks; empties `blocks`, so that both are never held at once."""
    counts = np.stack([block.counts for block in blocks])
    total = counts.sum(axis=0)
    starts = np.concatenate([[0], np.cumsum(total)])
    rows = np.empty(int(starts[-1]), np.int32)
    weights = np.empty(int(starts[-1]), np.float16)
    cursor = starts[:-1].copy()
    blocks.reverse()
    while blocks:
        block = blocks.pop()
        within = np.arange(len(block.rows)) - np.repeat(
            np.cumsum(block.counts) - block.counts, block.counts
        )
        target = np.repeat(cursor, block.counts) + within
        rows[target] = block.rows
        weights[target] = block.weights
        cursor += block.counts
    idf = np.log1p((listings - total + 0.5) / (total + 0.5))
    return Postings(starts, rows, weights, idf, listings)
