"""The clock of what has no time of its own, such as a judged query; and what it can read."""

from __future__ import annotations

from collections.abc import Iterable

from cascade.candidates import Documents
from cascade.config import Config, store_of
from cascade.errors import RefusedError
from cascade.features import Features, counters_of

_REMEDY = "run `cascade behaviour update` first, or leave them out by `features` of the stages"


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


def refuse_unread(
    config: Config, stages: Iterable[Features], documents: Documents, at: float
) -> None:
    """Refuse to train on features that read counts which are not there, or must not be read.

    Their columns would be one value throughout, and a model would learn nothing from them that
    holds once there are counts.

    Args:
        config: Says how old counts may be.
        stages: The features that each stage is trained on.
        documents: As they were opened, with the counts that features read.
        at: The time of the queries, in seconds since 1970.

    Raises:
        RefusedError: If a counter was never counted, or the counts are too old.
    """
    behaviour = documents.behaviour
    found = list({feature.name: feature for one in stages for feature in one.features}.values())
    if not counters_of(found):
        return
    known = () if behaviour is None else behaviour.counters
    lacking = [f.name for f in found if set(counters_of([f])) - set(known)]
    if lacking:
        raise RefusedError(
            f"{config.path}: nobody counted what these features read: {', '.join(lacking)}; "
            + _REMEDY
        )
    if behaviour is not None and not behaviour.usable(at):
        reading = [f.name for f in found if counters_of([f])]
        days = (at - behaviour.as_of) / 86_400
        raise RefusedError(
            f"{config.path}: the counts that these features read end {days:.1f} days before "
            f"the index was built, and behaviour.max_age_s is "
            f"{config.settings.behaviour.max_age_s:g}: {', '.join(reading)}; {_REMEDY}"
        )
