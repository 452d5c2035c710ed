"""A/B assignment by a stable hash, and the check that the arms got the shares they should have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import xxhash

from cascade.errors import InputError

# A mismatch that chance would bring once in a thousand experiments; Fabijan et al., "Diagnosing
# Sample Ratio Mismatch in Online Controlled Experiments", KDD 2019, use such a low level too.
RATIO_LEVEL = 1e-3


@dataclass(frozen=True)
class Experiment:
    """Divide units (visitors, sessions or requests) among arms.

    Attributes:
        name: Enters the hash, so that two experiments divide independently.
        shares: The share of each arm, above 0, together at most 1; units of the rest are in none.
        salt: Another salt, another division.
    """

    name: str
    shares: Mapping[str, float]
    salt: str = ""

    def __post_init__(self) -> None:
        wrong = [f"{a} {s:g}" for a, s in self.shares.items() if not 0 < s <= 1]
        total = math.fsum(self.shares.values())
        if wrong or not self.shares or total > 1 + 1e-9:
            given = ", ".join(f"{a} {s:g}" for a, s in self.shares.items()) or "no arm"
            raise InputError(
                f"experiment {self.name!r} has {given}; accepted are shares above 0 that add up "
                "to at most 1"
            )

    def arm_of(self, unit: str) -> str | None:
        """Return the arm of a unit, None for those outside; the same in every process."""
        key = f"{self.name}\x1f{self.salt}\x1f{unit}".encode("utf-8", "replace")
        at, upto = xxhash.xxh3_64_intdigest(key) / 2**64, 0.0
        for arm, share in self.shares.items():
            upto += share
            if at < upto:
                return arm
        # Rounding may leave the last unit of shares that add up to 1 outside all of them.
        return list(self.shares)[-1] if upto > 1 - 1e-9 else None


@dataclass(frozen=True, slots=True)
class RatioCheck:
    """Tell whether arms got their shares.

    Attributes:
        counts: The units of each arm.
        expected: How many there should have been.
        p_value: The chance of such a mismatch or a larger one if the division is sound.
        mismatch: Whether it is below `RATIO_LEVEL`: results of the experiment mean nothing then.
    """

    counts: Mapping[str, int]
    expected: Mapping[str, float]
    p_value: float
    mismatch: bool


def sample_ratio(counts: Mapping[str, int], shares: Mapping[str, float]) -> RatioCheck:
    """Compare the units of each arm with its share by Pearson's chi-squared test.

    Args:
        counts: The units that were seen in each arm; an arm that is missing has none.
        shares: The share of each arm.

    Raises:
        InputError: If a counted arm has no share, a count is below 0, or a share is not above 0.
    """
    unfit = [f"{arm} {share:g}" for arm, share in shares.items() if not 0 < share < math.inf]
    if unfit:
        raise InputError(f"the share of an arm is above 0; given is {', '.join(unfit)}")
    strange = sorted(set(counts) - set(shares)) or [a for a, n in counts.items() if n < 0]
    if strange:
        raise InputError(
            f"arm {strange[0]!r} was counted {counts[strange[0]]} times; accepted are counts of 0 "
            f"or more of {', '.join(shares) or 'arms that have a share, and none has'}"
        )
    total, weight = sum(counts.values()), math.fsum(shares.values())
    expected = {arm: total * share / weight for arm, share in shares.items()}
    if total == 0 or len(shares) < 2:
        return RatioCheck(dict(counts), expected, 1.0, mismatch=False)
    statistic = math.fsum((counts.get(a, 0) - e) ** 2 / e for a, e in expected.items())
    p_value = _chi_squared_tail(statistic, len(shares) - 1)
    return RatioCheck(dict(counts), expected, p_value, p_value < RATIO_LEVEL)


def _chi_squared_tail(statistic: float, freedom: int) -> float:
    """Return P(X > statistic): Abramowitz and Stegun 1964, 26.4.4 and 26.4.5."""
    half = statistic / 2.0
    if freedom % 2 == 0:
        start, tail = 0.0, 0.0
    else:
        start, tail = 0.5, math.erfc(math.sqrt(half))
    term = math.exp(-half) * half**start / math.gamma(start + 1.0)
    for step in range(freedom // 2):
        tail += term
        term *= half / (start + step + 1.0)
    return min(1.0, tail)
