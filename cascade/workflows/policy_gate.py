"""The gate's lines for the policy of the business layer."""

from __future__ import annotations

from collections.abc import Mapping

from cascade.business import build_business
from cascade.business.learned import PolicyBundle
from cascade.config import Config, schema_of
from cascade.errors import CascadeError, ChecksumError
from cascade.registry import Registry
from cascade.workflows.gate import Check
from cascade.workflows.market import objectives_of, without_policy


def policy_to_promote(config: Config) -> str | None:
    """Return the name of the policy whose version the registry decides, None without one."""
    named = (config.settings.business or {}).get("model")
    return named if isinstance(named, str) and "@" not in named else None


def policy_checks(
    config: Config, registry: Registry, reference: str, stages: Mapping[str, int | None]
) -> list[Check]:
    """Return what a policy must show before it becomes live.

    Its operating points were accepted on held-out requests when it was written; what is asked
    here is that they were accepted over the models that will be live beside it.

    Args:
        config: The settings.
        registry: Holds the bundle.
        reference: The bundle, as name@version.
        stages: The version of each stage's bundle that will be live.
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
    ranked_by = set(dict(bundle.manifest.data.get("models", {})).values())
    live = {f"{name}/{version}" for name, version in stages.items()}
    same = ranked_by == live
    over = f"{bundle.label}: accepted over {', '.join(sorted(ranked_by)) or 'no models'}"
    rest = "" if same else f"; live would be {', '.join(sorted(live))}: evolve it over these"
    return [*checks, Check("models", same, over + rest)]
