"""Write a whole marketplace into a folder."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cascade.errors import InputError
from cascade.shop.documents import document_ids, write_documents
from cascade.shop.judgments import Judged, judge
from cascade.shop.lexicon import Lexicon, lexicon
from cascade.shop.listings import Listings, make_listings, stack
from cascade.shop.logs import write_visits
from cascade.shop.market import Market
from cascade.shop.postings import Postings, index_block, join_blocks
from cascade.shop.queries import SEGMENTS, Queries, make_queries
from cascade.shop.sellers import Sellers, make_sellers
from cascade.shop.spec import Progress, ShopSpec, blocks, stream
from cascade.shop.truth import synonym_groups, write_synonyms, write_truth
from cascade.shop.wording import word_listings

FILES = {
    "products": "products.ndjson",
    "synonyms": "synonyms.txt",
    "query_table": "queries.tsv",
    "judgments": "judgments.tsv",
    "query_log": "queries.ndjson",
    "event_log": "events.ndjson",
    "truth": "truth.json",
    "truth_arrays": "truth.npz",
}


@dataclass(frozen=True)
class ShopFiles:
    """Name the files of a written shop.

    Attributes:
        folder: Holds them all.
        products: One JSON document a line.
        synonyms: In Solr's form; only a part of the true synonyms.
        query_table: Columns query_id, query, frequency, segment.
        judgments: Columns query_id, query, doc_id, grade.
        query_log: UBI queries, one JSON object a search.
        event_log: UBI events, one JSON object an event.
        truth: Planted constants and intents.
        truth_arrays: Planted columns of listings, queries and sessions.
        counts: How many listings, queries, judgments, synonym groups, searches and events of
            each action were written.
    """

    folder: Path
    products: Path
    synonyms: Path
    query_table: Path
    judgments: Path
    query_log: Path
    event_log: Path
    truth: Path
    truth_arrays: Path
    counts: dict[str, int]


def write_shop(spec: ShopSpec, folder: Path, progress: Progress | None = None) -> ShopFiles:
    """Write a marketplace, whole or not at all.

    The files are written beside `folder` and renamed into place; a shop that stands there is
    replaced.

    Args:
        spec: Which shop, and how large.
        folder: Where to put it; new, empty, or an older shop.
        progress: Called with the part's name, how much of it is done, and of how much.

    Raises:
        InputError: The spec makes no shop, or `folder` holds other files.
    """
    spec.check()
    folder = Path(folder).absolute()
    _check_replaceable(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    draft.mkdir()
    try:
        counts = _write(spec, draft, progress or _silent)
        if folder.exists():
            shutil.rmtree(folder)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return ShopFiles(folder, **{key: folder / name for key, name in FILES.items()}, counts=counts)


def _silent(part: str, done: int, total: int) -> None:
    """Report nothing."""


def _check_replaceable(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"shop: {folder} is a file; name a folder to write the shop into")
    others = sorted({path.name for path in folder.iterdir()} - set(FILES.values()))
    if others:
        raise InputError(
            f"shop: {folder} holds files that are no shop's, such as {others[0]!r}; "
            "name a new or empty folder, or one that holds an older shop"
        )


def _write(spec: ShopSpec, folder: Path, progress: Progress) -> dict[str, int]:
    lex = lexicon()
    sellers = make_sellers(spec, lex)
    listings, postings = _write_listings(spec, folder, (sellers, lex), progress)
    progress("queries", 0, spec.queries)
    queries = make_queries(spec, listings, sellers, lex)
    progress("queries", len(queries), len(queries))
    market = Market(sellers, listings, queries, lex)
    judged = judge(spec, market, postings, progress)
    del postings
    _write_query_table(folder / FILES["query_table"], queries)
    _write_judgments(folder / FILES["judgments"], queries, judged)
    groups = synonym_groups(spec, lex)
    known = write_synonyms(folder / FILES["synonyms"], groups)
    with (
        (folder / FILES["query_log"]).open("wb") as query_log,
        (folder / FILES["event_log"]).open("wb") as event_log,
    ):
        sessions, events = write_visits(spec, market, judged, (query_log, event_log), progress)
    write_truth(folder, spec, groups, market, sessions)
    return {
        "listings": len(listings),
        "sellers": spec.sellers,
        "queries": len(queries),
        "judgments": len(judged.rows),
        "synonyms": known,
        "sessions": spec.sessions,
        **events,
    }


def _write_listings(
    spec: ShopSpec, folder: Path, cast: tuple[Sellers, Lexicon], progress: Progress
) -> tuple[Listings, Postings]:
    """Write the documents block by block; keep their latent columns and the lexical index."""
    sellers, lex = cast
    parts, indexed = [], []
    with (folder / FILES["products"]).open("wb") as file:
        for block, start, stop in blocks(spec.listings):
            part = make_listings(stream(spec.seed, "listings", block), stop - start, sellers, lex)
            rng = stream(spec.seed, "wording", block)
            wording = word_listings(rng, part, sellers, lex)
            file.write(write_documents(rng, start, part, wording, cast))
            parts.append(part)
            indexed.append(index_block(wording, start, lex))
            progress("listings", stop, spec.listings)
    listings = stack(parts)
    parts.clear()
    return listings, join_blocks(indexed, len(listings))


def _write_query_table(path: Path, queries: Queries) -> None:
    segments = [SEGMENTS[at] for at in queries.segment.tolist()]
    rows = zip(queries.ids, queries.texts, queries.frequency.tolist(), segments, strict=True)
    lines = ["query_id\tquery\tfrequency\tsegment", *(f"{a}\t{b}\t{c}\t{d}" for a, b, c, d in rows)]
    path.write_bytes(("\n".join(lines) + "\n").encode())


def _write_judgments(path: Path, queries: Queries, judged: Judged) -> None:
    query = np.repeat(np.arange(len(queries)), np.diff(judged.offsets)).tolist()
    ids, texts = queries.ids, queries.texts
    rows = zip(query, document_ids(judged.rows), judged.grades.tolist(), strict=True)
    lines = [
        "query_id\tquery\tdoc_id\tgrade",
        *(f"{ids[at]}\t{texts[at]}\t{doc_id}\t{grade}" for at, doc_id, grade in rows),
    ]
    path.write_bytes(("\n".join(lines) + "\n").encode())
