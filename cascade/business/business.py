"""The business layer: a bounded reorder of the window by a policy, then the rules on the list."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from cascade.business.bounds import bounded_order
from cascade.business.guard import Guard, Guarded
from cascade.business.policy import LinearBlend, Policy, check_point, check_preference
from cascade.business.ruleset import Arrangement, Refusal, RuleSet, bare, moves
from cascade.candidates import Candidates, Float32, Int64, Query
from cascade.errors import ConfigError, QueryError
from cascade.filters import AllOf
from cascade.protocols import Move

_LOG = logging.getLogger(__name__)

WINDOW = 100
MAX_DISPLACEMENT = 20


@dataclass(frozen=True)
class BusinessTrace:
    """Tell what the business layer did to one listing.

    Attributes:
        incoming: The listing as it came in.
        preference: The shares that were asked for, defaults included; zeros are left out.
        order: int64[n], the incoming position of the row at each rank in the end.
        blended: int64[n], the same before the rules.
        utilities: float32[w] of the window in incoming order as the guard let them through, None
            if the policy did not run.
        arrangement: What the rules did to the blended list.
        reason: Why the policy's order was not used though a preference asked for one, else "".
        skipped: Whether it was left out for time; with a reason and not skipped, it was reverted.
        loss: The share of surrogate gain that the policy's order costs, None without a guard.
        allowed: The share that it may cost, None without a guard.
        strength: How much of the policy the guard let through: 1 all of it, 0 none.
        headless: The head that the guard should go by and that no row has, else "".
    """

    incoming: Candidates
    preference: Mapping[str, float]
    order: Int64
    blended: Int64
    utilities: Float32 | None
    arrangement: Arrangement
    reason: str = ""
    skipped: bool = False
    loss: float | None = None
    allowed: float | None = None
    strength: float = 1.0
    headless: str = ""

    @property
    def note(self) -> str:
        """What the guard held back, and what it had to do without; "" if nothing."""
        told = []
        if self.loss is not None and self.strength != 1.0:
            told.append(
                f"guard: strength {self.strength:.3f}, surrogate loss {self.loss:.4f} of "
                f"{self.allowed:.4f} allowed"
            )
        if self.headless:
            told.append(f"guard: no row has the head {self.headless!r}, so scores stand for gains")
        return "; ".join(told)

    @property
    def reverted(self) -> bool:
        """Whether the policy ran and failed."""
        return bool(self.reason) and not self.skipped

    @property
    def rows(self) -> int:
        """How many rows the policy scored."""
        return 0 if self.utilities is None else len(self.utilities)

    @property
    def absent(self) -> tuple[str, ...]:
        """The pinned documents that are not in the list."""
        return self.arrangement.absent

    @cached_property
    def moves(self) -> tuple[Move, ...]:
        """What each rule moved, in the order of application; made when it is asked for."""
        if not self.arrangement.shifts:
            return ()
        return moves(self.arrangement.shifts, bare(self.incoming).take(self.blended))


@dataclass(frozen=True, slots=True)
class BusinessExplanation:
    """Tell what the business layer did to one document.

    Attributes:
        objectives: What its utility is made of, by name; empty below the window.
        preference: The shares that were asked for.
        utility: The blended sum, None if the policy did not score it.
        before: Its rank as it came in (from 1).
        blended: Its rank after the policy.
        after: Its rank after the rules.
        moves: What each rule did to it.
    """

    objectives: Mapping[str, float]
    preference: Mapping[str, float]
    utility: float | None
    before: int
    blended: int
    after: int
    moves: tuple[Move, ...]


@dataclass(frozen=True)
class Business:
    """Adjust a ranked list for the market, within a bound, and make rules hold.

    Attributes:
        policy: What gives each row of the window its utility.
        window: How many head rows the policy may reorder.
        max_displacement: How many ranks it may carry a row, up or down.
        rules: What holds for certain, on the whole list.
        default_preference: The shares of a request that does not name them.
        guard: Bounds what the policy may cost each listing; None does not.
        points: The shares of each operating point that a request may name as its preference.
        model: The bundle of the policy, as name/version; "" for one that was not learned.

    Raises:
        ConfigError: With every setting that cannot be used.
    """

    policy: Policy = field(default_factory=LinearBlend)
    window: int = WINDOW
    max_displacement: int = MAX_DISPLACEMENT
    rules: RuleSet = field(default_factory=RuleSet)
    default_preference: Mapping[str, float] = field(default_factory=dict)
    guard: Guard | None = None
    points: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    model: str = ""

    def __post_init__(self) -> None:
        problems = []
        if self.window < 1:
            problems.append(f"window: is {self.window}; accepted is 1 or more")
        if self.max_displacement < 0:
            problems.append(f"max_displacement: is {self.max_displacement}; accepted is 0 or more")
        try:
            check_preference(self.default_preference, self.policy.names)
        except QueryError as error:
            problems.append(str(error))
        if problems:
            raise ConfigError("business", problems)

    def preference(self, query: Query) -> dict[str, float]:
        """Return the shares of a request over the default ones, zeros left out.

        The name of an operating point means its shares and no others.

        Raises:
            QueryError: If the request names an unknown objective or point, or an unusable share.
        """
        if isinstance(query.preference, str):
            merged = check_point(query.preference, self.points)
        else:
            asked = check_preference(query.preference, self.policy.names)
            merged = {**self.default_preference, **asked}
        return {name: float(share) for name, share in merged.items() if share}

    def retrieval_filter(self, query: Query) -> AllOf:
        """Return what the rules ask of every document, to be joined to the request's filters."""
        return self.rules.retrieval_filter(query)

    def refused(self, candidates: Candidates) -> Refusal:
        """Return which rows of one listing the rules refuse though the engine gave them."""
        return self.rules.refused(candidates)

    def wanted(self, query: Query) -> tuple[str, ...]:
        """Return the ids of the documents that pins put on this request's list."""
        return self.rules.wanted(query)

    def absent(self, candidates: Candidates) -> tuple[str, ...]:
        """Return the wanted ids that one listing does not have."""
        return self.rules.absent(candidates)

    def rerank(
        self, candidates: Candidates, *, blend: bool = True
    ) -> tuple[Candidates, BusinessTrace]:
        """Return one listing in its last order; without a preference or a rule, itself.

        Rows keep the scores and columns they came with. A policy that fails or yields a utility
        that is not finite changes nothing, and the trace says why; the rules hold all the same.

        Args:
            candidates: One listing in the order of relevance.
            blend: False leaves the policy out, for a request whose time is up.

        Raises:
            QueryError: If the request's preference cannot be used.
            ValueError: If there is not exactly one listing.
        """
        if len(candidates.queries) != 1:
            raise ValueError(f"{len(candidates.queries)} listings; the business layer takes one")
        preference = self.preference(candidates.queries[0])
        blended, guarded, reason = np.arange(len(candidates)), None, ""
        skipped = bool(preference) and len(candidates) > 0 and not blend
        if skipped:
            reason = "left out: the time of the request was up"
        elif preference and len(candidates):
            blended, guarded, reason = self._blended(candidates, preference)
        utilities = None if guarded is None else guarded.utilities
        listing = bare(candidates)
        arrangement = self.rules.apply(listing if utilities is None else listing.take(blended))
        order = blended[arrangement.order]
        trace = BusinessTrace(
            candidates,
            preference,
            order,
            blended,
            utilities,
            arrangement,
            reason,
            skipped,
            loss=guarded.loss if guarded is not None and self.guard is not None else None,
            allowed=None if self.guard is None else self.guard.max_loss,
            strength=1.0 if guarded is None else guarded.strength,
            headless="" if guarded is None else self._headless(candidates),
        )
        if np.array_equal(order, np.arange(len(order))):
            return candidates, trace
        return candidates.take(order), trace

    def explain(self, trace: BusinessTrace, doc_id: str) -> BusinessExplanation | None:
        """Return what was done to one document, None if it is not in the list."""
        listing = trace.incoming
        ids = listing.ids()
        if doc_id not in ids:
            return None
        position = ids.index(doc_id)
        objectives: dict[str, float] = {}
        if position < self.window:
            values = self.policy.values(self._window(listing))
            objectives = {name: float(column[position]) for name, column in values.items()}
        scored = trace.utilities is not None and position < len(trace.utilities)
        return BusinessExplanation(
            objectives=objectives,
            preference=trace.preference,
            utility=float(trace.utilities[position]) if scored else None,  # type: ignore[index]
            before=position + 1,
            blended=int(np.flatnonzero(trace.blended == position)[0]) + 1,
            after=int(np.flatnonzero(trace.order == position)[0]) + 1,
            moves=tuple(move for move in trace.moves if move.doc_id == doc_id),
        )

    def _window(self, listing: Candidates) -> Candidates:
        rows = min(self.window, len(listing))
        return listing if rows == len(listing) else listing.take(np.arange(rows))

    def _blended(
        self, listing: Candidates, preference: Mapping[str, float]
    ) -> tuple[Int64, Guarded | None, str]:
        order = np.arange(len(listing))
        window = self._window(listing)
        try:
            guarded = self._guarded(window, preference)
        except Exception as error:
            # A shopper never gets an error because a policy had one, whatever it raised.
            _LOG.warning("the business policy is left out", exc_info=True)
            return order, None, f"reverted: {type(error).__name__}: {error}"[:300]
        order[: len(window)] = guarded.order
        return order, guarded, ""

    def _headless(self, listing: Candidates) -> str:
        return "" if self.guard is None else self.guard.gain.missing(self._window(listing))

    def _guarded(self, window: Candidates, preference: Mapping[str, float]) -> Guarded:
        utilities = _checked(self.policy.utilities(window, preference), len(window))
        if self.guard is None:
            order = bounded_order(utilities, self.max_displacement)
            return Guarded(order, utilities, strength=1.0, loss=0.0)
        relevance = self.policy.base(window)
        return self.guard.enforced(window, relevance, utilities, self.max_displacement)


def _checked(utilities: Float32, rows: int) -> Float32:
    if utilities.shape != (rows,):
        raise ValueError(f"{utilities.shape} utilities for {rows} rows")
    bad = np.count_nonzero(~np.isfinite(utilities))
    if bad:
        raise ValueError(f"{bad} of {rows} utilities are NaN or infinite")
    return utilities
