"""Experiments on live requests: which cascade answers, and lists made of two cascades."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from cascade.candidates import Candidates, Int64, Query, concatenated
from cascade.config.experiment_settings import ExperimentSettings
from cascade.errors import ConfigError, nearest
from cascade.experiments import Experiment, balanced, team_draft
from cascade.pipeline import Cascade, PageRequest
from cascade.pipeline.trace import Ranked
from cascade.protocols import Deadline
from cascade.service.bodies import RequestBody

# Below these ranks a list is the first cascade's: shoppers seldom see them, and clicks tell most
# about the head.
DEPTH = 100
_NOBODY = -1
_MIXERS = {"team_draft": team_draft, "balanced": balanced}


@dataclass(frozen=True, slots=True)
class Arm:
    """Say how a request is answered.

    Attributes:
        experiment: The experiment's name.
        name: The arm: a cascade, or "interleaved".
        cascade: The cascade that answers.
        other: The cascade whose order is interleaved with its, None in an A/B test.
    """

    experiment: str
    name: str
    cascade: str
    other: str | None = None

    @property
    def label(self) -> str:
        """Experiment and arm, as the request log has them: arms of two tests may share a name."""
        return f"{self.experiment}/{self.name}"


class Experimenter:
    """Divide requests among the arms of one experiment.

    Args:
        settings: The experiment.
        names: The cascades that there are, the first of which answers requests that name none.
        source: Where the settings come from, for messages.

    Raises:
        ConfigError: If it names a cascade that is not there.
    """

    def __init__(self, settings: ExperimentSettings, names: Sequence[str], source: str) -> None:
        unknown = [name for name in settings.cascades if name not in names]
        if unknown:
            known = nearest(unknown[0], names)
            raise ConfigError(
                source, [f"experiment.cascades: there is no cascade {unknown[0]!r}; {known}"]
            )
        self._settings = settings
        self._first = names[0]
        self._experiment = Experiment(settings.name, settings.divided(), settings.salt)

    @property
    def kind(self) -> str:
        """How lists are made: "ab", "team_draft" or "balanced"."""
        return self._settings.kind

    def arm_of(self, body: RequestBody, *, consent: bool) -> Arm | None:
        """Return the arm of a request, None where it takes no part.

        A request takes part if it asks for the cascade that the others are compared with, and
        says which unit it belongs to and that it may be linked with others.
        """
        settings = self._settings
        ids = {"visitor": body.visitor, "session": body.session_id, "query": body.query_id}
        unit = ids[settings.unit]
        asked = body.cascade or self._first
        if asked != settings.cascades[0] or not unit or (settings.unit != "query" and not consent):
            return None
        name = self._experiment.arm_of(unit)
        if name is None:
            return None
        if settings.kind == "ab":
            return Arm(settings.name, name, name)
        return Arm(settings.name, name, *settings.cascades)


@dataclass
class Mixing:
    """Interleave the list of a request with that of another cascade.

    It does nothing where the two do not read the same documents, or where a rule moved a row in
    either list: what rules promise, an interleaved list cannot.

    Attributes:
        kind: "team_draft" or "balanced".
        other: The other cascade.
        query: The request.
        request: What of it decides the list.
        deadline: When the request must be over.
    """

    kind: str
    other: Cascade
    query: Query
    request: PageRequest
    deadline: Deadline
    _teams: Mapping[int, int] = field(default_factory=dict)
    mixed: bool = False

    def __call__(self, ranked: Ranked) -> Ranked:
        """Return the list with its head interleaved."""
        first = ranked.candidates
        if self.request.sort is not None or ranked.trace.moves:
            return ranked
        found = self.other.ranked(self.query, self.request, self.deadline)
        second = found.candidates
        if found.trace.moves or second.documents is not first.documents:
            return ranked
        heads = [_known(candidates)[:DEPTH] for candidates in (first, second)]
        made = _MIXERS[self.kind](heads[0], heads[1], self.query.id)
        self._teams = dict(zip(made.rows.tolist(), made.teams.tolist(), strict=True))
        self.mixed = True
        return replace(ranked, candidates=_arranged(first, second, made.rows))

    def teams(self, rows: NDArray[np.int32]) -> list[int]:
        """Return whose row each is: 0 the first cascade's, 1 the other's, -1 nobody's."""
        return [self._teams.get(row, _NOBODY) for row in rows.tolist()]


def _known(candidates: Candidates) -> Int64:
    """Return the rows of a list that the catalogue has, best first."""
    return candidates.rows[candidates.rows >= 0].astype(np.int64)


def _arranged(first: Candidates, second: Candidates, head: Int64) -> Candidates:
    """Return the rows of `head` in its order, and then what is left of the first list."""
    extra = second.bare().take(~np.isin(second.rows, first.rows) & np.isin(second.rows, head))
    rows = np.concatenate([first.rows, extra.rows])
    place = {row: at for at, row in enumerate(head.tolist())}
    rank = np.array([place.get(row, len(place)) for row in rows.tolist()], dtype=np.int64)
    both = concatenated([first.bare(), extra])
    one = Candidates(
        queries=first.queries,
        offsets=np.array([0, len(both)], dtype=np.int64),
        rows=both.rows,
        scores=both.scores,
        documents=both.documents,
        columns=both.columns,
        doc_ids=both.doc_ids,
    )
    # What was not interleaved keeps the first cascade's order.
    return one.take(np.argsort(rank, kind="stable"))
