"""The log of a shop's front end: searches and events in the shape of UBI 1.3.

User Behavior Insights: https://o19s.github.io/ubi/schema/1.3.0/ . A `query_id` names one search,
not a text; the searches of one text are found by `user_query`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import orjson
from numpy.random import Generator
from numpy.typing import NDArray

from cascade.shop.documents import document_ids
from cascade.shop.judgments import Judged
from cascade.shop.market import Market
from cascade.shop.queries import Queries
from cascade.shop.spec import Progress, ShopSpec, blocks, stream
from cascade.shop.visitors import (
    ACTIONS,
    SURFACES,
    Searches,
    Sessions,
    arrive,
    react,
    search,
    window,
)

APPLICATION = "cascade-demo-shop"
OBJECT_ID_FIELD = "id"
CLIENTS_PER_SESSION = 0.7
BLOCK_SESSIONS = 2048


def write_visits(
    spec: ShopSpec,
    market: Market,
    judged: Judged,
    logs: tuple[BinaryIO, BinaryIO],
    progress: Progress,
) -> tuple[Sessions, dict[str, int]]:
    """Let shoppers visit, and write what they did as UBI 1.3 queries and events.

    Args:
        spec: The shop.
        market: What is searched and bought.
        judged: The graded listings, which the shop shows.
        logs: Receive one JSON object a search, and one an event in order of time within a block.
        progress: Told the part, how many sessions are written, and of how many.

    Returns:
        The planted sessions, and how many events of each action were written.
    """
    shown, lex = window(judged, market), market.lex
    query_log, event_log = logs
    counts = dict.fromkeys(("search", *ACTIONS), 0)
    # Nobody comes first, so that a shop without visits has columns too, of no rows.
    parts = [arrive(stream(spec.seed, "visitors"), 0, shown, lex)[0]]
    for block, start, stop in blocks(spec.sessions, BLOCK_SESSIONS):
        rng = stream(spec.seed, "visitors", block)
        sessions, first = arrive(rng, stop - start, shown, lex)
        searches = search(rng, spec, start, first, (sessions, shown))
        clients = [f"c{c:07d}" for c in _clients(rng, spec, stop - start).tolist()]
        names = _Names(clients, [f"v{row:08d}" for row in range(start, stop)])
        query_log.write(_query_lines(searches, sessions, market.queries, names))
        happened = react(rng, searches, sessions, market.listings)
        event_log.write(_event_lines(rng, searches, happened, sessions, names))
        counts["search"] += len(searches.ids)
        for action, mask in happened.items():
            counts[action] += int(mask.sum())
        parts.append(sessions)
        progress("visitors", stop, spec.sessions)
    fields = Sessions.__dataclass_fields__
    joined = {name: np.concatenate([getattr(p, name) for p in parts]) for name in fields}
    return Sessions(**joined), counts


@dataclass(frozen=True)
class _Names:
    clients: list[str]
    sessions: list[str]


def _clients(rng: Generator, spec: ShopSpec, count: int) -> NDArray[np.int64]:
    return rng.integers(0, max(1, int(spec.sessions * CLIENTS_PER_SESSION)), count)


def _iso(time_ms: NDArray[np.int64]) -> list[str]:
    texts = np.datetime_as_string(time_ms.astype("datetime64[ms]"), unit="ms").tolist()
    return [text + "Z" for text in texts]


def _query_lines(searches: Searches, sessions: Sessions, queries: Queries, names: _Names) -> bytes:
    hits = document_ids(searches.rows[searches.shown])
    ends = np.cumsum(searches.shown.sum(axis=1)).tolist()
    surface = sessions.surface[searches.session].tolist()
    columns = (
        searches.ids,
        searches.session.tolist(),
        searches.query.tolist(),
        searches.shuffled.tolist(),
        _iso(searches.time_ms),
        zip([0, *ends[:-1]], ends, strict=True),
        surface,
    )
    lines = []
    for query_id, session, query, shuffled, time, (first, last), place in zip(
        *columns, strict=True
    ):
        attributes: dict[str, object] = {
            "surface": SURFACES[place],
            "session_id": names.sessions[session],
            "ranking": "shuffled" if shuffled else "lexical",
        }
        if shuffled:
            # Each row of the page had the same chance to stand at each of its places.
            attributes["propensities"] = [1.0 / (last - first)] * (last - first)
        row = {
            "application": APPLICATION,
            "query_id": query_id,
            "client_id": names.clients[session],
            "user_query": queries.texts[query],
            "query_attributes": attributes,
            "object_id_field": OBJECT_ID_FIELD,
            "query_response_id": f"r-{query_id}",
            "query_response_hit_ids": hits[first:last],
            "timestamp": time,
        }
        lines.append(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
    return b"".join(lines)


def _event_lines(
    rng: Generator,
    searches: Searches,
    happened: dict[str, NDArray[np.bool_]],
    sessions: Sessions,
    names: _Names,
) -> bytes:
    found = [np.nonzero(mask) for mask in happened.values()]
    action = np.repeat(np.arange(len(ACTIONS)), [len(search) for search, _ in found])
    search = np.concatenate([search for search, _ in found])
    place = np.concatenate([place for _, place in found])
    # An action follows the one that it needs: shown, clicked, saved or put in the cart, bought.
    dwell_ms = np.cumsum(rng.integers(2_000, 9_000, (len(ACTIONS), *searches.shown.shape)), axis=0)
    dwell_ms[0] = 0
    time_ms = searches.time_ms[search] + dwell_ms[action, search, place]
    order = np.argsort(time_ms, kind="stable")
    action, search, place = action[order], search[order], place[order]
    session = searches.session[search]
    columns = (
        action.tolist(),
        search.tolist(),
        session.tolist(),
        _iso(time_ms[order]),
        document_ids(searches.rows[search, place]),
        (place + 1).tolist(),
        sessions.surface[session].tolist(),
    )
    lines = []
    for what, query, who, time, doc_id, rank, surface in zip(*columns, strict=True):
        row = {
            "application": APPLICATION,
            "action_name": ACTIONS[what],
            "query_id": searches.ids[query],
            "session_id": names.sessions[who],
            "client_id": names.clients[who],
            "timestamp": time,
            "event_attributes": {
                "object": {"object_id": doc_id, "object_id_field": OBJECT_ID_FIELD},
                "position": {"ordinal": rank},
                "surface": SURFACES[surface],
            },
        }
        lines.append(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
    return b"".join(lines)
