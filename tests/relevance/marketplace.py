"""Relevance tests of the demo marketplace, as a shop writes them.

Run by `pytest tests/relevance/marketplace.py --cascade-config FOLDER/cascade.toml`; the name keeps
it out of the project's own run, where `test_every_engine.py` runs it against each server.
"""

import os
from pathlib import Path

QUERIES = Path(os.environ["RELEVANCE_QUERIES"])


def test_the_first_page_is_relevant(ndcg):
    assert ndcg(QUERIES).low >= 0.4
    assert ndcg(QUERIES) > ndcg(QUERIES, system="bm25") + 0.03


def test_retrieval_brings_what_is_relevant(recall_at_window):
    assert recall_at_window(QUERIES, 1000).low >= 0.7


def test_a_page_is_answered(p95_ms):
    # Wide: a shared machine with three more servers on it.
    assert p95_ms(QUERIES) <= 2_000


def test_young_sellers_are_seen(share_of):
    young = share_of({"seller_age_days": {"lt": 90}}, QUERIES)
    assert 0 < young < 0.5
