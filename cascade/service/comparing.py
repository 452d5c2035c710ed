"""What a service compares beside answering: candidates in shadow, and drift since training."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, suppress

from cascade.config import Config
from cascade.config.wire import model_references, policy_reference
from cascade.errors import CascadeError
from cascade.pipeline.cascade import BUSINESS
from cascade.service.drift import Drift
from cascade.service.metrics import Metrics
from cascade.service.observing import Observer
from cascade.service.shadow import Shadow


def start_comparing(
    configs: Mapping[str, Config], metrics: Metrics, until: ExitStack
) -> tuple[Observer, ...]:
    """Start what `[shadow]` and `[drift]` of the first cascade ask for.

    Args:
        configs: By name.
        metrics: Receives what is found.
        until: Ends it when it is closed.
    """
    settings = next(iter(configs.values())).settings
    comparing: list[Shadow | Drift] = []
    if settings.shadow.rate:
        comparing.append(Shadow(configs, settings.shadow, metrics))
    if settings.drift.rate:
        comparing.append(Drift(configs, settings.drift, metrics))
    for each in comparing:
        each.start()
        until.callback(each.stop)
    return tuple(comparing)


def live_models(configs: Mapping[str, Config]) -> dict[str, dict[str, str]]:
    """Return the live bundle of each stage and of the policy as name/version, by cascade.

    A cascade whose registry cannot be read is left out: what answers goes on answering.
    """
    found = {}
    for name, config in configs.items():
        with suppress(CascadeError, OSError):
            references = model_references(config)
            stages = zip(config.settings.stages, references, strict=True)
            live = {stage.name: held.replace("@", "/") for stage, held in stages}
            policy = policy_reference(config)
            found[name] = live | ({} if policy is None else {BUSINESS: policy.replace("@", "/")})
    return found
