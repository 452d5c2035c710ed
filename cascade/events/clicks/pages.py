"""Pages: what searches showed and what was clicked, in columns, as click models read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cascade.behaviour import normal_text
from cascade.errors import InputError
from cascade.events.tables import CART, CLICK, FAVOURITE, PURCHASE, EventLog

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Bool = NDArray[np.bool_]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]

COUNTED = (CLICK, FAVOURITE, CART, PURCHASE)
# The order of a search was drawn evenly if every row had the same chance to stand where it stood.
EVEN = 1e-6


@dataclass(frozen=True)
class Pages:
    """Hold n shown rows of s searches, and the p distinct pairs of a query and a document.

    Attributes:
        offsets: int64[s + 1]; search i showed the rows `offsets[i]` to `offsets[i + 1] - 1`, in
            the order of the page.
        pairs: int32[n], the pair that was shown.
        ranks: int32[n], 1-based.
        clicks: bool[n], whether the row was clicked.
        surfaces: int32[s], index into `surface_names`.
        shuffled: bool[s], whether the page stood in an order drawn evenly.
        times: float64[s], seconds since 1970.
        pair_queries: int32[p], index into `texts`.
        pair_documents: int32[p], index into `doc_ids`.
        texts: The query texts, each as it was asked most often.
        doc_ids: The document ids.
        surface_names: The surfaces, "" for an unknown one.
        events: int32[n] by action: how often a row was clicked, bought and so on.
        unseen: How many clicks were on documents that their search did not show.
    """

    offsets: Int64
    pairs: Int32
    ranks: Int32
    clicks: Bool
    surfaces: Int32
    shuffled: Bool
    times: Float64
    pair_queries: Int32
    pair_documents: Int32
    texts: tuple[str, ...]
    doc_ids: tuple[str, ...]
    surface_names: tuple[str, ...]
    events: dict[str, Int32]
    unseen: int = 0

    def __len__(self) -> int:
        return len(self.pairs)

    @cached_property
    def lengths(self) -> Int64:
        """How many rows each search showed, int64[s]."""
        return np.diff(self.offsets)

    @cached_property
    def page(self) -> Int64:
        """The search of each row, int64[n]."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    @cached_property
    def row_surfaces(self) -> Int32:
        """The surface of each row, int32[n]."""
        return self.surfaces[self.page]

    @cached_property
    def places(self) -> Int64:
        """The 0-based place of each row on its page, int64[n]."""
        return np.arange(len(self)) - np.repeat(self.offsets[:-1], self.lengths)

    @cached_property
    def queries(self) -> Int32:
        """The query text of each search, int32[s], index into `texts`."""
        return self.pair_queries[self.pairs[self.offsets[:-1]]]

    @property
    def pair_count(self) -> int:
        """How many pairs there are."""
        return len(self.pair_queries)

    def select(self, chosen: Bool) -> Pages:
        """Return the searches that a mask bool[s] selects; pairs keep their numbers."""
        rows = np.repeat(chosen, self.lengths)
        return replace(
            self,
            offsets=np.concatenate([[0], np.cumsum(self.lengths[chosen])]).astype(np.int64),
            pairs=self.pairs[rows],
            ranks=self.ranks[rows],
            clicks=self.clicks[rows],
            surfaces=self.surfaces[chosen],
            shuffled=self.shuffled[chosen],
            times=self.times[chosen],
            events={name: counts[rows] for name, counts in self.events.items()},
        )

    def per_pair(self, values: NDArray[np.generic] | None = None) -> Float64:
        """Return the sum of values of n rows over the rows of each pair, float64[p].

        Args:
            values: Of each row; None counts rows.
        """
        return np.bincount(self.pairs, values, self.pair_count).astype(np.float64)

    def table(self, values: NDArray[np.generic], fill: float = 0.0) -> Float64:
        """Return values of n rows as float64[s, longest page], filled beyond a page's end."""
        width = int(self.lengths.max()) if len(self.lengths) else 0
        found = np.full((len(self.lengths), width), fill)
        found[self.page, self.places] = values
        return found


@dataclass(frozen=True)
class Between:
    """Say which searches of a log are read: those from `since` to before `until`, in seconds."""

    since: float = -np.inf
    until: float = np.inf


