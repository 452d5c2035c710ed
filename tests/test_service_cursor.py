"""Cursors: what they carry, and whom they serve."""

import base64

import pytest

from cascade.errors import QueryError
from cascade.service.bodies import SearchBody
from cascade.service.cursor import Cursor, digest_of, read_cursor

BODY = SearchBody(text="cup", filters={"brand": ["ash", "elm"], "price": {"lt": 3}})


@pytest.mark.parametrize("offset", [0, 24, 9_999])
def test_a_token_reads_back(offset):
    cursor = Cursor(offset, "products-000001", digest_of(BODY, "shop"))
    assert read_cursor(cursor.token(), cursor.digest) == cursor


def test_a_token_needs_no_escape_in_a_url():
    for offset in range(300):
        token = Cursor(offset, "g" * (offset % 7), "d").token()
        assert token.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize(
    "change",
    [
        {"text": "cups"},
        {"filters": {"brand": "ash"}},
        {"preference": {"stocked": 0.1}},
        {"surface": "app"},
        {"session": ["d001"]},
        {"sort": "price"},
        {"collapse": "brand"},
    ],
)
def test_whatever_changes_the_order_changes_the_digest(change):
    other = SearchBody.model_validate(BODY.model_dump() | change)
    assert digest_of(other, "shop") != digest_of(BODY, "shop")


def test_another_cascade_has_another_digest():
    assert digest_of(BODY, "shop") != digest_of(BODY, "plain")


@pytest.mark.parametrize(
    "change",
    [
        {"size": 7},
        {"facets": ["brand"]},
        {"fields": ["title"]},
        {"query_id": "q"},
        {"filters": {"price": {"lt": 3}, "brand": ["ash", "elm"]}},
    ],
)
def test_what_leaves_the_order_alone_leaves_the_digest_alone(change):
    other = SearchBody.model_validate(BODY.model_dump() | change)
    assert digest_of(other, "shop") == digest_of(BODY, "shop")


def forged(text):
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "é",
        "?" * 8,
        "A" * 900,
        forged(b"[]"),
        forged(b"{}"),
        forged(b"[true,1]"),
        forged(b'[-1,"g","d"]'),
        forged(b'[1.5,"g","d"]'),
        forged(b'[true,"g","d"]'),
        forged(b'[1,2,"d"]'),
    ],
)
def test_what_is_no_cursor_is_refused(token):
    with pytest.raises(QueryError, match="is no cursor; accepted is `next` of the page before"):
        read_cursor(token, "d")


def test_a_cursor_of_another_request_is_refused():
    token = Cursor(24, "g", digest_of(BODY, "shop")).token()
    with pytest.raises(QueryError, match="it belongs to another request"):
        read_cursor(token, digest_of(BODY, "plain"))
