"""User Behavior Insights 1.0 to 1.3: read as its versions and loggers write it.

Schemas: https://o19s.github.io/ubi/schema/ . They disagree: `position.ordinal` is an object in 1.0
and a number since 1.1, loggers write `position` itself as a number, and what was found stands in
`query_response_hit_ids` (1.3), `query_response_object_ids` or `query_response_objects_ids`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import msgspec

from cascade.events.actions import Actions
from cascade.events.lines import Block
from cascade.events.parsed import (
    NO_ID,
    Events,
    Id,
    LeftOut,
    Parsed,
    Refused,
    Searches,
    number_of,
    rank_of,
)

NOT_JSON, NOT_UBI = "not a JSON object", "not of the form of UBI"
_FAR = 1_000_000
NO_ACTION, NO_QUERY_ID, NO_DOC_ID = "no action name", "no query id", "no document id"

# A line may begin with the name of its index, as exports write it.
_INDEX_NAME = re.compile(rb"^[^\t{}\"]+\t(?=\{)", re.MULTILINE)


# What is decoded has no cycles, so the garbage collector need not walk it.
class _Object(msgspec.Struct, gc=False):
    object_id: Id = None
    object_detail: Any = None
    quantity: Any = None


class _Attributes(msgspec.Struct, gc=False):
    object: _Object | None = None
    position: Any = None
    session_id: Id = None
    user_id: Id = None
    surface: str | None = None
    consent: bool | None = None
    user_agent: str | None = None
    browser: str | None = None
    value: Any = None


class _QueryAttributes(msgspec.Struct, gc=False):
    session_id: Id = None
    user_id: Id = None
    surface: str | None = None
    consent: bool | None = None
    user_agent: str | None = None
    browser: str | None = None
    propensities: list[float] | None = None


class _Line(msgspec.Struct, gc=False):
    action_name: str | None = None
    query_id: Id = None
    client_id: Id = None
    session_id: Id = None
    user_id: Id = None
    timestamp: str | int | float | None = None
    user_query: str | None = None
    consent: bool | None = None
    event_attributes: _Attributes | None = None
    query_attributes: _QueryAttributes | None = None
    query_response_hit_ids: list[str | int] | None = None
    query_response_object_ids: list[str | int] | None = None
    query_response_objects_ids: list[str | int] | None = None
    index: Any = None
    create: Any = None
    source: _Line | None = msgspec.field(name="_source", default=None)


_NO_OBJECT, _NO_ATTRIBUTES, _NO_QUERY_ATTRIBUTES = _Object(), _Attributes(), _QueryAttributes()
_Numbered = tuple[int, _Line]


@dataclass(frozen=True)
class UbiReader:
    """Read blocks of UBI queries and events, in one file or in two.

    Attributes:
        actions: What names of actions mean.
        first_rank: The position of the first result, 1 by the schema.
    """

    actions: Actions = field(default_factory=Actions)
    first_rank: int = 1
    _decoder: msgspec.json.Decoder[_Line] = field(
        default_factory=lambda: msgspec.json.Decoder(_Line), init=False, repr=False
    )

    def __call__(self, block: Block) -> Parsed:
        """Return what the lines of a block say."""
        parsed = Parsed()
        numbered = self._decoded(block, parsed)
        searches: list[_Numbered] = []
        events: list[_Numbered] = []
        for pair in numbered:
            line = pair[1]
            if line.action_name is not None:
                events.append(pair)
            elif line.query_id not in NO_ID and line.event_attributes is None:
                searches.append(pair)
            else:
                self._sort_out(pair, parsed)
        parsed.searches = _searches(searches)
        parsed.events = self._events(events, parsed)
        return parsed

    def _decoded(self, block: Block, parsed: Parsed) -> list[_Numbered]:
        data = block.data
        if data[:1] != b"{":
            data = _INDEX_NAME.sub(b"", data)
        try:
            lines = self._decoder.decode_lines(data)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            lines = []
        # Empty lines decode to nothing, and would shift the numbers of those that follow.
        if lines and len(lines) == data.count(b"\n") + (not data.endswith(b"\n")):
            parsed.lines = len(lines)
            return [
                (number, line if line.source is None else line.source)
                for number, line in enumerate(lines)
            ]
        return self._one_by_one(data, parsed)

    def _one_by_one(self, data: bytes, parsed: Parsed) -> list[_Numbered]:
        found: list[_Numbered] = []
        for number, text in enumerate(data.split(b"\n")):
            if not text.strip():
                continue
            parsed.lines += 1
            try:
                line = self._decoder.decode(text)
            except msgspec.ValidationError as error:
                reason = NOT_JSON if "at `$" not in str(error) else NOT_UBI
                parsed.refused.append(Refused(number, reason, str(error)))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                parsed.refused.append(Refused(number, NOT_JSON, str(error)))
            else:
                found.append((number, line if line.source is None else line.source))
        return found

    def _sort_out(self, pair: _Numbered, parsed: Parsed) -> None:
        number, line = pair
        if line.index is not None or line.create is not None:
            parsed.others["lines of a bulk request"] += 1
        elif line.event_attributes is not None:
            parsed.refused.append(Refused(number, NO_ACTION))
        elif line.user_query is not None:
            parsed.refused.append(Refused(number, NO_QUERY_ID))
        else:
            detail = "neither action_name nor query_id"
            parsed.refused.append(Refused(number, NOT_UBI, detail))

    def _events(self, pairs: list[_Numbered], parsed: Parsed) -> Events:
        kept: list[_Numbered] = []
        actions: list[str] = []
        others: list[_Line] = []
        known = {name: self.actions.of(name) for name in {x.action_name or "" for _, x in pairs}}
        for pair in pairs:
            name = pair[1].action_name or ""
            action = known[name]
            if action is None:
                parsed.others[name] += 1
                if pair[1].query_id not in NO_ID:
                    others.append(pair[1])
            elif _object(pair[1]).object_id in NO_ID:
                parsed.refused.append(Refused(pair[0], NO_DOC_ID, f"of the action {name!r}"))
            else:
                kept.append(pair)
                actions.append(action)
        if others:
            parsed.left_out = _left_out(others)
        lines = [line for _, line in kept]
        attributes = [line.event_attributes or _NO_ATTRIBUTES for line in lines]
        both = list(zip(lines, attributes, strict=True))
        first = self.first_rank
        return Events(
            line=[number for number, _ in kept],
            query_id=[line.query_id for line in lines],
            action=actions,
            doc_id=[(a.object or _NO_OBJECT).object_id for a in attributes],
            rank=[_rank(a.position, first) for a in attributes],
            time=[line.timestamp for line in lines],
            session=[a.session_id if x.session_id is None else x.session_id for x, a in both],
            visitor=[_visitor(x, a.user_id) for x, a in both],
            surface=[a.surface for a in attributes],
            value=[
                _value(a) if action == "purchase" else None
                for a, action in zip(attributes, actions, strict=True)
            ],
            consent=[a.consent if x.consent is None else x.consent for x, a in both],
            agent=[a.user_agent or a.browser for a in attributes],
            text=[None] * len(lines),
        )


def _left_out(lines: list[_Line]) -> LeftOut:
    attributes = [line.event_attributes or _NO_ATTRIBUTES for line in lines]
    both = list(zip(lines, attributes, strict=True))
    return LeftOut(
        query_id=[line.query_id for line in lines],
        time=[line.timestamp for line in lines],
        session=[a.session_id if x.session_id is None else x.session_id for x, a in both],
        visitor=[_visitor(x, a.user_id) for x, a in both],
        consent=[a.consent if x.consent is None else x.consent for x, a in both],
        agent=[a.user_agent or a.browser for a in attributes],
    )


def _searches(pairs: list[_Numbered]) -> Searches:
    lines = [line for _, line in pairs]
    attributes = [line.query_attributes or _NO_QUERY_ATTRIBUTES for line in lines]
    both = list(zip(lines, attributes, strict=True))
    return Searches(
        line=[number for number, _ in pairs],
        query_id=[line.query_id for line in lines],
        text=[line.user_query for line in lines],
        time=[line.timestamp for line in lines],
        session=[a.session_id if x.session_id is None else x.session_id for x, a in both],
        visitor=[_visitor(x, a.user_id) for x, a in both],
        surface=[a.surface for a in attributes],
        results=[_results(line) for line in lines],
        propensities=[a.propensities for a in attributes],
        consent=[a.consent if x.consent is None else x.consent for x, a in both],
        agent=[a.user_agent or a.browser for a in attributes],
    )


def _object(line: _Line) -> _Object:
    return (line.event_attributes or _NO_ATTRIBUTES).object or _NO_OBJECT


def _visitor(line: _Line, user_id: Id) -> Id:
    for given in (line.client_id, line.user_id):
        if given is not None:
            return given
    return user_id


def _rank(position: Any, first: int) -> int | None:  # noqa: ANN401
    while type(position) is dict:
        position = position.get("ordinal", position.get("index"))
    if type(position) is int and position >= first:
        return rank_of(position, first) if position > _FAR else position - first + 1
    return None if position is None else rank_of(position, first)


def _results(line: _Line) -> list[str] | None:
    for given in (
        line.query_response_hit_ids,
        line.query_response_object_ids,
        line.query_response_objects_ids,
    ):
        if given is not None:
            return [str(doc_id) for doc_id in given]
    return None


def _value(attributes: _Attributes) -> float | None:
    """Return what a purchase brought: its value, or the price of its object times its quantity."""
    if attributes.value is not None:
        return number_of(attributes.value)
    found = attributes.object
    detail = found.object_detail if found is not None else None
    if found is None or not isinstance(detail, dict):
        return None
    price = number_of(detail.get("price"))
    quantity = number_of(found.quantity if found.quantity is not None else detail.get("quantity"))
    return None if price is None else price * (1.0 if quantity is None else quantity)
