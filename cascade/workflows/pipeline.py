"""The pipeline: counts, training, evaluation, gate and promotion, one step at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cascade import __version__
from cascade.config import Config, registry_of, store_of
from cascade.errors import InputError, RefusedError
from cascade.evaluation import to_json
from cascade.registry import CANDIDATE, LIVE
from cascade.workflows.behaviour import needed_counters, update_behaviour
from cascade.workflows.evaluate import evaluate_config
from cascade.workflows.progress import Progress, silent
from cascade.workflows.promote import promote_config
from cascade.workflows.steps import Results, Step, StepRecord, read_records, run_steps
from cascade.workflows.train import sha256_of, train_config

STEPS = ("features", "train", "evaluate", "gate", "promote")
# What the outcome of training depends on; other tables decide how it is served and judged.
_TRAINED_BY = ("engine", "index", "retrieval", "judgments", "split", "features", "stages", "models")


@dataclass(frozen=True)
class PipelineReport:
    """Tell what became of a run of the pipeline.

    Attributes:
        steps: The steps, in order.
        seconds: How long those of this run took.
    """

    steps: tuple[StepRecord, ...]
    seconds: float

    @property
    def bad(self) -> StepRecord | None:
        """The step that was refused or failed, if there is one."""
        return next((s for s in self.steps if s.status in ("refused", "failed")), None)


def run_pipeline(
    config: Config,
    judgments: Path | None = None,
    *,
    again: Sequence[str] = (),
    progress: Progress = silent,
    told: Callable[[StepRecord], None] = lambda record: None,
) -> PipelineReport:
    """Count, train, evaluate, and promote what passes the gate; what is recorded is not repeated.

    A run that was killed goes on with the step it was at. A run with nothing new to learn from
    keeps every step and changes nothing.

    Args:
        config: The settings.
        judgments: The judgments to learn from; None means `pipeline.judgments`.
        again: Steps to repeat, with all that follow.
        progress: Told how far a step is.
        told: Told each step's record.

    Raises:
        InputError: If there are no judgments, the configuration has no engine, or another run of
            this pipeline is under way.
    """
    if config.settings.judgments.format == "svmlight":
        raise InputError(
            f"{config.path}: rows in SVMlight form are all trained on, so nothing is held out to "
            "evaluate; run train and models promote --judgments OTHER by themselves"
        )
    work = _Work(config, _judgments(config, judgments), progress)
    records = run_steps(work.steps(), pipeline_folder(config), again=again, told=told)
    return PipelineReport(records, sum(r.seconds for r in records if r.status != "kept"))


def pipeline_status(config: Config) -> list[StepRecord]:
    """Return what is recorded of each step, in order; a step without a record was not run."""
    found = read_records(pipeline_folder(config))
    return [found.get(name, StepRecord(name, "", "not run")) for name in STEPS]


def pipeline_folder(config: Config) -> Path:
    """Return the folder of a pipeline's records."""
    settings = config.settings
    return config.resolve(settings.pipeline.root) / settings.name


@dataclass(frozen=True)
class _Work:
    config: Config
    judgments: Path
    progress: Progress

    def steps(self) -> list[Step]:
        """Return the steps with what each depends on."""
        dumped = self.config.settings.model_dump(mode="json", by_alias=True)
        data = {"judgments": sha256_of(self.judgments), "code": __version__}
        data |= self._sums({"texts": self.config.settings.judgments.texts})
        compared = self._sums({"judgments": self.config.settings.gate.judgments})
        learnt = {key: dumped[key] for key in (*_TRAINED_BY, "training", "business")}
        generation = store_of(self.config).live().name if dumped["index"] else None
        features = {"features": dumped["features"], "generation": generation, "log": self._log()}
        return [
            Step("features", self._features, features),
            Step("train", self._train, {**data, **learnt}, ("features",)),
            Step("evaluate", self._evaluate, {"evaluation": dumped["evaluation"]}, ("train",)),
            Step("gate", self._gate, {"gate": dumped["gate"], **compared}, ("evaluate",)),
            Step("promote", self._promote, {}, ("gate",)),
        ]

    def _sums(self, files: Mapping[str, str | None]) -> dict[str, str]:
        """Return the checksum of each file that is there; its step says if one is missing."""
        found = {name: self.config.resolve(path) for name, path in files.items() if path}
        return {name: sha256_of(path) for name, path in found.items() if path.is_file()}

    def _log(self) -> list[tuple[str, int]]:
        """Return the files of the event log, where features read counts of it."""
        root = self.config.resolve(self.config.settings.events.path)
        if self.config.settings.index is None or not needed_counters([self.config]):
            return []
        return [(p.name, p.stat().st_size) for p in sorted(root.glob("*/*.parquet"))]

    def _features(self, results: Results) -> Mapping[str, Any]:
        if self.config.settings.index is None or not needed_counters([self.config]):
            return {"counters": 0}
        report = update_behaviour([self.config])
        return {
            "counters": len(report.counters),
            "snapshot": report.snapshot,
            "as_of": report.as_of,
        }

    def _train(self, results: Results) -> Mapping[str, Any]:
        report = train_config(self.config, self.judgments, promote=False, progress=self.progress)
        return {"models": {s.stage: s.model for s in report.stages}, "queries": report.queries}

    def _evaluate(self, results: Results) -> Mapping[str, Any]:
        self._check_candidates(results)
        report = to_json(evaluate_config(self.config, self.judgments, progress=self.progress))
        kept = ("queries", "baseline", "systems", "data")
        return {key: report[key] for key in kept}

    def _gate(self, results: Results) -> Mapping[str, Any]:
        self._check_candidates(results)
        return self._promoted(switch=False)

    def _promote(self, results: Results) -> Mapping[str, Any]:
        self._check_candidates(results)
        return self._promoted(switch=True)

    def _promoted(self, *, switch: bool) -> Mapping[str, Any]:
        given = None if self.config.settings.gate.judgments else self.judgments
        found = promote_config(self.config, judgments=given, switch=switch, progress=self.progress)
        if found.failed:
            lines = "; ".join(f"{check.line}: {check.detail}" for check in found.failed)
            raise RefusedError(f"the gate refuses {self._named(found.after)}: {lines}")
        return {"action": found.action, "models": dict(found.after)}

    def _named(self, versions: Mapping[str, int]) -> str:
        return ", ".join(f"{name}/{version}" for name, version in versions.items())

    def _check_candidates(self, results: Results) -> None:
        """Refuse to go on with models that another training has replaced since."""
        registry = registry_of(self.config)
        for label in results["train"]["models"].values():
            name, _, version = label.partition("/")
            aliases = registry.aliases(name)
            found = aliases.get(CANDIDATE)
            # A run that was killed right after the switch finds its model live.
            if int(version) not in (found, aliases.get(LIVE)):
                raise InputError(
                    f"{label} was trained by this run, and the candidate is "
                    f"{f'{name}/{found}' if found else 'gone'}: another training came between; "
                    "run the pipeline with --again train"
                )


def _judgments(config: Config, given: Path | None) -> Path:
    named = config.settings.pipeline.judgments
    path = given or (config.resolve(named) if named else None)
    if path is None:
        raise InputError(
            "the pipeline learns from judgments; give --judgments FILE or set pipeline.judgments"
        )
    if not path.is_file():
        raise InputError(f"pipeline.judgments: there is no file {path}")
    return path
