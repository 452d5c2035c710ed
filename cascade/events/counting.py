"""Counts of a moment: what happened up to then, by document, query, pair or keyword value."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cascade.behaviour import Counted, Counter, normal_text
from cascade.errors import InputError, nearest
from cascade.events.tables import ACTIONS, IMPRESSION, EventLog

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

DAY_S = 86_400.0
KEYS = {"document": ("doc_id",), "query": ("text",), "pair": ("text", "doc_id"), "group": ("name",)}
_BATCH_ROWS = 100_000


def counted(
    log: EventLog, counters: Sequence[Counter], as_of: float, groups: Mapping[str, pa.Table]
) -> dict[Counter, Counted]:
    """Count what happened strictly before a moment; one pass over the log for each kind of key.

    What has no time counts nowhere; what has no known search does not count by query or pair; a
    document without a value of the field does not count by group.

    Args:
        log: The event log.
        counters: What to count.
        as_of: The moment, in seconds since 1970.
        groups: For each field of a counter by group, string columns `doc_id` and `value` with at
            most one row a document.

    Raises:
        InputError: If a counter cannot be counted, or `as_of` is no time.
        NotFoundError: If there is no log.
        OptionalDependencyError: If DuckDB is not installed.
    """
    if not math.isfinite(as_of):
        raise InputError(f"as_of {as_of}: accepted are seconds since 1970")
    check_counters(counters, groups)
    families: dict[tuple[str, str], list[Counter]] = {}
    for counter in dict.fromkeys(counters):
        families.setdefault((counter.by, counter.field), []).append(counter)
    found: dict[Counter, Counted] = {}
    with closing(log.database()) as database:
        name_texts(database)
        for family in families.values():
            found |= _count(database, family, as_of, groups)
    return {counter: found[counter] for counter in counters}


def check_counters(counters: Sequence[Counter], groups: Mapping[str, pa.Table]) -> None:
    """Refuse counters that cannot be counted.

    Raises:
        InputError: For an unknown kind of key or action, a window or half life that is not
            positive, or a field whose values are not given or given twice for a document.
    """
    for counter in counters:
        if counter.by not in KEYS:
            raise InputError(f"a counter by {counter.by!r}: {nearest(counter.by, KEYS)}")
        if counter.action not in ACTIONS:
            raise InputError(
                f"{counter.name} counts {counter.action!r}: {nearest(counter.action, ACTIONS)}"
            )
        if not (counter.window_days > 0 and counter.half_life_days > 0):
            raise InputError(
                f"{counter.name}: window_days and half_life_days must be more than 0; infinite "
                "means no window and no decay"
            )
        if (counter.by == "group") != bool(counter.field):
            raise InputError(
                f"{counter.name}: a counter by group names the keyword field of its documents, "
                "and no other does"
            )
        if counter.field and counter.field not in groups:
            raise InputError(
                f"{counter.name}: the values of {counter.field!r} are not given; "
                + nearest(counter.field, groups)
            )
    for field, table in groups.items():
        if not {"doc_id", "value"} <= set(table.column_names):
            raise InputError(f"the values of {field!r}: accepted are columns doc_id and value")
        if len(table.column("doc_id").unique()) != len(table):
            raise InputError(f"the values of {field!r}: a document has one value at most")


def name_texts(database: DuckDBPyConnection) -> None:
    """Add a table `texts` of each search's `query_id` and normal text, one row a search."""
    database.create_function("normal_text", normal_text, ["varchar"], "varchar")
    database.execute(
        "create temp table texts as select query_id, normal_text(arg_min(text, time)) as text "
        "from searches where query_id is not null group by query_id"
    )


def happened(actions: Sequence[str]) -> str:
    """Return a query for what was shown and done, one row each, with its action."""
    shown = (
        f"select '{IMPRESSION}' as action, query_id, doc_id, rank, time, null::double as value "
        "from impressions where time is not null"
    )
    done = ", ".join(f"'{action}'" for action in actions if action != IMPRESSION)
    acted = (
        f"select action, query_id, doc_id, rank, time, value from events "
        f"where action in ({done}) and time is not null"
    )
    parts = [shown] * (IMPRESSION in actions) + [acted] * bool(done)
    return " union all ".join(parts)


def _count(
    database: DuckDBPyConnection,
    family: Sequence[Counter],
    as_of: float,
    groups: Mapping[str, pa.Table],
) -> dict[Counter, Counted]:
    by, field = family[0].by, family[0].field
    keys = KEYS[by]
    joined = "" if "text" not in keys else "join texts using (query_id)"
    if field:
        database.register("named", groups[field])
        joined = "join (select doc_id, value::varchar as name from named) using (doc_id)"
    sums = ", ".join(f"{_sum(counter, as_of)} as c{at}" for at, counter in enumerate(family))
    query = (
        f"select {', '.join(keys)}, {sums} "
        f"from ({happened([counter.action for counter in family])}) {joined} "
        f"where time < {_exactly(as_of)} and {' and '.join(f'{key} is not null' for key in keys)} "
        f"group by {', '.join(keys)}"
    )
    parts: list[list[tuple[list[NDArray[np.object_]], NDArray[np.float64]]]] = [[] for _ in family]
    for batch in database.sql(query).to_arrow_reader(_BATCH_ROWS):
        names = [batch.column(at).to_numpy(zero_copy_only=False) for at in range(len(keys))]
        for at in range(len(family)):
            values = batch.column(len(keys) + at).to_numpy(zero_copy_only=False)
            held = np.flatnonzero(values)
            parts[at].append(([name[held] for name in names], values[held]))
    if field:
        database.unregister("named")
    return {counter: _counted(keys, part) for counter, part in zip(family, parts, strict=True)}


def _sum(counter: Counter, as_of: float) -> str:
    """Return the aggregate of one counter: exponential decay within a closed window."""
    kept = f"action = '{counter.action}'"
    if math.isfinite(counter.window_days):
        kept += f" and time >= {_exactly(as_of - counter.window_days * DAY_S)}"
    worth, half_life = "1.0", counter.half_life_days * DAY_S
    if math.isfinite(half_life):
        worth = f"pow(0.5, ({_exactly(as_of)} - time) / {_exactly(half_life)})"
    return f"coalesce(sum({worth}::double) filter ({kept}), 0.0)"


def _exactly(number: float) -> str:
    """Return a literal of these very bits; a plain one would be a decimal that rounds again."""
    return f"'{number!r}'::double"


def _counted(
    keys: Sequence[str], parts: Sequence[tuple[list[NDArray[np.object_]], NDArray[np.float64]]]
) -> Counted:
    columns: dict[str, NDArray[np.object_]] = {
        key: np.concatenate([np.empty(0, object), *(names[at] for names, _ in parts)])
        for at, key in enumerate(keys)
    }
    values = np.concatenate([np.empty(0), *(values for _, values in parts)])
    return Counted(
        columns.get("text"), columns.get("doc_id", columns.get("name")), values.astype(np.float64)
    )