def read_pages(log: EventLog, between: Between | None = None) -> Pages:
    """Read every search of a log that showed something and has a text.

    Texts that differ only in case and white space are one query. A document that a page shows
    twice counts at its better rank; several clicks on a row are one click.

    Raises:
        InputError: If no search has a text and shown rows.
        NotFoundError: If there is no log in the folder.
        OptionalDependencyError: If DuckDB is not installed.
    """
    database = log.database()
    try:
        texts = _number_queries(database, between or Between())
        _number_rows(database)
        shown = database.execute(_ROWS).fetchnumpy()
        searches = database.execute(_SEARCHES).fetchnumpy()
        doc_ids = tuple(r[0] for r in database.execute(_DOCUMENTS).fetchall())
        surfaces = tuple(r[0] for r in database.execute(_SURFACES).fetchall())
        (unseen,) = database.execute(_UNSEEN).fetchall()[0]
    finally:
        database.close()
    if not len(shown["rank"]):
        raise InputError(
            f"{log.root} has no search with a text and shown rows: nothing was seen, so nothing "
            "can be learned from clicks. Accepted are searches with `results`, or impressions "
            "with the `query_id` of their search"
        )
    starts = np.flatnonzero(np.diff(shown["search"], prepend=-1))
    key = shown["query"].astype(np.int64) * len(doc_ids) + shown["document"]
    distinct, pairs = np.unique(key, return_inverse=True)
    return Pages(
        offsets=np.append(starts, len(key)).astype(np.int64),
        pairs=pairs.astype(np.int32),
        ranks=np.asarray(shown["rank"], dtype=np.int32),
        clicks=np.asarray(shown[CLICK]) > 0,
        surfaces=np.asarray(searches["surface"], dtype=np.int32),
        shuffled=np.asarray(searches["shuffled"], dtype=np.bool_),
        times=np.asarray(searches["time"], dtype=np.float64),
        pair_queries=(distinct // len(doc_ids)).astype(np.int32),
        pair_documents=(distinct % len(doc_ids)).astype(np.int32),
        texts=texts,
        doc_ids=doc_ids,
        surface_names=surfaces,
        events={name: np.asarray(shown[name], dtype=np.int32) for name in COUNTED},
        unseen=int(unseen),
    )


def _number_queries(database: DuckDBPyConnection, between: Between) -> tuple[str, ...]:
    """Make the table `asked` of numbered searches; return the texts of the queries."""
    database.execute(
        "create temp table wanted as select * from searches "
        "where text is not null and coalesce(time, 0) >= ? and coalesce(time, 0) < ?",
        [between.since, between.until],
    )
    counted = database.execute(
        "select text, count(*) as asked from wanted group by text order by asked desc, text"
    ).fetchall()
    numbers: dict[str, int] = {}
    texts: list[str] = []
    coded: list[tuple[str, int]] = []
    for text, _ in counted:
        normal = normal_text(text)
        if normal and normal not in numbers:
            numbers[normal] = len(texts)
            texts.append(text)
        if normal:
            coded.append((text, numbers[normal]))
    _register(database, "codes", ("text", "query"), coded)
    database.execute(_ASKED)
    return tuple(texts)


def _register(
    database: DuckDBPyConnection, name: str, columns: Sequence[str], rows: list[tuple[str, int]]
) -> None:
    """Make a table of texts and numbers; lists go in at once, not a statement a row."""
    first, second = columns
    database.execute(
        f"create temp table {name} as select unnest(?::varchar[]) as {first}, "
        f"unnest(?::integer[]) as {second}",
        [[row[0] for row in rows], [row[1] for row in rows]],
    )


def _number_rows(database: DuckDBPyConnection) -> None:
    counts = ", ".join(f"count(*) filter (action = '{a}') as {a}" for a in COUNTED)
    database.execute(_SHOWN)
    database.execute(
        f"create temp table done as select query_id, doc_id, {counts} from events "
        "where query_id is not null and action != 'impression' group by query_id, doc_id"
    )


# `propensities` of equal chances tell a page in an order that was drawn evenly.
_ASKED = f"""
create temp table asked as
select query_id, row_number() over (order by time, query_id) - 1 as search, query,
       coalesce(surface, '') as surface, coalesce(time, 0) as time, shuffled
from (
    select query_id, any_value(query) as query, any_value(surface) as surface,
           min(time) as time,
           bool_and(coalesce(len(propensities) > 1
               and list_max(propensities) - list_min(propensities) < {EVEN}
               and list_max(propensities) < 1, false)) as shuffled
    from wanted join codes using (text) where query_id is not null group by query_id
)
"""
_SHOWN = """
create temp table shown as
select search, any_value(query) as query, doc_id, min(rank) as rank, any_value(query_id) as query_id
from impressions join asked using (query_id)
where rank >= 1 and doc_id is not null group by search, doc_id
"""
_DOCUMENTS = "select distinct doc_id from shown order by doc_id"
_SURFACES = "select distinct surface from asked semi join shown using (search) order by surface"
_ROWS = f"""
with documents as (
    select doc_id, row_number() over (order by doc_id) - 1 as document
    from (select distinct doc_id from shown)
)
select search, query, document, rank, {", ".join(f"coalesce({a}, 0) as {a}" for a in COUNTED)}
from shown join documents using (doc_id) left join done using (query_id, doc_id)
order by search, rank, document
"""
_SEARCHES = """
with surfaces as (
    select surface as name, row_number() over (order by surface) - 1 as surface
    from (select distinct surface from asked semi join shown using (search))
)
select surfaces.surface, time, shuffled
from asked semi join shown using (search) join surfaces on asked.surface = surfaces.name
order by search
"""
_UNSEEN = """
select coalesce(sum(click), 0) from done semi join asked using (query_id)
anti join shown using (query_id, doc_id)
"""
