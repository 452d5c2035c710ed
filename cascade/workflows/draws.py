"""Drawing training rows from an engine, as often as there are stages to train."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cascade.business import Business
from cascade.candidates import Query
from cascade.config import Config, business_of, features_of, open_engine, schema_of, store_of
from cascade.config.wire import stage_features
from cascade.features import Features, build_features, stage_column
from cascade.filters import both
from cascade.indexing.generations import Generation
from cascade.judgments import Judgments
from cascade.schema import Schema
from cascade.training.dataset import Dataset, Sampling, retrieved_dataset
from cascade.training.staged import Handed, passed_on
from cascade.workflows.clock import clock_of, refuse_unread
from cascade.workflows.progress import Progress, step

Draw = Callable[[Sequence[Handed], int, Progress], tuple[Dataset, Dataset]]


def asked_at(time_: float, business: Business | None) -> Callable[[str, str], Query]:
    """Return what makes the query of a judgment as serving would retrieve it.

    Args:
        time_: The clock that features read, in seconds since 1970; see `clock_of`.
        business: What the rules of this layer ask of every document joins the query's filters.
    """

    def ask(query_id: str, text: str) -> Query:
        query = Query(query_id, text, time=time_)
        if business is None:
            return query
        return replace(query, filters=both(query.filters, business.retrieval_filter(query)))

    return ask


@dataclass(frozen=True)
class Drawing:
    """Draw rows of judged queries from one generation.

    Attributes:
        config: The settings.
        generation: What is searched.
        schema: Of its documents.
        features: What the rows are told by.
        judgments: Of the training queries, then of those that say when to stop.
        training: How many queries are trained on.
        time: The clock that features read, in seconds since 1970.
    """

    config: Config
    generation: Generation
    schema: Schema
    features: Features
    judgments: Judgments
    training: int
    time: float

    def rows(
        self, before: Sequence[Handed], window: int, progress: Progress
    ) -> tuple[Dataset, Dataset]:
        """Return the rows to train on and those that say when to stop.

        Args:
            before: The stages whose order the rows come in and whose scores they have.
            window: How many rows of each listing the stage that is trained will score.
            progress: Told how far it is.
        """
        config, settings = self.config, self.config.settings
        sampling = Sampling(
            size=settings.retrieval.size,
            negatives=settings.training.negatives,
            minimum_match=settings.retrieval.minimum_match,
            seed=settings.training.seed,
            memory_mb=settings.training.memory_mb,
            pass_on=passed_on(before, window),
        )
        scores = [
            {"kind": "stage_score", "name": stage_column(stage.name), "stage": stage.name}
            for stage in before
        ]
        engine, catalogue = open_engine(config, schema_of(config), self.generation)
        try:
            known = [*self.features.definitions(), *scores]
            features = build_features(known, catalogue.schema, source=str(config.path))
            # Never before what was drawn from first, nor before counts that came in since.
            time = max(self.time, clock_of(config, catalogue))
            ask = asked_at(time, business_of(config, catalogue.schema))
            told = step(progress, "retrieve and compute features")
            found = retrieved_dataset(engine, features, self.judgments, sampling, ask, told)
        finally:
            engine.close()
        is_train = np.arange(len(found.query_ids)) < self.training
        return found.select(is_train), found.select(~is_train)


def drawing_of(config: Config, judgments: Judgments, training: int) -> Drawing:
    """Return what draws rows from the live generation.

    Args:
        config: The settings.
        judgments: Of the training queries, then of those that say when to stop.
        training: How many queries are trained on.

    Raises:
        ConfigError: If features or stages are not sound.
        RefusedError: If features read counts that are not there.
    """
    generation = store_of(config).live()
    engine, catalogue = open_engine(config, schema_of(config), generation)
    try:
        schema = catalogue.schema
        features = features_of(config, schema)
        used = [stage_features(config, s, features, schema) for s in config.settings.stages]
        time = clock_of(config, catalogue)
        refuse_unread(config, used, catalogue, time)
    finally:
        engine.close()
    return Drawing(config, generation, schema, features, judgments, training, time)
