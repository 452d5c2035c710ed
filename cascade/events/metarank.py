"""Metarank's events: rankings are searches, interactions are events; metadata is left out.

The form: https://docs.metarank.ai/reference/event-schema .
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from cascade.events.actions import Actions
from cascade.events.lines import Block
from cascade.events.parsed import NO_ID, Events, Id, LeftOut, Parsed, Refused, Searches, number_of
from cascade.events.ubi import NO_DOC_ID, NO_QUERY_ID, NOT_JSON

NOT_METARANK = "not of the form of Metarank"
TEXT_FIELD = "query"


class _Field(msgspec.Struct):
    name: str
    value: Any = None


class _Item(msgspec.Struct):
    id: str | int


class _Line(msgspec.Struct):
    event: str
    id: Id = None
    timestamp: str | int | float | None = None
    user: Id = None
    session: Id = None
    fields: list[_Field] | None = None
    items: list[_Item] | None = None
    item: Id = None
    type: str | None = None
    ranking: Id = None


@dataclass(frozen=True)
class MetarankReader:
    """Read blocks of Metarank events.

    A ranking's text is its field `query`. An interaction has no rank of its own; `ranking` names
    the search whose results tell it.

    Attributes:
        actions: What types of interactions mean.
    """

    actions: Actions = field(default_factory=Actions)
    _decoder: msgspec.json.Decoder[_Line] = field(
        default_factory=lambda: msgspec.json.Decoder(_Line), init=False, repr=False
    )

    def __call__(self, block: Block) -> Parsed:
        """Return what the lines of a block say."""
        parsed = Parsed()
        for number, text in enumerate(block.lines()):
            if not text.strip():
                continue
            parsed.lines += 1
            try:
                line = self._decoder.decode(text)
            except msgspec.ValidationError as error:
                parsed.refused.append(Refused(number, NOT_METARANK, str(error)))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                parsed.refused.append(Refused(number, NOT_JSON, str(error)))
            else:
                self._add(number, line, parsed)
        return parsed

    def _add(self, number: int, line: _Line, parsed: Parsed) -> None:
        if line.event == "ranking":
            _add_search(number, line, parsed)
        elif line.event == "interaction":
            action = self.actions.of(line.type or "")
            if action is None:
                parsed.others[line.type or "interactions without a type"] += 1
                if line.ranking not in NO_ID:
                    parsed.left_out.query_id.append(line.ranking)
                    _add_who(parsed.left_out, line, _fields(line))
            elif line.item in NO_ID:
                parsed.refused.append(Refused(number, NO_DOC_ID, f"of the type {line.type!r}"))
            else:
                _add_event(number, line, action, parsed)
        else:
            parsed.others[line.event] += 1


def _add_search(number: int, line: _Line, parsed: Parsed) -> None:
    if line.id in NO_ID:
        parsed.refused.append(Refused(number, NO_QUERY_ID))
        return
    told = _fields(line)
    text = told.get(TEXT_FIELD)
    to = parsed.searches
    to.line.append(number)
    to.query_id.append(line.id)
    to.text.append(None if text is None else str(text))
    to.results.append(None if line.items is None else [str(item.id) for item in line.items])
    to.propensities.append(None)
    _add_context(to, line, told)


def _add_event(number: int, line: _Line, action: str, parsed: Parsed) -> None:
    told = _fields(line)
    to = parsed.events
    to.line.append(number)
    to.query_id.append(line.ranking)
    to.action.append(action)
    to.doc_id.append(line.item)
    to.rank.append(None)
    to.value.append(number_of(told.get("value")) if action == "purchase" else None)
    to.text.append(None)
    _add_context(to, line, told)


def _add_context(to: Searches | Events, line: _Line, told: dict[str, Any]) -> None:
    """Add what searches and events both have."""
    surface = told.get("surface")
    to.surface.append(surface if isinstance(surface, str) else None)
    _add_who(to, line, told)


def _add_who(to: Searches | Events | LeftOut, line: _Line, told: dict[str, Any]) -> None:
    """Add who it was, and when."""
    consent, agent = (told.get(name) for name in ("consent", "user_agent"))
    to.time.append(line.timestamp)
    to.session.append(line.session)
    to.visitor.append(line.user)
    to.consent.append(consent if isinstance(consent, bool) else None)
    to.agent.append(agent if isinstance(agent, str) else None)


def _fields(line: _Line) -> dict[str, Any]:
    return {told.name: told.value for told in line.fields or ()}
