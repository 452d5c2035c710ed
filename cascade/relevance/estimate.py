"""A measured number with its interval, to be compared as a number."""

from __future__ import annotations


class Estimate(float):
    """Be a measured number that knows how sure it is.

    Comparisons are those of the number itself; `low` and `high` bound what another draw of
    queries might have shown, so `assert ndcg("queries.csv").low >= 0.6` asks for more.

    Attributes:
        what: What was measured, as people write it.
        low: The lower bound of the 95 % interval.
        high: The upper bound.
        queries: Over how many queries.
        unit: Follows the number, " ms" for times.
    """

    what: str
    low: float
    high: float
    queries: int
    unit: str

    def __new__(
        cls, value: float, *, what: str, bounds: tuple[float, float], queries: int, unit: str = ""
    ) -> Estimate:
        """Make an estimate of a value."""
        made = super().__new__(cls, value)
        made.what, (made.low, made.high), made.queries, made.unit = what, bounds, queries, unit
        return made

    def __repr__(self) -> str:
        """Say the number and its interval, which a failing assertion shows."""
        digits = ".1f" if self.unit else ".4f"
        shown = f"{float(self):{digits}}{self.unit} [{self.low:{digits}}, {self.high:{digits}}]"
        return f"{self.what} = {shown} over {self.queries:,} queries"

    __str__ = __repr__
