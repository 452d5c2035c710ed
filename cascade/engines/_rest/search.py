"""Searching one index of Elasticsearch or OpenSearch: bodies out, rows and scores back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np

from cascade.candidates import UNKNOWN, Documents, Float32
from cascade.engines._rest.answers import (
    Hit,
    Page,
    matched_scores,
    page_of,
    pages_of,
    rows_of,
    scores_of,
    total_of,
    values_of,
)
from cascade.engines._rest.client import Request, RestClient
from cascade.engines._rest.index import at
from cascade.engines._rest.query import Matched, ranked
from cascade.engines._server.fields import IndexFields
from cascade.engines._server.listing import NOTHING, Listing
from cascade.errors import DeadlineError, NotFoundError
from cascade.hosting import ID_FIELD, ROW_FIELD
from cascade.protocols import Asked, Deadline
from cascade.schema import Schema

_PREFERENCE = "cascade"
_ENCODE = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class View:
    """Say how an index is read.

    Attributes:
        managed: Whether our mapping made it, so that its documents say their catalogue row.
        id_field: For an index of others: the keyword field that holds the catalogue's ids; None
            takes the schema's id key if it is such a field, else `_id`.
        columns: Fields of the schema whose values come along as columns `engine_<name>`.
        named: Whether what each named query gave comes along as columns `engine_<name>`: the
            template's names, or one for each searched field.
        encoder: Gives the vector of a text, for `Matching.vector_field`.
    """

    managed: bool = True
    id_field: str | None = None
    columns: tuple[str, ...] = ()
    named: bool = False
    encoder: Callable[[str], Sequence[float]] | None = None


@dataclass(frozen=True)
class Searcher:
    """Send searches to one index and read the answers.

    Attributes:
        client: The server.
        name: The index.
        shards: How many shards it has.
        fields: What holds the schema's fields.
        documents: The catalogue.
        view: How it is read.
        names: The names of the queries whose scores are asked for.
        total_cap: Up to which number matches are counted.
        ordered: Whether the server may order by score and a field at once.
    """

    client: RestClient
    name: str
    shards: int
    fields: IndexFields
    documents: Documents
    view: View
    total_cap: int
    names: Sequence[str] = ()
    ordered: bool = True
    _params: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        params = {"preference": _PREFERENCE, "allow_partial_search_results": "false"}
        if self.shards > 1:
            # Else each shard weighs words by its own documents, and their scores do not compare.
            params["search_type"] = "dfs_query_then_fetch"
        object.__setattr__(self, "_params", params)

    def found(
        self, asks: Sequence[Matched | None], size: int, asked: Asked, deadline: Deadline
    ) -> list[Listing]:
        """Return the hits of each query; None finds nothing.

        Raises:
            EngineError: If the server fails.
            DeadlineError: If the time is up.
        """
        listings = [NOTHING] * len(asks)
        sent = [(i, one) for i, one in enumerate(asks) if one is not None]
        with_ids = not self.view.managed
        while sent:
            bodies = [self._body(one, size, asked, with_ids) for _, one in sent]
            again = []
            pages = self.pages(bodies, self._wanted(size, with_ids), deadline)
            for (i, one), page in zip(sent, pages, strict=True):
                listings[i] = self._found(page, one, asked, with_ids)
                if not with_ids and bool((listings[i].rows == UNKNOWN).any()):
                    again.append((i, one))
            sent, with_ids = again, True
        return listings

    def pages(
        self, bodies: Sequence[Mapping[str, Any]], wanted: Sequence[str], deadline: Deadline
    ) -> list[Page]:
        """Return the answers to searches, in one request where the server can do that.

        Args:
            bodies: What is searched.
            wanted: Which parts of each answer are read.
            deadline: When the answers must be here.
        """
        if self.names:  # which come with single searches alone
            return [self._page(body, wanted, deadline) for body in bodies]
        if len(bodies) == 1:
            return [self._page(bodies[0], wanted, deadline)]
        if not bodies:
            return []
        seconds, limit = self._time(deadline)
        header = _encoded(self._params)
        lines = [line for body in bodies for line in (header, _encoded({**body, **limit}))]
        parts = ("error", "status", *wanted)
        params = {"filter_path": ",".join(f"responses.{part}" for part in parts)}
        path = f"{at(self.name)}/_msearch"
        answer = self.client.request(
            "POST",
            path,
            params=params,
            body=b"\n".join([*lines, b""]),
            ndjson=True,
            timeout_s=seconds,
        )
        request = Request("POST", path, params, None, True)
        return pages_of(answer, len(bodies), f"{self.client.kind} index {self.name!r}", request)

    def _page(self, body: Mapping[str, Any], wanted: Sequence[str], deadline: Deadline) -> Page:
        seconds, limit = self._time(deadline)
        params = {**self._params, "filter_path": ",".join(wanted)}
        if self.names:
            params["include_named_queries_score"] = "true"
        answer = self.client.request(
            "POST",
            f"{at(self.name)}/_search",
            params=params,
            body=_encoded({**body, **limit}),
            timeout_s=seconds,
        )
        return page_of(answer)

    def _time(self, deadline: Deadline) -> tuple[float | None, dict[str, str]]:
        """Return how long a request may take, and how the server is told."""
        left_ms = deadline.left_ms()
        if left_ms <= 0:
            raise DeadlineError(f"the deadline passed before {self.name!r} was asked")
        if left_ms == float("inf") or left_ms >= self.client.timeout_s * 1000:
            return None, {}
        return left_ms / 1000, {"timeout": f"{max(1, int(left_ms))}ms"}

    def _body(self, one: Matched, size: int, asked: Asked, with_ids: bool) -> dict[str, Any]:
        body = {**one.body, "size": size, "track_total_hits": self.total_cap, "_source": False}
        values: list[Any] = [
            {"field": held.path, "format": "epoch_millis"} if held.is_date else held.path
            for name in self.view.columns
            for held in self.fields[name][:1]
        ]
        if self._in_order(one, asked):
            body["sort"] = ranked(asked, one.scored, self.fields, self._tie)
        else:
            values.append(ROW_FIELD if self.view.managed else self.view.id_field)
        if asked.sort is not None:
            body.pop("rescore", None)
        if with_ids and (id_path := self._id_path):
            values.append(id_path)
        if values:
            body["docvalue_fields"] = [value for value in values if value is not None]
        if not with_ids or self._id_path:
            # Else every hit's stored document is opened, for nothing but its `_id`.
            body["stored_fields"] = "_none_"
        return body

    @property
    def _tie(self) -> str:
        return ROW_FIELD if self.view.managed else self.view.id_field or "_doc"

    @property
    def _id_path(self) -> str | None:
        return ID_FIELD if self.view.managed else self.view.id_field

    def _in_order(self, one: Matched, asked: Asked) -> bool:
        return self.ordered or asked.sort is not None or not one.scored

    def _wanted(self, size: int, with_ids: bool) -> list[str]:
        wanted = ["hits.total", "timed_out"]
        if size:
            wanted.append("hits.hits.sort")
            if not self.ordered:
                wanted += ["hits.hits._score", "hits.hits.fields"]
            elif self.view.columns or (with_ids and self._id_path):
                wanted.append("hits.hits.fields")
            if with_ids and not self._id_path:
                wanted.append("hits.hits._id")
            if self.names:
                wanted.append("hits.hits.matched_queries")
        return wanted

    def _found(self, page: Page, one: Matched, asked: Asked, with_ids: bool) -> Listing:
        hits = page.hits.hits
        in_order = self._in_order(one, asked)
        if asked.sort is not None or not one.scored:
            scores: Float32 = np.zeros(len(hits), dtype=np.float32)
        else:
            scores = scores_of(hits, in_order)
        ids = self._ids(hits) if with_ids else ()
        if not self.view.managed:
            rows = self.documents.rows(ids) if ids else NOTHING.rows
        else:
            numbers = [
                hit.sort[-1] if in_order else (hit.fields.get(ROW_FIELD) or (np.inf,))[0]
                for hit in hits
            ]
            rows = rows_of(numbers, len(self.documents))
        found = Listing(rows, scores, total_of(page), ids, self._columns(hits))
        return found if in_order else found.in_order()

    def _ids(self, hits: Sequence[Hit]) -> list[str]:
        path = self._id_path
        if path is None:
            return [hit.id for hit in hits]
        return [str(hit.fields.get(path, ("",))[0]) for hit in hits]

    def _columns(self, hits: Sequence[Hit]) -> dict[str, Float32]:
        columns = {f"engine_{name}": matched_scores(hits, name) for name in self.names}
        for name in self.view.columns:
            for held in self.fields[name][:1]:
                scale = 0.001 if held.is_date else 1.0
                columns[f"engine_{name}"] = values_of(hits, held.path, scale)
        return columns


def _encoded(value: Mapping[str, Any]) -> bytes:
    return _ENCODE.encode(value)


def opened(client: RestClient, name: str, *, mapping: bool) -> tuple[int, dict[str, Any]]:
    """Return how many shards an index has, and the properties of its mapping."""
    parts = ["*.settings.index.number_of_shards", *(["*.mappings.properties"] if mapping else [])]
    answer = client.request("GET", at(name), params={"filter_path": ",".join(parts)})
    indexes = msgspec.json.decode(answer.body)
    if not indexes:
        raise NotFoundError(f"there is no index {name!r}")
    shards = sum(int(one["settings"]["index"]["number_of_shards"]) for one in indexes.values())
    properties: dict[str, Any] = {}
    for one in indexes.values():
        properties |= one.get("mappings", {}).get("properties", {})
    return shards, properties


def with_id_field(view: View, schema: Schema, properties: Mapping[str, Any]) -> View:
    """Return the view with the schema's id key as id field, if it is one."""
    spec = properties.get(schema.id, {})
    if view.id_field or spec.get("type") != "keyword" or spec.get("doc_values") is False:
        return view
    return replace(view, id_field=schema.id)
