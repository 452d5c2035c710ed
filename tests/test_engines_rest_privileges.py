"""The page on privileges names what each of its requests needs."""

import json
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parent.parent / "docs" / "privileges.md"
REQUEST = re.compile(r"`((?:GET|PUT|POST|DELETE) [^`]+)`")
COLUMNS = {"elasticsearch": 1, "opensearch": 2}


def rows(text):
    cells = [[c.strip() for c in line.split("|")[1:-1]] for line in text.splitlines()]
    return [row for row in cells if len(row) == 3 and "`" in row[0]]


@pytest.fixture(scope="module")
def parts():
    """The page's text: the operations with their requests, what these need, and the roles."""
    text = PAGE.read_text(encoding="utf-8")
    operations, _, rest = text.partition("## What each request needs")
    needs, _, roles = rest.partition("## Two roles")
    return operations, needs, roles


def needed(parts, column):
    """Return what each request needs, by request."""
    found = {}
    for request, *cells in rows(parts[1]):
        cluster, _, index = cells[column - 1].rpartition(";")
        if "*cluster*" in index:
            cluster, index = index, ""
        named = [set(re.findall("`([^`]+)`", part)) for part in (cluster, index)]
        found[REQUEST.fullmatch(request)[1]] = tuple(named)
    return found


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_every_request_says_what_it_needs(parts, column):
    asked = {request for row in rows(parts[0]) for request in REQUEST.findall(row[column])}
    assert len(asked) > 12
    needs = needed(parts, column)
    assert not [request for request in asked if not any(needs.get(request, ()))]


def roles_of(parts):
    blocks = re.findall(r"```json\n(.*?)```", parts[2], re.DOTALL)
    return [json.loads(block) for block in blocks]


def test_the_roles_grant_what_the_requests_need_and_no_more(parts):
    serving, building, opensearch_serving, opensearch_building = roles_of(parts)
    serves = {"GET /{index}", "POST /{index}/_search", "POST /{index}/_msearch"}
    manage = {"create_index", "delete_index", "maintenance", "view_index_metadata"}

    def all_of(column, requests=None):
        needs = needed(parts, column)
        chosen = [needs[r] for r in (requests or needs) if any(needs[r])]
        return tuple(set().union(*one) for one in zip(*chosen, strict=True))

    assert (set(), set(serving["indices"][0]["privileges"])) == all_of(1, serves)
    cluster, index = all_of(1)
    assert set(building["cluster"]) == cluster
    granted = set(building["indices"][0]["privileges"])
    assert granted | manage | {"index", "delete"} == index | {"write"}
    for role, requests in ((opensearch_serving, serves), (opensearch_building, None)):
        (index_role,) = role["index_permissions"]
        granted = (set(role["cluster_permissions"]), set(index_role["allowed_actions"]))
        assert granted == all_of(2, requests)
