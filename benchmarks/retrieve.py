"""Retrieving 1,000 candidates: rows and scores, against tantivy's own search and documents.

The peer searches the same index by the same query and asks for each hit's stored document, as code
does that needs ids and fields from the engine. The two take turns.
"""

from __future__ import annotations

import argparse
import time

import tantivy
from _shop import indexed, machine, opened, query_texts, shown

from cascade.candidates import Query
from cascade.config import store_of
from cascade.engines._embedded.index import SOURCE
from cascade.protocols import Asked
from cascade.schema import Kind
from cascade.text import analyser

SIZE = 1_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listings", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=100)
    asked = parser.parse_args()
    config = indexed(asked.listings)
    engine, catalogue = opened(config)
    index = tantivy.Index.open(str(store_of(config).live().engine))
    searcher = index.searcher()
    fields = [f for f in catalogue.schema.of_kind(Kind.TEXT) if f.boost > 0]
    title = max(fields, key=lambda f: f.boost)
    analyse = analyser(title.analyser, title.synonyms)
    boosts = {f.name: f.boost for f in fields}
    ours, searched, theirs, counts = [], [], [], []
    for turn in range(2):
        for text in query_texts(config, asked.queries):
            query = Query(text, text)
            start = time.perf_counter()
            found = engine.retrieve([query], SIZE, Asked())
            middle = time.perf_counter()
            words = " ".join(analyse.tokens(text))
            parsed = index.parse_query(words, list(boosts), field_boosts=boosts)
            hits = searcher.search(parsed, SIZE).hits
            hit = time.perf_counter()
            documents = [(score, searcher.doc(at).get_first(SOURCE)) for score, at in hits]
            end = time.perf_counter()
            if turn:
                ours.append(middle - start)
                searched.append(hit - middle)
                theirs.append(end - middle)
                counts.append((len(found.candidates), len(documents)))
    engine.close()
    print(f"retrieving {SIZE:,} of {asked.listings:,} listings, {len(ours)} queries; {machine()}")
    print(f"  cascade, rows and scores   {shown(ours)}")
    print(f"  tantivy, addresses alone   {shown(searched)}")
    print(f"  tantivy with documents     {shown(theirs)}")
    mean = [sum(c) / len(counts) for c in zip(*counts, strict=True)]
    print(f"  found on average           {mean[0]:.0f} and {mean[1]:.0f}")
    print(f"ratio: 1/{sorted(theirs)[len(theirs) // 2] / sorted(ours)[len(ours) // 2]:.1f}")


if __name__ == "__main__":
    main()
