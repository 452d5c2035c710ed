"""How many clauses a query may have, and what a word that is written wrongly counts."""

from __future__ import annotations

from cascade.engines._server.fields import IndexFields
from cascade.engines.asking import MAX_QUERY_TERMS, Words

MAX_CLAUSES = 1_000
"""Below the 1,024 that the servers take in one query."""
TYPO_WEIGHT = 0.5
"""What a word that differs by a letter or two counts, against the word itself."""


def clauses_a_word(words: Words, fields: IndexFields) -> int:
    """Return how many clauses one word of a text makes, at least 1."""
    return max(1, sum(len(fields[field.name]) for field in words.fields))


def most_words(words: Words, fields: IndexFields) -> int:
    """Return how many words of a text are asked for, so that there are not too many clauses.

    A word may stand in the part that matches and in the one that scores, or be written wrongly
    beside being written well.
    """
    return max(1, min(MAX_QUERY_TERMS, MAX_CLAUSES // (2 * clauses_a_word(words, fields))))
