"""The gate's lines for the policy of the business layer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from cascade.business import build_business
from cascade.business.learned import PolicyBundle
from cascade.config import Config, schema_of
from cascade.errors import CascadeError, ChecksumError
from cascade.registry import LIVE, Bundle, Registry
from cascade.workflows.gate import Check
from cascade.workflows.market import objectives_of, without_policy


def policy_to_promote(config: Config) -> str | None:
    """Return the name of the policy whose version the registry decides, None without one."""
    named = (config.settings.business or {}).get("model")
    return named if isinstance(named, str) and "@" not in named else None


def policy_checks(
    config: Config, registry: Registry, reference: str, live: Collection[str]
) -> list[Check]:
    """Return what a policy must show before it becomes live.

    Its operating points were accepted on held-out requests when it was written; what is asked
    here is that they were accepted over the models that will be live beside it.

    Args:
        config: The settings.
        registry: Holds the bundle.
        reference: The bundle, as name@version.
        live: The bundle of each stage that will be live, as name/version.
    """
    try:
        bundle = registry.load(reference)
    except ChecksumError as error:
        return [Check("checksum", False, str(error))]
    checks = [Check("checksum", True, f"{bundle.label}: every byte as it was written")]
    _, raw = without_policy(config)
    schema = schema_of(config)
    try:
        found = PolicyBundle.of(bundle.label, bundle.model, bundle.files)
        business = build_business(raw, schema, source=str(config.path))
        found.policy(objectives_of(business), schema)
    except CascadeError as error:
        return [*checks, Check("fingerprint", False, str(error))]
    told = f"{bundle.label}: {len(found.card.inputs)} inputs as in training"
    checks.append(Check("fingerprint", True, told))
    points = ", ".join(found.card.points)
    accepted = f"{bundle.label}: accepted as served are {points or 'no operating points'}"
    checks.append(Check("acceptance", bool(points), accepted))
    return [*checks, models_check(bundle, live)]


def models_check(bundle: Bundle, live: Collection[str]) -> Check:
    """Return whether a policy was accepted over the models that will be live beside it."""
    ranked_by = set(dict(bundle.manifest.data.get("models", {})).values()) - {bundle.label}
    same = ranked_by == set(live)
    over = f"{bundle.label}: accepted over {', '.join(sorted(ranked_by)) or 'no models'}"
    rest = "" if same else f"; live would be {', '.join(sorted(live))}: evolve it over these"
    return Check("models", same, over + rest)


def left_behind(config: Config, registry: Registry, live: Collection[str]) -> list[Check]:
    """Return a line for a live policy that was accepted over other models than will be live.

    It refuses nothing: its guard goes on to hold, but its acceptance does not say so.
    """
    name = policy_to_promote(config)
    if name is None or LIVE not in registry.aliases(name):
        return []
    check = models_check(registry.load(f"{name}@{LIVE}"), live)
    return [] if check.passed else [replace(check, passed=None)]
