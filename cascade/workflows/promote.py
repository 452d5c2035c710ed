"""Making candidates live if the gate lets them pass, and going back."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from cascade.config import Config, registry_of, schema_of
from cascade.drift import read_reference
from cascade.errors import (
    CascadeError,
    ChecksumError,
    InputError,
    NotFoundError,
    RefusedError,
    nearest,
)
from cascade.registry import (
    CANDIDATE,
    LIVE,
    PREVIOUS,
    REFERENCE,
    Decision,
    Registry,
    record_decision,
)
from cascade.workflows.gate import Check, parity_check
from cascade.workflows.policy_gate import (
    left_behind,
    openable,
    policy_checks,
    policy_to_promote,
    unnamed_policy,
)
from cascade.workflows.progress import Progress, silent
from cascade.workflows.train import NO_SCHEMA, sha256_of
from cascade.workflows.trial import Loaded, Trial

_MAKES = "`cascade train` makes one of a stage, `cascade business evolve` a policy"
Action = Literal["promoted", "passed", "refused", "nothing"]


@dataclass(frozen=True)
class Promotion:
    """Tell what the gate said of the candidates of a cascade, and what became of them.

    Attributes:
        action: "promoted", "passed" where nothing was to be switched, "refused", or "nothing"
            where there is no candidate that is not live.
        before: The live version of each name, None where there is none.
        after: The version of each name that is or would be live.
        checks: The lines of the gate.
        data: What they were drawn from.
    """

    action: Action
    before: Mapping[str, int | None] = field(default_factory=dict)
    after: Mapping[str, int] = field(default_factory=dict)
    checks: Sequence[Check] = ()
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def failed(self) -> list[Check]:
        """The lines that refuse the candidates."""
        return [check for check in self.checks if check.passed is False]


def promote_config(
    config: Config,
    names: Sequence[str] = (),
    judgments: Path | None = None,
    *,
    switch: bool = True,
    progress: Progress = silent,
) -> Promotion:
    """Let the candidates of a cascade through the gate, and make them live together.

    Args:
        config: The settings.
        names: Stages or bundles; none means every stage that has a candidate, and the policy.
        judgments: What to compare on; none means `gate.judgments`.
        switch: Whether candidates that pass become live.
        progress: Told how far it is.

    Raises:
        InputError: If there are no judgments, or all of their queries were trained on.
        NotFoundError: If a name is not of the cascade, or has no candidate.
    """
    registry = registry_of(config)
    before, moves = _moves(config, registry, names)
    if not moves:
        return Promotion("nothing", before)
    path = _judgments_path(config, judgments)
    after = {**before, **moves}
    stages = _names(config)
    moving = {name: version for name, version in moves.items() if name in stages}
    checks, loaded = _load(config, registry, moving)
    live = _live_labels(config, after)
    moved = [f"{name}@{version}" for name, version in moves.items() if name not in stages]
    for reference in moved:
        checks += policy_checks(config, registry, reference, live)
    data: dict[str, Any] = {"judgments": path.name, "sha256": sha256_of(path)}
    if moving and all(check.passed for check in checks):
        before_stages, after_stages = ({n: at[n] for n in stages} for at in (before, after))
        trial = Trial(config, before_stages, after_stages, loaded)
        drawn, told = trial.held(path, progress)
        checks, data = [*checks, *drawn], {**data, **told}
    if moving and not moved:
        checks = [*checks, *left_behind(config, registry, live)]
    refused = any(check.passed is False for check in checks)
    action: Action = "refused" if refused else "promoted" if switch else "passed"
    if action == "promoted":
        registry.promote(moves, before)
        _verify(registry, moves)
    if action != "passed":
        decided: Literal["promoted", "refused"] = "refused" if refused else "promoted"
        lines: list[Mapping[str, Any]] = [asdict(check) for check in checks]
        decision = Decision(decided, config.settings.name, time.time(), before, moves, lines, data)
        record_decision(registry.root, decision)
    wanted = {name: version for name, version in after.items() if version is not None}
    return Promotion(action, before, wanted, checks, data)


def rollback_config(config: Config) -> dict[str, tuple[int, int]]:
    """Let the live and the previous models of every stage change places.

    Returns:
        What was and what is live, for each name.

    Raises:
        NotFoundError: If a stage has no previous model.
        ChecksumError: If a previous model is damaged.
        ConfigError: If the table asks for a point that the previous policy does not have, or for
            looser bounds.
        FingerprintError: If the previous policy is none, or was made for other inputs or
            objectives.
    """
    registry = registry_of(config)
    names = _names(config)
    policy = policy_to_promote(config)
    if policy is not None and PREVIOUS in registry.aliases(policy):
        names.append(policy)
    for name in names:
        if PREVIOUS in registry.aliases(name):
            bundle = registry.load(f"{name}@{PREVIOUS}")
            if name == policy:
                openable(config, bundle)
    moved = registry.rollback(names)
    before = {name: was for name, (was, _) in moved.items()}
    after = {name: now for name, (_, now) in moved.items()}
    decision = Decision("rolled back", config.settings.name, time.time(), before, after)
    record_decision(registry.root, decision)
    return moved


def _names(config: Config) -> list[str]:
    """Return the bundle of each stage whose setting leaves the version to the registry."""
    settings = config.settings
    named = [settings.model_name(stage) for stage in settings.stages]
    return list(dict.fromkeys(name for name in named if "@" not in name))


def _live_labels(config: Config, after: Mapping[str, int | None]) -> list[str]:
    """Return the bundle of each stage that will be live, as name/version."""
    settings = config.settings
    named = dict.fromkeys(settings.model_name(stage) for stage in settings.stages)
    pinned = registry_of(config).resolved([name for name in named if "@" in name], LIVE)
    moving = [f"{name}/{after[name]}" for name in named if "@" not in name]
    return [*moving, *(reference.replace("@", "/") for reference in pinned)]


def _moves(
    config: Config, registry: Registry, names: Sequence[str]
) -> tuple[dict[str, int | None], dict[str, int]]:
    """Return the live version of each name, and the version of each that is to become live."""
    settings = config.settings
    policy = policy_to_promote(config)
    known = [*_names(config), *([] if policy is None else [policy])]
    aliases = {name: registry.aliases(name) for name in known}
    before = {name: aliases[name].get(LIVE) for name in known}
    fresh = {
        name: found[CANDIDATE]
        for name, found in aliases.items()
        if CANDIDATE in found and found[CANDIDATE] != found.get(LIVE)
    }
    if not names:
        missing = [name for name in known if name not in fresh and before[name] is None]
        if missing:
            raise NotFoundError(f"{', '.join(missing)}: neither live nor a candidate; {_MAKES}")
        return before, fresh
    by_stage = {stage.name: settings.model_name(stage) for stage in settings.stages}
    moves = {}
    for given in names:
        name = by_stage.get(given, given)
        if name not in known:
            raise NotFoundError(
                unnamed_policy(config, registry, name)
                or f"{given!r} is no stage or model of {settings.name!r}; "
                f"{nearest(given, [*by_stage, *known])}"
            )
        if name not in fresh:
            raise NotFoundError(f"{name} has no candidate that is not live already; {_MAKES}")
        moves[name] = fresh[name]
    return before, moves


def _judgments_path(config: Config, given: Path | None) -> Path:
    if given is not None:
        return given
    if config.settings.gate.judgments is None:
        raise InputError(
            "the gate compares candidates with live models on judged queries that neither was "
            "trained on; give --judgments FILE or set gate.judgments"
        )
    path = config.resolve(config.settings.gate.judgments)
    if not path.is_file():
        raise InputError(f"gate.judgments: there is no file {path}")
    return path


def _load(
    config: Config, registry: Registry, moves: Mapping[str, int]
) -> tuple[list[Check], dict[str, Loaded]]:
    """Return what is told by the bundles alone, and those that can be ranked with."""
    schema = schema_of(config) if config.settings.index is not None else NO_SCHEMA
    checks, loaded = [], {}
    for name, version in moves.items():
        try:
            bundle = registry.load(f"{name}@{version}")
            held = bundle.files.get(REFERENCE)
            reference = read_reference(held) if held is not None else None
        except ChecksumError as error:
            checks.append(Check("checksum", False, str(error)))
            continue
        checks.append(Check("checksum", True, f"{bundle.label}: every byte as it was written"))
        try:
            ranker = bundle.ranker(schema)
        except CascadeError as error:
            checks.append(Check("fingerprint", False, str(error)))
            continue
        detail = f"{bundle.label}: {len(ranker.features.names)} features as in training"
        checks += [
            Check("fingerprint", True, detail),
            parity_check(bundle, ranker, reference),
        ]
        loaded[name] = Loaded(bundle, ranker, reference)
    return checks, loaded


def _verify(registry: Registry, moves: Mapping[str, int]) -> None:
    """Read what is live once more, as a server would."""
    for name, version in moves.items():
        found = registry.load(f"{name}@{LIVE}").manifest.version
        if found != version:
            raise RefusedError(
                f"{name}/{found} is live where {name}/{version} was promoted: somebody else "
                "switched it at the same time; look at `cascade models list`"
            )
