"""Learned policies: a graph that gives utilities, and the card that says what it may be given."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from cascade.business.guard import SurrogateGain
from cascade.business.inputs import (
    PolicyInputs,
    objective_definition,
    read_inputs,
    relevance_scores,
)
from cascade.business.objectives import BaseObjective
from cascade.business.policy import check_preference
from cascade.candidates import Candidates, Float32
from cascade.errors import ChecksumError, FingerprintError, InputError, RankerError
from cascade.schema import Schema

if TYPE_CHECKING:
    import onnxruntime as ort

CARD = "policy.json"
CARD_FORMAT = 1
SCORES, INPUTS, PREFERENCE, UTILITY = "scores", "inputs", "preference", "utility"
RELEVANCE = "relevance"


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Say within what a policy was accepted; a configuration may only set them stricter.

    A sum over other ranks is another bound, so where there is a `max_loss`, `guard_top` stays.

    Attributes:
        window: How many head rows it reorders.
        max_displacement: How many ranks it may carry a row.
        max_loss: The share of surrogate gain that it may cost a listing, None for no bound.
        guard_top: Over how many ranks the gain is summed.
    """

    window: int
    max_displacement: int
    max_loss: float | None = None
    guard_top: int = 10


@dataclass(frozen=True, kw_only=True)
class PolicyCard:
    """Say what a policy takes and what was found out about it; `policy.json` of its bundle.

    Attributes:
        inputs: The definition of each input, in the order of the graph's.
        fingerprint: A digest over them.
        objectives: The shares of a preference, in the order of the graph's.
        definitions: The kind and the settings of each objective; `relevance` may have none.
        bounds: Within what it was accepted.
        gain: What the guard takes for a grade.
        points: The shares of each operating point, by its name.
        hidden: How many hidden units it has.
        weights: Its weights, as `Shape` orders them.
    """

    inputs: Sequence[Mapping[str, Any]]
    fingerprint: str
    objectives: tuple[str, ...]
    definitions: Mapping[str, Mapping[str, Any]]
    bounds: Bounds
    gain: SurrogateGain = field(default_factory=SurrogateGain)
    points: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    hidden: int = 0
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for shares in self.points.values():
            check_preference(shares, self.objectives)

    def written(self) -> bytes:
        """Return the card as a file has it."""
        content = {
            "format": CARD_FORMAT,
            **vars(self),
            "bounds": vars(self.bounds),
            "gain": self.gain.definition(),
        }
        return json.dumps(content, indent=1).encode()


def read_card(content: bytes, label: str) -> PolicyCard:
    """Return the card that a file holds.

    Raises:
        ChecksumError: If it is none that this release reads.
    """
    try:
        raw = json.loads(content)
        form = raw.pop("format")
        if form != CARD_FORMAT:
            raise ValueError(f"its format is {form!r}, this release reads {CARD_FORMAT}")  # noqa: TRY301
        raw["bounds"] = Bounds(**raw["bounds"])
        gain = raw["gain"]
        raw["gain"] = SurrogateGain(gain["head"], tuple(gain["scores"]), tuple(gain["gains"]))
        raw["objectives"], raw["weights"] = tuple(raw["objectives"]), tuple(raw["weights"])
        return PolicyCard(**raw)
    except (ValueError, KeyError, TypeError, AttributeError, InputError) as error:
        raise ChecksumError(
            f"{CARD} of {label} cannot be read: {error}; restore or train the policy again"
        ) from None


@dataclass(frozen=True)
class PolicyBundle:
    """Hold a policy as the registry has it.

    Attributes:
        label: Its name and version.
        model: The serialised graph.
        card: What it takes.
    """

    label: str
    model: bytes
    card: PolicyCard

    @classmethod
    def of(cls, label: str, model: bytes, files: Mapping[str, bytes]) -> PolicyBundle:
        """Return the policy of a bundle.

        Raises:
            FingerprintError: If the bundle is that of a ranker.
            ChecksumError: If its card cannot be read.
        """
        if CARD not in files:
            raise FingerprintError(
                f"{label} is no policy: its bundle has no {CARD}. [business] model names a bundle "
                "that `cascade business evolve` wrote"
            )
        return cls(label, model, read_card(files[CARD], label))

    def policy(self, objectives: Sequence[BaseObjective], schema: Schema) -> LearnedPolicy:
        """Return the policy over the objectives of a configuration.

        Raises:
            FingerprintError: If an input or objective cannot be made as it was in training,
                naming each that differs.
            RankerError: If the graph is not of the form of a policy's.
        """
        card, problems = self.card, list[str]()
        names = [str(definition.get("input")) for definition in card.inputs]
        inputs = read_inputs(names, objectives, schema, "inputs", problems)
        declared = {objective.name: objective for objective in objectives}
        for name in card.objectives:
            if name in declared:
                definition = objective_definition(declared[name])
                if name in card.definitions:
                    problems += _differing(name, card.definitions[name], definition)
            elif name != RELEVANCE:
                problems.append(f"objective {name!r} is not declared")
        made = inputs.definitions() if inputs is not None else []
        for before, now in zip(card.inputs, made, strict=False):
            problems += _differing(str(now["input"]), before, now)
        if not problems and inputs is not None and inputs.fingerprint != card.fingerprint:
            problems.append("the fingerprint of the inputs")
        if problems or inputs is None:
            told = "; ".join(dict.fromkeys(problems))
            raise FingerprintError(
                f"{self.label} was trained on other inputs or objectives than this configuration "
                f"declares: {told}. Declare them as they were, or train the policy again"
            )
        return LearnedPolicy(self.label, inputs, card.objectives, policy_graph(self.model, inputs))


