"""The gate's lines for the policy of the business layer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from cascade.business import build_business
from cascade.business.learned import PolicyBundle
from cascade.config import Config, schema_of
from cascade.errors import CascadeError, ChecksumError, ConfigError
from cascade.registry import CANDIDATE, LIVE, Bundle, Registry
from cascade.training.policy_onnx import KIND
from cascade.workflows.gate import Check


def policy_to_promote(config: Config) -> str | None:
    """Return the name of the policy whose version the registry decides, None without one."""
    named = (config.settings.business or {}).get("model")
    return named if isinstance(named, str) and "@" not in named else None


def unnamed_policy(config: Config, registry: Registry, name: str) -> str | None:
    """Return why a policy of the registry is not the cascade's, None if there is no such policy."""
    name = name.partition("@")[0]
    aliases = registry.aliases(name)
    alias = next((a for a in (CANDIDATE, LIVE) if a in aliases), None)
    if alias is None or registry.load(f"{name}@{alias}").manifest.kind != KIND:
        return None
    named = (config.settings.business or {}).get("model")
    given = "is not set" if named is None else f"is {named!r}"
    return (
        f'{name!r} is a policy, and business.model {given}: set [business] model = "{name}", by '
        "which the registry says what version serves"
    )


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
    try:
        found = openable(config, bundle)
    except ConfigError as error:
        return [*checks, Check("settings", False, str(error))]
    except CascadeError as error:
        return [*checks, Check("fingerprint", False, str(error))]
    told = f"{bundle.label}: {len(found.card.inputs)} inputs as in training"
    checks.append(Check("fingerprint", True, told))
    points = ", ".join(found.card.points)
    accepted = f"{bundle.label}: accepted as served are {points or 'no operating points'}"
    checks.append(Check("acceptance", bool(points), accepted))
    return [*checks, models_check(bundle, live)]


def openable(config: Config, bundle: Bundle) -> PolicyBundle:
    """Return a policy that a service of this configuration can open.

    Raises:
        ConfigError: If the table asks for a point that it does not have, or for looser bounds.
        RefusedError: If it is damaged, or was made for other inputs or objectives.
    """
    found = PolicyBundle.of(bundle.label, bundle.model, bundle.files)
    raw = config.settings.business or {}
    build_business(raw, schema_of(config), source=str(config.path), learned=found)
    return found


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
