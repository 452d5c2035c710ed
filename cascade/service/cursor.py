"""Cursors: where the next page begins, bound to the request that it continues."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

import orjson

from cascade.errors import QueryError
from cascade.service.bodies import SearchBody

_ORDER_KEYS = frozenset({"text", "filters", "preference", "surface", "session", "sort", "collapse"})


@dataclass(frozen=True, slots=True)
class Cursor:
    """Say where a page begins.

    Attributes:
        offset: Ranks to skip.
        generation: The index and catalogue that served the page before.
        digest: Of everything in the request that decides the order.
        query_id: Of the page before: all pages of a result are one query.
    """

    offset: int
    generation: str
    digest: str
    query_id: str = ""

    def token(self) -> str:
        """Return the cursor as an opaque, URL-safe token."""
        raw = orjson.dumps([self.offset, self.generation, self.digest, self.query_id])
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def digest_of(body: SearchBody, cascade: str) -> str:
    """Return the digest of what decides the order of a request's result."""
    kept = body.model_dump(include=set(_ORDER_KEYS))
    raw = orjson.dumps([cascade, kept], option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(raw, digest_size=9).hexdigest()


def read_cursor(token: str, digest: str) -> Cursor:
    """Return the cursor that a token stands for.

    Raises:
        QueryError: If it is no cursor, or one of another request.
    """
    try:
        padded = token.encode("ascii") + b"=" * (-len(token) % 4)
        raw = orjson.loads(base64.b64decode(padded, b"-_", validate=True))
        offset, generation, made_for, query_id = raw
    except (ValueError, TypeError, binascii.Error):
        offset = generation = made_for = query_id = None
    if (
        not isinstance(offset, int)
        or isinstance(offset, bool)
        or offset < 0
        or not isinstance(generation, str)
        or not isinstance(query_id, str)
    ):
        shown = token if len(token) <= 40 else token[:37] + "..."
        raise QueryError(
            f"cursor: {shown!r} is no cursor; accepted is `next` of the page before, unchanged"
        )
    if made_for != digest:
        raise QueryError(
            "cursor: it belongs to another request; accepted is `next` of a page with the same "
            f"cascade, {', '.join(sorted(_ORDER_KEYS))}; leave it out to begin at rank 1"
        )
    return Cursor(offset, generation, digest, query_id)
