"""The service: request bodies in, response bytes out, free of HTTP's transport."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from starlette.responses import Response

from cascade.candidates import Query
from cascade.config.settings import ServiceSettings
from cascade.errors import NotFoundError, nearest
from cascade.filters import parse
from cascade.pipeline import Cascade, PageRequest, Recording, Trace
from cascade.protocols import Deadline
from cascade.service import answers
from cascade.service.bodies import MAX_BUDGET_MS, RankBody, RequestBody, SearchBody
from cascade.service.cursor import Cursor, digest_of, read_cursor
from cascade.service.metrics import Metrics
from cascade.service.observing import Observer, Route, Served
from cascade.service.switching import Switch

if TYPE_CHECKING:
    from cascade.service.experimenting import Arm, Experimenter, Mixing


class _Outcome(NamedTuple):
    """What became of a request, for those who observe it."""

    query: Query
    request: PageRequest
    recording: Recording
    results: tuple[str, ...]
    arm: str | None = None
    teams: tuple[int, ...] = ()


@dataclass(frozen=True)
class Service:
    """Answer requests from named cascades; every method may be called from any thread.

    Attributes:
        switch: Hands out the cascades by the name that a request gives; the first answers those
            that give none.
        settings: Of the service.
        clock: Gives the time of a request, in seconds since 1970.
        metrics: What it counts.
        observers: What takes note of requests.
        assume_consent: Whether a request that does not say may be linked with others.
        experiment: Divides searches among cascades; None leaves all to the one they ask for.
    """

    switch: Switch
    settings: ServiceSettings
    clock: Callable[[], float]
    metrics: Metrics
    observers: tuple[Observer, ...] = ()
    assume_consent: bool = True
    experiment: Experimenter | None = None

    @contextmanager
    def chosen(self, name: str | None) -> Iterator[Cascade]:
        """Give a cascade by name, the first if there is none; it stays open until the end.

        Raises:
            NotFoundError: If no cascade has the name.
        """
        with self.switch.held() as cascades:
            if name is None:
                yield next(iter(cascades.values()))
            elif name in cascades:
                yield cascades[name]
            else:
                raise NotFoundError(f"there is no cascade {name!r}; {nearest(name, cascades)}")

    def deadline(self, budget_ms: float | None) -> Deadline:
        """Return when a request that arrives at this moment must be over."""
        return Deadline.after_ms(self.settings.budget_ms if budget_ms is None else budget_ms)

    def search(self, body: SearchBody, deadline: Deadline) -> Response:
        """Answer `POST /v1/search`.

        Raises:
            CascadeError: If the request cannot be answered.
        """
        arm = None
        if self.experiment is not None:
            arm = self.experiment.arm_of(body, consent=self._consents(body))
        with ExitStack() as held:
            cascade = held.enter_context(self.chosen(arm.cascade if arm else body.cascade))
            if body.text.strip():
                self.switch.asked.append((cascade.name, body.text))
            other = None
            if arm is not None and arm.other is not None:
                other = held.enter_context(self.chosen(arm.other))
            return self._searched(cascade, body, deadline, arm, other)

    def _searched(
        self,
        cascade: Cascade,
        body: SearchBody,
        deadline: Deadline,
        arm: Arm | None = None,
        other: Cascade | None = None,
    ) -> Response:
        digest = digest_of(body, cascade.name)
        cursor = read_cursor(body.cursor, digest) if body.cursor is not None else None
        query = self._query(body, cascade, cursor.query_id if cursor else "")
        request = PageRequest(
            size=body.size,
            offset=cursor.offset if cursor else body.offset or 0,
            facets=tuple(body.facets),
            sort=body.sorting(),
            collapse=body.collapse,
            fields=tuple(body.fields) if body.fields is not None else None,
            highlight=tuple(body.highlight),
            explain=body.explain,
        )
        recording = self._recording(query)
        mixing = self._mixing(other, query, request, deadline)
        page = cascade.search(query, request, deadline, recording, mixing)
        stale = []
        if cursor is not None and cursor.generation != page.generation:
            stale.append(
                f"the cursor is of generation {cursor.generation}, this page of "
                f"{page.generation}: rows may be seen twice or not at all"
            )
        following = None
        if page.next_offset is not None:
            following = Cursor(page.next_offset, page.generation, digest, query.id).token()
        shown = tuple(item.id for item in page.items)
        teams: tuple[int, ...] = ()
        if mixing is not None and mixing.mixed:
            teams = tuple(mixing.teams(cascade.documents.rows(shown)))
        elif mixing is not None:
            arm = None  # The page is the first cascade's, and tells nothing of the other.
        if recording is not None:
            label = arm.label if arm is not None else None
            outcome = _Outcome(query, request, recording, shown, label, teams)
            self._tell("search", body, cascade, outcome)
        content = answers.search_content(page, following, stale, explain=body.explain)
        if arm is not None:
            content["experiment"] = {"name": arm.experiment, "arm": arm.name, "teams": teams}
        return self._response(content, cascade, page.trace)

    def rank(self, body: RankBody, deadline: Deadline) -> Response:
        """Answer `POST /v1/rank`.

        Raises:
            CascadeError: If the request cannot be answered.
        """
        with self.chosen(body.cascade) as cascade:
            return self._ranked(cascade, body, deadline)

    def _ranked(self, cascade: Cascade, body: RankBody, deadline: Deadline) -> Response:
        query = self._query(body, cascade)
        ids, scores = body.candidates.ids, np.asarray(body.candidates.scores, dtype=np.float32)
        if body.window is not None and body.window < len(ids):
            best = np.argsort(-scores, kind="stable")[: body.window]
            ids, scores = [ids[at] for at in best.tolist()], scores[best]
        recording = self._recording(query)
        ranking = cascade.rank(query, ids, scores, deadline, recording)
        if recording is not None:
            asked = PageRequest(size=len(ids))
            self._tell("rank", body, cascade, _Outcome(query, asked, recording, ranking.ids))
        content = answers.rank_content(ranking, cascade, query.id)
        return self._response(content, cascade, ranking.trace)

    def explain(self, body: RequestBody, doc_id: str) -> Response:
        """Answer `GET /v1/explain`; it has the longest time that a request may ask for.

        Raises:
            CascadeError: If the request cannot be answered.
        """
        with self.chosen(body.cascade) as cascade:
            query = self._query(body, cascade)
            deadline = self.deadline(MAX_BUDGET_MS)
            explanation = cascade.explain(query, doc_id, deadline=deadline)
            content = answers.explain_content(explanation, cascade)
            return self._response(content, cascade, explanation.trace)

    def unready(self) -> list[str]:
        """Return one line for each cascade whose engine does not answer, or is not warm."""
        with self.switch.held() as cascades:
            dead = [
                f"cascade {name!r}: its engine ({cascade.engine.kind}) does not answer"
                for name, cascade in cascades.items()
                if not cascade.engine.healthy()
            ]
        if not dead and not self.switch.ready:
            return ["the cascades are not warm yet"]
        return dead

    def ready(self) -> dict[str, dict[str, object]]:
        """Return the generation and the models of each cascade."""
        with self.switch.held() as cascades:
            return {
                name: {"generation": cascade.documents.generation, "models": cascade.models}
                for name, cascade in cascades.items()
            }

    def _query(self, body: RequestBody, cascade: Cascade, continued: str = "") -> Query:
        """Return the query of a body; without consent it has no session."""
        return Query(
            id=body.query_id or continued or uuid.uuid4().hex,
            text=body.text,
            filters=parse(body.filters, cascade.documents.schema),
            preference=body.preference,
            session=tuple(body.session) if self._consents(body) else (),
            surface=body.surface,
            time=self.clock(),
        )

    def _consents(self, body: RequestBody) -> bool:
        return self.assume_consent if body.consent is None else body.consent

    def _mixing(
        self, other: Cascade | None, query: Query, request: PageRequest, deadline: Deadline
    ) -> Mixing | None:
        """Return what interleaves a list with another cascade's, None without one."""
        if self.experiment is None or other is None:
            return None
        from cascade.service.experimenting import Mixing

        return Mixing(self.experiment.kind, other, query, request, deadline)

    def _recording(self, query: Query) -> Recording | None:
        """Return what keeps the request's ranking, None where nobody wants it."""
        wanted = any(observer.wants(query.id) for observer in self.observers)
        return Recording() if wanted else None

    def _tell(self, route: Route, body: RequestBody, cascade: Cascade, outcome: _Outcome) -> None:
        """Tell whoever wants to know of a request that is answered."""
        consent = self._consents(body)
        served = Served(
            route=route,
            query=outcome.query,
            request=outcome.request,
            filters=body.filters,
            session=body.session_id if consent else None,
            visitor=body.visitor if consent else None,
            consent=consent,
            cascade=cascade,
            recording=outcome.recording,
            results=outcome.results,
            arm=outcome.arm,
            teams=outcome.teams,
        )
        for observer in self.observers:
            if observer.wants(outcome.query.id):
                observer.take(served)

    def _response(self, content: Mapping[str, object], cascade: Cascade, trace: Trace) -> Response:
        self.metrics.trace(cascade.name, trace)
        headers = {"Server-Timing": answers.server_timing(trace)}
        return Response(answers.encoded(content), headers=headers, media_type="application/json")
