"""From the request log to the searches of the event log: what was shown, and at which chance."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from cascade.errors import InputError
from cascade.events.importing import IMPORTS, Import, Source, changing, imports, sweep
from cascade.events.request_columns import shown_in
from cascade.events.rules import Rules, apply_rules
from cascade.events.staging import STAGED, Tally, arrow, arrow_schema
from cascade.events.tables import connect

RANKED, LATER, TWICE = (
    "rankings, of which nobody says what was shown",
    "pages whose earlier pages are not there",
    "pages that were asked for again",
)


@dataclass(frozen=True, slots=True)
class ShownPage:
    """Hold what one request showed.

    Attributes:
        query_id: The query's id.
        route: "search" or "rank".
        text: What the shopper typed.
        time: Seconds since 1970.
        session: The pseudonym of the session, if known.
        visitor: The pseudonym of the visitor, if known.
        consent: Whether the request may be linked with others.
        surface: Where it was shown, if known.
        offset: The ranks before the page.
        results: The documents.
        propensities: The chance of each to stand where it stood, None without exploration.
    """

    query_id: str
    route: str
    text: str
    time: float
    session: str | None
    visitor: str | None
    consent: bool
    surface: str | None
    offset: int
    results: list[str]
    propensities: list[float] | None


def import_requests(
    root: Path, files: Sequence[Path], rules: Rules | None = None, memory_mb: int = 1_024
) -> Import:
    """Import files of the request log as searches of the event log at `root`.

    All pages of a query are one search, as far as they follow each other. A file that was imported
    before, by its name, is left out; sessions and visitors have their pseudonyms already.

    Args:
        root: The event log.
        files: Files of one request log; give those of the same time together.
        rules: What is left out.
        memory_mb: What the rules may keep in memory before they spill to disk.

    Raises:
        InputError: If a file is no request log.
        RefusedError: If another process changes the log.
    """
    start, now = time.perf_counter(), time.time()
    rules = Rules() if rules is None else rules
    with changing(root):
        sweep(root)
        named = {sha256(path.name.encode()).hexdigest(): path for path in files}
        before = {source.sha256 for done in imports(root) for source in done.sources}
        fresh = {sha: path for sha, path in named.items() if sha not in before}
        known = tuple(path.name for sha, path in named.items() if sha in before)
        name = "import-" + sha256("".join(sorted(fresh)).encode()).hexdigest()[:16]
        if not fresh:
            return Import(name, now, known=known, seconds=time.perf_counter() - start)
        staged = root / f".staged-{os.getpid()}"
        try:
            others: Counter[str] = Counter()
            tally, sources = _stage(staged, fresh, others)
            with closing(connect(0, memory_mb, staged)) as connection:
                kept = apply_rules(connection, staged / "read", staged / "kept", rules, tally)
            done = Import(
                name=name,
                time=now,
                sources=sources,
                known=known,
                lines=tally.lines,
                read={"search": tally.searches},
                others=dict(others.most_common()),
                dropped=kept.dropped,
                robots=kept.robots,
                kept={"searches": kept.searches, "events": kept.events},
                refusing=tally.refusing,
                rules=asdict(rules),
                seconds=time.perf_counter() - start,
            )
            _publish(root, staged, done)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
    return done


def joined_pages(pages: Sequence[ShownPage], others: Counter[str]) -> Iterator[ShownPage]:
    """Yield one page for each query: its pages from rank 1 on, one after the other.

    Args:
        pages: Of any queries.
        others: Counts the pages that are left out, by reason.
    """
    by_query: dict[str, list[ShownPage]] = {}
    for page in pages:
        if page.route == "search":
            by_query.setdefault(page.query_id, []).append(page)
        else:
            others[RANKED] += 1
    for group in by_query.values():
        whole: ShownPage | None = None
        for page in sorted(group, key=lambda page: (page.offset, page.time)):
            if whole is None and page.offset == 0:
                whole = page
            elif whole is None or page.offset > len(whole.results):
                others[LATER] += 1
            elif page.offset < len(whole.results) or not page.results:
                others[TWICE] += 1
            else:
                whole = _followed(whole, page)
        if whole is not None:
            yield whole


def _followed(page: ShownPage, following: ShownPage) -> ShownPage:
    content = {name: getattr(page, name) for name in ShownPage.__slots__}
    content["results"] = page.results + following.results
    if page.propensities is not None and following.propensities is not None:
        content["propensities"] = page.propensities + following.propensities
    else:
        content["propensities"] = None
    return ShownPage(**content)


def _stage(
    staged: Path, files: dict[str, Path], others: Counter[str]
) -> tuple[Tally, tuple[Source, ...]]:
    pa, parquet = arrow()
    (staged / "read").mkdir(parents=True)
    (staged / "kept").mkdir()
    pages: list[ShownPage] = []
    sources = []
    for sha, path in files.items():
        found = [ShownPage(**content) for content in shown_in(path)]
        sources.append(Source(path.name, sha, len(found)))
        pages += found
    if not pages:
        raise InputError(f"{', '.join(p.name for p in files.values())}: there is no request")
    shown = list(joined_pages(pages, others))
    names = [name for name in STAGED["searches"] if name != "robot"]
    columns: dict[str, list[Any]] = {
        name: [getattr(page, name) for page in shown] for name in names
    }
    columns["robot"] = [False] * len(shown)
    schema = arrow_schema(STAGED["searches"])
    parquet.write_table(pa.table(columns, schema=schema), staged / "read" / "searches.parquet")
    refusing = sum(not page.consent for page in shown)
    return Tally(lines=len(pages), searches=len(shown), refusing=refusing), tuple(sources)


def _publish(root: Path, staged: Path, done: Import) -> None:
    (root / "searches").mkdir(exist_ok=True)
    made = staged / "kept" / "searches.parquet"
    if made.exists():
        made.replace(root / "searches" / f"{done.name}.parquet")
    (root / IMPORTS).mkdir(exist_ok=True)
    record = staged / "import.json"
    record.write_bytes(orjson.dumps(asdict(done), option=orjson.OPT_INDENT_2))
    record.replace(root / IMPORTS / f"{done.name}.json")
