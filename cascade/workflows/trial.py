"""A trial: candidates and live models rank the same held-out queries, for the gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from cascade.candidates import Query
from cascade.config import (
    Config,
    judgments_columns,
    measures_of,
    open_cascades,
    registry_of,
)
from cascade.drift import DriftMonitor, Reference
from cascade.errors import InputError, NotFoundError
from cascade.evaluation import Bootstrap, by_frequency, by_length
from cascade.events.request_log import RequestLog
from cascade.judgments import Judgments, read_judgments
from cascade.pipeline import Recording, Stage
from cascade.rankers import OnnxRanker
from cascade.registry import CANDIDATE, LIVE, Bundle, text_digest
from cascade.training.dataset import svmlight_dataset
from cascade.workflows.clock import clock_of
from cascade.workflows.gate import (
    Check,
    bucket_checks,
    latency_check,
    logged_check,
    quality_check,
    skew_check,
)
from cascade.workflows.progress import Progress
from cascade.workflows.rows import judgments_of, listings_of
from cascade.workflows.runs import BM25
from cascade.workflows.shadow import Outcome, compare, compare_rows, pinned
from cascade.workflows.skew import skew
from cascade.workflows.train import NO_SCHEMA, sha256_of

Versions: TypeAlias = Mapping[str, int | None]
Ranked: TypeAlias = tuple[dict[str, Outcome], Judgments]
RANDOM = "random"
LOGGED = 200


@dataclass(frozen=True)
class Loaded:
    """Hold one candidate that may be ranked with.

    Attributes:
        bundle: The model.
        ranker: It, over this schema.
        reference: What its features looked like in training, None for a bundle without one.
    """

    bundle: Bundle
    ranker: OnnxRanker
    reference: Reference | None


@dataclass(frozen=True)
class Trial:
    """Compare the cascade as it is with the cascade as it would be.

    Attributes:
        config: The settings.
        before: The live version of each name, None where there is none.
        after: The version of each name that would be live.
        loaded: The candidates by name.
    """

    config: Config
    before: Versions
    after: Versions
    loaded: Mapping[str, Loaded]
    _monitors: dict[str, DriftMonitor] = field(default_factory=dict)

    def held(self, path: Path, progress: Progress) -> tuple[list[Check], dict[str, Any]]:
        """Return the lines that held-out queries draw, and what they were drawn from.

        Where nothing is live yet, candidates are compared with the order that they were given.

        Args:
            path: The judgments.
            progress: Told how far it is.

        Raises:
            InputError: If the judgments cannot be used, or all of their queries were trained on.
        """
        settings = self.config.settings
        svmlight = settings.judgments.format == "svmlight"
        found, judged = self._rows(path) if svmlight else self._queries(path, progress)
        measure = measures_of(self.config)[0]
        baseline = next(name for name in found if name != CANDIDATE)
        old, new = (measure.per_query(found[n].run, judged) for n in (baseline, CANDIDATE))
        gate, seed = settings.gate, settings.evaluation.seed
        bootstrap = Bootstrap(settings.evaluation.resamples, gate.level, seed=seed)
        queries = found[CANDIDATE].run.query_ids
        before = found[LIVE].ms if LIVE in found else None
        checks = [
            quality_check(str(measure), new, old, gate, bootstrap),
            *bucket_checks(_positions(judged, queries), new, old, gate, bootstrap),
            latency_check(found[CANDIDATE].ms, before, gate),
            *self._skew(),
            *self._logged(progress),
        ]
        data = {"queries": len(queries), "measure": str(measure), "baseline": baseline}
        return checks, data

    def _logged(self, progress: Progress) -> list[Check]:
        """Return the line of the request log, if there is one."""
        settings = self.config.settings
        if settings.log.path is None or settings.index is None:
            return []
        log = RequestLog(self.config.resolve(settings.log.path))
        try:
            sampled = log.sample(LOGGED)
        except NotFoundError as error:
            return [Check("log", None, str(error))]
        # Several cascades may keep their requests in one folder.
        own = [request for request in sampled if request.cascade == settings.name]
        report = skew(self.config, own, progress=progress)
        read = {name for each in self.loaded.values() for name in each.ranker.features.names}
        return [logged_check(report, read, settings.gate)]

    def _queries(self, path: Path, progress: Progress) -> Ranked:
        config = self.config
        read = read_judgments(path, judgments_columns(config))
        held = self._held_out(read, path)
        wanted = {CANDIDATE: pinned(config, self._references(self.after))}
        if None not in self.before.values():
            wanted = {LIVE: pinned(config, self._references(self.before)), **wanted}
        cascades = open_cascades(wanted)
        try:
            candidate = cascades[CANDIDATE]
            if LIVE not in cascades:
                cascades = {BM25: replace(candidate, stages=()), **cascades}
            at = clock_of(config, candidate.documents)
            queries = [Query(q, text, time=at) for q, text in held.texts.items()]
            self._expect(len(queries))
            return compare(cascades, queries, self._watch, progress), held
        finally:
            for cascade in cascades.values():
                cascade.engine.close()

    def _rows(self, path: Path) -> Ranked:
        dataset, checksum = svmlight_dataset(path), sha256_of(path)
        systems = {CANDIDATE: self._stages(self.after, checksum, path)}
        if None in self.before.values():
            systems = {RANDOM: (), **systems}
        else:
            systems = {LIVE: self._stages(self.before, checksum, path), **systems}
        used = {
            name
            for stages in systems.values()
            for stage in stages
            if stage.features is not None
            for name in stage.features.names
        }
        self._expect(len(dataset.query_ids))
        listings = listings_of(dataset, sorted(used))
        return compare_rows(systems, listings, self._watch), judgments_of(dataset)

    def _stages(self, versions: Versions, checksum: str, path: Path) -> tuple[Stage, ...]:
        """Return the stages over given rows, which no model may have been trained on."""
        registry, stages = registry_of(self.config), []
        references = self._references(versions)
        for stage, reference in zip(self.config.settings.stages, references, strict=True):
            bundle = registry.load(reference)
            if bundle.manifest.data.get("sha256") == checksum:
                raise InputError(f"{bundle.label} was trained on {path}; give other rows")
            ranker = bundle.ranker(NO_SCHEMA)
            stages.append(
                Stage(
                    stage.name,
                    ranker,
                    stage.window,
                    model=bundle.label,
                    features=ranker.features,
                )
            )
        return tuple(stages)

    def _references(self, versions: Versions) -> list[str]:
        settings = self.config.settings
        named = [settings.model_name(stage) for stage in settings.stages]
        return [f"{name}@{versions[name]}" if name in versions else name for name in named]

    def _held_out(self, read: Judgments, path: Path) -> Judgments:
        """Return the judgments of queries that no model on either side was trained on."""
        registry, trained = registry_of(self.config), set[str]()
        for versions in (self.before, self.after):
            for reference in self._references(versions):
                if not reference.endswith("@None"):
                    trained |= set(registry.load(reference).manifest.trained_queries)
        kept = {q: d for q, text in read.texts.items() if (d := text_digest(text)) not in trained}
        if not kept:
            raise InputError(
                f"every one of the {len(read.texts)} queries of {path} was trained on; the gate "
                "needs judged queries that training left out ([split] says how many)"
            )
        # By digest: a sample that depends on neither the file's order nor chance.
        most = self.config.settings.gate.requests
        chosen = set(sorted(kept, key=lambda q: (kept[q], q))[:most])
        return read.only([q for q in kept if q in chosen])

    def _expect(self, queries: int) -> None:
        for stage in self.config.settings.stages:
            candidate = self.loaded.get(self.config.settings.model_name(stage))
            if candidate is not None and candidate.reference is not None:
                self._monitors[stage.name] = DriftMonitor(candidate.reference, block=queries)

    def _watch(self, system: str, recording: Recording) -> None:
        if system != CANDIDATE:
            return
        for record in recording.stages:
            monitor = self._monitors.get(record.name)
            if monitor is not None and record.matrix is not None and record.scores is not None:
                monitor.observe(record.matrix, record.scores)

    def _skew(self) -> list[Check]:
        settings = self.config.settings
        checks = []
        for stage in settings.stages:
            candidate = self.loaded.get(settings.model_name(stage))
            if candidate is None:
                continue
            label, reference = candidate.bundle.label, candidate.reference
            if reference is None:
                detail = f"{label} has no training reference to compare with; train it again"
                checks.append(Check("skew", None, detail))
                continue
            monitor = self._monitors[stage.name]
            # A query that finds nothing gives the stage no listing.
            found = monitor.psi(least=1)
            checks.append(skew_check(found, monitor.listings, reference, label, settings.gate))
        return checks


def _positions(judged: Judgments, queries: Sequence[str]) -> dict[str, list[int]]:
    """Return where the queries of the head, the torso and the tail stand."""
    at = {query_id: i for i, query_id in enumerate(queries)}
    if not any(judged.texts.values()):
        return {}
    split = by_frequency(judged.frequency) if judged.frequency else by_length(judged.texts)
    return {name: [at[q] for q in ids if q in at] for name, ids in split.buckets.items()}
