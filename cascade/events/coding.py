"""The log in numbers: searches, texts, documents and keyword values as codes, streamed in order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cascade.behaviour import Counter
from cascade.errors import InputError
from cascade.events.counting import happened, name_texts
from cascade.events.tables import ACTIONS

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

Columns: TypeAlias = Mapping[str, NDArray[Any]]
# Doubles hold every integer up to here, so a pair's code is exact in one.
_EXACT = 2**53
NO_RANK = 2**31 - 1
_BATCH_ROWS = 250_000


@dataclass(frozen=True)
class Coded:
    """Read a log's moments and searches as numbers.

    Attributes:
        fields: The keyword fields that documents were coded by.
        searches: How many searches have a text and a time; their codes ascend by time.
        documents: How many documents the log names.
        moments: How many rows the log has that can be counted.
    """

    database: DuckDBPyConnection
    fields: tuple[str, ...]
    searches: int
    documents: int
    moments: int

    def stream(self) -> Iterator[Columns]:
        """Yield what happened in batches of columns.

        They are `action` (its place in `ACTIONS`), `search`, `text` and `doc`, -1 where there is
        none, `rank`, `NO_RANK` where there is none, `time`, `searched` (its search's time),
        `value`, and `group0`, `group1`, ... in the order of `fields`.
        """
        groups = "".join(
            f", coalesce(d.group{at}, -1) as group{at}" for at in range(len(self.fields))
        )
        places = " ".join(f"when '{action}' then {at}" for at, action in enumerate(ACTIONS))
        query = (
            f"select (case h.action {places} end)::tinyint as action, "
            "coalesce(s.search, -1)::integer as search, "
            "coalesce(s.text_code, -1)::integer as text, coalesce(d.code, -1) as doc, "
            f"coalesce(h.rank, {NO_RANK})::integer as rank, h.time as time, "
            "coalesce(s.time, h.time) as searched, "
            f"coalesce(h.value, 0.0)::double as value{groups} from {self._happened}"
        )
        for batch in self.database.sql(query).to_arrow_reader(_BATCH_ROWS):
            yield {name: batch.column(name).to_numpy() for name in batch.schema.names}

    def minutes(
        self, counters: Sequence[Counter], half_lives: Sequence[float]
    ) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Yield, for each counter, the minutes in which its action happened to any of its keys.

        A minute is named by its first second, float64[m], and weighs the number of its moments,
        float64[m], each grown to that second as it decays from then on.

        Args:
            counters: k counters.
            half_lives: k half lives in seconds, infinite for no decay.
        """
        keyed = {
            "document": "d.code is not null",
            "query": "s.text_code is not null",
            "pair": "d.code is not null and s.text_code is not null",
            **{
                f"group={field}": f"d.group{at} is not null" for at, field in enumerate(self.fields)
            },
        }
        minute = "floor(h.time / 60) * 60"
        sums = []
        for counter, half_life in zip(counters, half_lives, strict=True):
            worth = "1.0::double"
            if math.isfinite(half_life):
                worth = f"exp(({minute} - h.time) * {-math.log(2) / half_life!r}::double)"
            counted = f"h.action = '{counter.action}' and {keyed[counter.table]}"
            sums.append(f", sum({worth}) filter ({counted})")
        query = f"select {minute} as minute{''.join(sums)} from {self._happened} group by minute"
        table = self.database.sql(query).to_arrow_table()
        at = table.column(0).to_numpy()
        for place in range(len(counters)):
            weights = np.nan_to_num(table.column(place + 1).to_numpy())
            held = np.flatnonzero(weights)
            yield at[held], weights[held]

    def search_codes(self) -> Iterator[Columns]:
        """Yield columns `search`, `text` and `time` of the searches, in batches."""
        query = (
            "select search::integer as search, text_code::integer as text, time from ordered "
            "where search is not null"
        )
        for batch in self.database.sql(query).to_arrow_reader(_BATCH_ROWS):
            yield {name: batch.column(name).to_numpy() for name in batch.schema.names}

    def searched(self, begin: int, end: int) -> pa.Table:
        """Return `query_id`, `text`, `time`, `session` and `surface` of a range of searches."""
        return self.database.sql(
            "select query_id, text, time, session, surface from ordered "
            f"where search >= {begin} and search < {end} order by search"
        ).to_arrow_table()

    @property
    def _happened(self) -> str:
        return (
            f"({happened(ACTIONS)}) h left join documents d on h.doc_id = d.doc_id "
            "left join ordered s on h.query_id = s.query_id"
        )

    def doc_ids(self) -> pa.Array:
        """Return the id of each document by code; codes ascend with the ids."""
        table = self.database.sql("select doc_id from documents order by code").to_arrow_table()
        return table.column("doc_id").combine_chunks()


def coded(database: DuckDBPyConnection, groups: Mapping[str, pa.Table]) -> Coded:
    """Give every search, text, document and keyword value of a log a code.

    Raises:
        InputError: If there are more pairs of texts and documents than codes.
    """
    name_texts(database)
    database.execute(
        "create temp table text_codes as "
        "select text, row_number() over () - 1 as code from "
        "(select distinct text from texts where text is not null)"
    )
    # A query id that was logged twice is one search: the first.
    database.execute(
        "create temp table ordered as "
        "with firsts as (select query_id, min(time) as time, arg_min(text, time) as text, "
        "arg_min(session, time) as session, arg_min(surface, time) as surface "
        "from searches where query_id is not null group by query_id) "
        "select case when f.time is not null and f.text is not null then row_number() over "
        "(order by (f.time is null or f.text is null), f.time, f.query_id) - 1 end as search, "
        "f.*, c.code as text_code from firsts f left join texts t using (query_id) "
        "left join text_codes c on t.text = c.text order by search"
    )
    fields = tuple(sorted(groups))
    named, joined = "", ""
    for at, name in enumerate(fields):
        database.register(f"given{at}", groups[name])
        named += f", g{at}.code as group{at}"
        joined += (
            f" left join (select doc_id, dense_rank() over (order by value) - 1 as code "
            f"from given{at} where value is not null) g{at} using (doc_id)"
        )
    database.execute(
        "create temp table documents as "
        f"select doc_id, (row_number() over (order by doc_id) - 1)::integer as code{named} "
        "from (select distinct doc_id from (select doc_id from events union all "
        f"select unnest(results) from searches) where doc_id is not null){joined} order by doc_id"
    )
    for at in range(len(fields)):
        database.unregister(f"given{at}")
    numbers = "select (select count(search) from ordered), (select count(*) from documents), "
    numbers += f"(select count(*) from ({happened(ACTIONS)})), (select count(*) from text_codes)"
    searches, documents, moments, texts = (int(n) for n in database.sql(numbers).fetchall()[0])
    if texts * documents >= _EXACT:
        raise InputError(
            f"{texts:,} texts and {documents:,} documents make more pairs than can be told apart; "
            "join a shorter time of the log"
        )
    return Coded(database, fields, searches, documents, moments)