def policy_graph(model: bytes, inputs: PolicyInputs) -> Graph:
    """Return what runs a policy's graph.

    Raises:
        RankerError: If the bytes are no graph of this form.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise RankerError(f"ONNX Runtime cannot load the policy: {error}"[:300]) from None
    taken = {i.name: i.shape for i in session.get_inputs()}
    given = [o.name for o in session.get_outputs()]
    width = taken.get(INPUTS, [None, None])[-1]
    if set(taken) != {SCORES, INPUTS, PREFERENCE} or given != [UTILITY]:
        raise RankerError(
            f"the graph has inputs {sorted(taken)} and outputs {given}; accepted are the inputs "
            f"{SCORES!r}, {INPUTS!r}, {PREFERENCE!r} and the output {UTILITY!r}"
        )
    if width != len(inputs.names):
        raise RankerError(f"the graph takes {width} inputs; the policy has {len(inputs.names)}")
    return Graph(session)


class Graph:
    """Run a policy's graph: `scores` [n], `inputs` [n, f], `preference` [1 or n, p] to [n]."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session

    def run(self, scores: Float32, inputs: Float32, preference: Float32) -> Float32:
        """Return the utility of each row, float32[n].

        Args:
            scores: float32[n].
            inputs: float32[n, f].
            preference: float32[m, p], one for all rows or one a row.

        Raises:
            RankerError: If the runtime fails.
        """
        fed = {
            SCORES: np.ascontiguousarray(scores),
            INPUTS: np.ascontiguousarray(inputs),
            PREFERENCE: np.ascontiguousarray(preference),
        }
        run: Callable[..., Any] = self._session.run
        try:
            found: Float32 = run([UTILITY], fed)[0]
        except Exception as error:
            raise RankerError(f"ONNX Runtime failed: {error}"[:300]) from None
        return found


@dataclass(frozen=True)
class LearnedPolicy:
    """Give the utilities of a graph whose weights were found by evolution; fulfils `Policy`.

    Attributes:
        label: The bundle, as name/version.
        inputs: What the graph reads of each row.
        names: The shares of a preference.
        graph: Runs it.
    """

    label: str
    inputs: PolicyInputs
    names: tuple[str, ...]
    graph: Graph = field(repr=False, compare=False)

    def utilities(self, candidates: Candidates, preference: Mapping[str, float]) -> Float32:
        """Return float32[n]; see `preference_shares` for what a preference comes to."""
        shares = preference_shares(preference, self.names)[None, :]
        scores = relevance_scores(candidates)
        return self.graph.run(scores, self.inputs.matrix(candidates), shares)

    def base(self, candidates: Candidates) -> Float32:
        """Return the scores that utilities begin with, float32[n]."""
        return relevance_scores(candidates)

    def values(self, candidates: Candidates) -> Mapping[str, Float32]:
        """Return relevance and every input, float32[n] by name."""
        return {RELEVANCE: relevance_scores(candidates), **self.inputs.values(candidates)}


def preference_shares(preference: Mapping[str, float], names: Sequence[str]) -> Float32:
    """Return shares that sum to 1, float32[p], as a policy met them in training.

    Where `relevance` is one of the names and the shares sum to less than 1, the rest is its; then
    all are divided by their sum. No share at all is an equal one for each.
    """
    shares = np.array([preference.get(name, 0.0) for name in names], dtype=np.float64)
    if RELEVANCE in names:
        shares[list(names).index(RELEVANCE)] += max(0.0, 1.0 - float(shares.sum()))
    total = float(shares.sum())
    even = np.full(len(shares), 1.0 / max(len(shares), 1))
    return (shares / total if total > 0 else even).astype(np.float32)


def _differing(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [
        f"{name!r} had {key} = {before.get(key)!r}, here it is {now.get(key)!r}"
        for key in {**before, **now}
        if before.get(key) != now.get(key)
    ]
