"""The clock of what has no time of its own, such as a judged query."""

from __future__ import annotations

from cascade.candidates import Documents
from cascade.config import Config, store_of


def clock_of(config: Config, documents: Documents) -> float:
    """Return when judged queries are asked over open documents, in seconds since 1970.

    That is when their generation was built, or the moment up to which the counts of behaviour go
    if that is later: a query of an earlier time must not read them.

    Args:
        config: Says where the generations are.
        documents: As they were opened, with the counts that features read.
    """
    built = store_of(config).get(documents.generation).created
    behaviour = documents.behaviour
    return built if behaviour is None else max(built, behaviour.as_of)
