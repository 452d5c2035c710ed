"""The gate's lines: each says whether a candidate may become live, and from what."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from cascade.candidates import Float64
from cascade.config.gate_settings import GateSettings
from cascade.drift import BINS, Reference
from cascade.errors import RankerError
from cascade.evaluation import Bootstrap, Randomisation
from cascade.rankers import OnnxRanker
from cascade.registry import Bundle
from cascade.training.parity import MINIMUM_ROWS, TOLERANCE
from cascade.workflows.skew import SkewReport

LEAST_IN_BUCKET = 5
_SURE = 4.0  # standard deviations that chance exceeds once in 30,000


@dataclass(frozen=True)
class Check:
    """Hold one line of the gate.

    Attributes:
        line: Its name: checksum, fingerprint, parity, quality, head, latency, skew and so on.
        passed: Whether the candidate may pass; None if the line could not be drawn.
        detail: What was found, and what is accepted.
        values: The numbers in it.
    """

    line: str
    passed: bool | None
    detail: str
    values: Mapping[str, float] = field(default_factory=dict)


def parity_check(bundle: Bundle, ranker: OnnxRanker, reference: Reference | None) -> Check:
    """Say whether the model passed the parity gate, and still scores as it did in training."""
    rows = int(bundle.manifest.parity.get("rows", 0))
    if rows < MINIMUM_ROWS:
        detail = f"{bundle.label} was compared on {rows:,} rows; accepted are {MINIMUM_ROWS:,}"
        return Check("parity", False, f"{detail} or more. Train it again")
    if reference is None:
        return Check("parity", True, f"{bundle.label}: {rows:,} rows when it was trained")
    try:
        here = ranker.score_matrix(reference.probe).order
    except RankerError as error:
        return Check("parity", False, f"{bundle.label} cannot score its probe: {error}")
    then = reference.probe_scores.astype(np.float64)
    scale = np.maximum(1.0, np.abs(then))
    apart = float((np.abs(here - then) / scale).max())
    values = {"rows": float(rows), "probe_rows": float(len(then)), "difference": apart}
    if not apart <= TOLERANCE:
        detail = (
            f"{bundle.label} scores its probe differently here than in training, by {apart:.2g}; "
            f"accepted is {TOLERANCE:g}. Train it again on this installation"
        )
        return Check("parity", False, detail, values)
    detail = f"{bundle.label}: {rows:,} rows in training, {len(then)} again here"
    return Check("parity", True, detail, values)


def quality_check(
    measure: str, candidate: Float64, live: Float64, gate: GateSettings, bootstrap: Bootstrap
) -> Check:
    """Say whether the candidate's order is worth as much as the live one, query by query.

    The mean gain must reach `min_gain`, and its interval must not reach further below 0 than
    `margin`: with few queries a loss cannot be ruled out, and then it is refused.
    """
    gain = bootstrap.difference(candidate, live)
    given = ~np.isnan(candidate - live)
    p = float(Randomisation(seed=bootstrap.seed).p_values((candidate - live)[:, None])[0])
    values = {"mean": gain.mean, "low": gain.low, "high": gain.high, "p": p}
    values["queries"] = float(given.sum())
    found = (
        f"{measure} {gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}] over {int(given.sum()):,} "
        f"queries, p = {p:.3g}"
    )
    if not given.any():
        return Check("quality", False, f"{measure} is defined for none of the queries", values)
    if gain.mean < gate.min_gain:
        detail = f"{found}; accepted is a mean of {gate.min_gain:+g} or more (gate.min_gain)"
        return Check("quality", False, detail, values)
    if gain.low < -gate.margin:
        detail = (
            f"{found}; a loss beyond {gate.margin:g} (gate.margin) cannot be ruled out: judge "
            "more queries"
        )
        return Check("quality", False, detail, values)
    return Check("quality", True, found, values)


def bucket_checks(
    buckets: Mapping[str, Sequence[int]],
    candidate: Float64,
    live: Float64,
    gate: GateSettings,
    bootstrap: Bootstrap,
) -> list[Check]:
    """Say for each part of the queries whether it loses, beyond doubt, more than it may.

    Args:
        buckets: The positions of the queries of each part.
        candidate: float64[q], the measure of each query.
        live: float64[q].
        gate: The bounds.
        bootstrap: How intervals are made.
    """
    checks = []
    for name, members in buckets.items():
        at = np.array(members, dtype=np.int64)
        given = at[~np.isnan(candidate[at] - live[at])]
        if len(given) < LEAST_IN_BUCKET:
            continue
        gain = bootstrap.difference(candidate[given], live[given])
        lost = gain.mean < -gate.bucket_loss and gain.high < 0
        found = f"{gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}] over {len(given):,} queries"
        told = f"; accepted is a loss of {gate.bucket_loss:g} (gate.bucket_loss)" if lost else ""
        values = {"mean": gain.mean, "low": gain.low, "high": gain.high}
        checks.append(Check(name, not lost, found + told, {**values, "queries": len(given)}))
    return checks


def latency_check(candidate: Float64, live: Float64 | None, gate: GateSettings) -> Check:
    """Say whether ranking is fast enough: milliseconds of the same requests by both, float64[q]."""
    p95, p99 = (float(np.quantile(candidate, share)) for share in (0.95, 0.99))
    values = {"p95_ms": p95, "p99_ms": p99}
    bounds = [("p95", p95, gate.p95_ms, "gate.p95_ms"), ("p99", p99, gate.p99_ms, "gate.p99_ms")]
    if live is not None:
        values["live_p95_ms"] = before = float(np.quantile(live, 0.95))
        relative = max(gate.slower * before, before + gate.slack_ms)
        why = f"live {before:.2f} ms, gate.slower and gate.slack_ms"
        bounds.append(("p95", p95, relative, why))
    wrong = [
        f"{name} {found:.2f} ms; accepted are {most:.2f} ms ({why})"
        for name, found, most, why in bounds
        if most is not None and found > most
    ]
    beside = "" if live is None else f", live {values['live_p95_ms']:.2f} ms"
    detail = "; ".join(wrong) or f"p95 {p95:.2f} ms{beside}, p99 {p99:.2f} ms"
    return Check("latency", not wrong, detail, values)


def logged_check(report: SkewReport, features: Collection[str], gate: GateSettings) -> Check:
    """Say whether the service computes what the log says that rankers saw.

    Args:
        report: Logged features against the same computed again.
        features: Those that the candidates read; others concern them not.
        gate: The bound.
    """
    values = {"requests": float(report.requests)}
    if not report.requests:
        why = next(iter(report.uncompared), "the log has none")
        return Check("log", None, f"no logged request can be compared: {why}", values)
    wrong = [f for f in report.beyond(gate.skew_share) if f.feature in features]
    if not wrong:
        return Check("log", True, f"{report.requests:,} logged requests give the same", values)
    shown = ", ".join(f"{f.feature} in {f.share:.1%}" for f in wrong[:3])
    detail = (
        f"features differ from those that were logged: {shown} of the rows; accepted is "
        f"{gate.skew_share:.1%} (gate.skew_share). `cascade skew` shows them"
    )
    return Check("log", False, detail, values)


def skew_check(
    found: Mapping[str, float], listings: int, reference: Reference, label: str, gate: GateSettings
) -> Check:
    """Say whether what the model is given here is what training saw.

    The bound grows with the chance that as few listings move the index: for a feature that is one
    number a query it is, without drift, (1 / n + 1 / m) times a chi-squared of a degree less than
    there are bins (Yurdakul 2018); what it exceeds once in 30,000 features is added.

    Args:
        found: The stability index of each feature and of the score.
        listings: Over how many listings.
        reference: Of training.
        label: Names the model.
        gate: The bound.
    """
    if not found:
        return Check("skew", None, f"{label} was given no rows here: nothing to compare")
    degrees = BINS - 1
    # The quantile of chi-squared by Wilson and Hilferty (1931).
    spread = 2 / (9 * degrees)
    quantile = degrees * (1 - spread + _SURE * spread**0.5) ** 3
    bound = gate.psi + quantile * (1 / max(1, listings) + 1 / max(1, reference.listings))
    moved = sorted((name for name in found if found[name] > bound), key=lambda n: -found[n])
    most = max(found, key=lambda n: found[n])
    values = {"bound": bound, "most": found[most]}
    if not moved:
        shown = f"{label}: most in {most}, {found[most]:.2f}; accepted is {bound:.2f}"
        return Check("skew", True, shown, values)
    shown = ", ".join(f"{name} {found[name]:.2f}" for name in moved[:3])
    detail = (
        f"{label} is given other values than in training: {shown}"
        f"{f' and {len(moved) - 3} more' if len(moved) > 3 else ''}; accepted is a stability "
        f"index of {bound:.2f} over {listings:,} listings (gate.psi)"
    )
    return Check("skew", False, detail, values)
