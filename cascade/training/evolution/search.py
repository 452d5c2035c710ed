"""The search: ask for children, measure them, tell, and keep what validation likes best."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Protocol, TypeAlias, cast, runtime_checkable

import numpy as np

from cascade.candidates import Float64
from cascade.errors import InputError
from cascade.training.evolution.checkpoint import Checkpoint, State, Value, nested, part
from cascade.training.evolution.optimisers import Optimiser


class Problem(Protocol):
    """Say how good weights are; higher is better."""

    def evaluate(self, weights: Float64, generation: int) -> Float64:
        """Return the fitness of each child, float64[c], of weights float64[c, d].

        What is drawn depends on the generation alone, so that all children meet the same.
        """
        ...

    def validate(self, weights: Float64) -> Float64:
        """Return how good weights float64[c, d] are on held-out requests, float64[c]."""
        ...


@runtime_checkable
class Adapting(Protocol):
    """A problem that changes from generation to generation, as the price of a bound does."""

    def advance(self, centre: Float64, generation: int) -> None:
        """Learn from the weights float64[d] that a generation ended with."""
        ...

    def state(self) -> Mapping[str, Value]:
        """Return what was learned."""
        ...

    def restore(self, state: Mapping[str, Value]) -> None:
        """Take up what `state` returned."""
        ...


@runtime_checkable
class Offering(Protocol):
    """A problem that has more than the centre to choose from when validation is looked at."""

    def offers(self, centre: Float64) -> Float64:
        """Return the weights that validation chooses from, float64[k, d]."""
        ...


@dataclass(frozen=True)
class SearchSettings:
    """Say how long a search goes on.

    Attributes:
        generations: How many.
        validate_every: How many generations lie between two looks at held-out requests.
        patience: How many looks without a better one end the search; 0 never does.
        save_every: How many generations lie between two checkpoints.
    """

    generations: int = 100
    validate_every: int = 5
    patience: int = 0
    save_every: int = 1

    def __post_init__(self) -> None:
        low = {"generations": 1, "validate_every": 1, "patience": 0, "save_every": 1}
        for field in fields(self):
            if getattr(self, field.name) < low[field.name]:
                raise InputError(
                    f"{field.name}: is {getattr(self, field.name)}; "
                    f"accepted is {low[field.name]} or more"
                )


@dataclass(frozen=True, slots=True)
class SearchStep:
    """Tell what one generation came to.

    Attributes:
        generation: From 1; 0 is the start.
        best: The fitness of its best child, NaN at the start.
        mean: The mean fitness of its children, NaN at the start.
        validation: On held-out requests, NaN where they were not looked at.
        kept: The best validation so far.
        children: How many children were measured so far.
    """

    generation: int
    best: float
    mean: float
    validation: float
    kept: float
    children: int


@dataclass(frozen=True)
class Found:
    """Hold what a search found.

    Attributes:
        weights: float64[d], those with the best validation; the start's if none was better.
        validation: Of those.
        generation: After which they stood.
        start: The validation of the start.
        seed: Of the search.
        steps: Every generation.
    """

    weights: Float64
    validation: float
    generation: int
    start: float
    seed: int
    steps: tuple[SearchStep, ...]

    @property
    def children(self) -> int:
        """How many children were measured."""
        return self.steps[-1].children


@dataclass(frozen=True)
class Searches:
    """Hold the searches of several seeds."""

    found: tuple[Found, ...]

    @property
    def best(self) -> Found:
        """The one with the best validation, the first of equals."""
        return max(self.found, key=lambda one: one.validation)

    @property
    def children(self) -> int:
        """How many children all seeds measured."""
        return sum(one.children for one in self.found)

    @property
    def validations(self) -> Float64:
        """Of each seed, float64[s]."""
        return np.array([one.validation for one in self.found])

    @property
    def deviation(self) -> float:
        """The standard deviation of the validations over seeds, NaN for a single one."""
        return float(self.validations.std(ddof=1)) if len(self.found) > 1 else float("nan")


Watch: TypeAlias = "Callable[[SearchStep], None]"


def search(
    problem: Problem,
    optimiser: Optimiser,
    settings: SearchSettings,
    seed: int = 0,
    checkpoint: Checkpoint | None = None,
    watch: Watch | None = None,
) -> Found:
    """Search for weights; with a checkpoint, go on where an earlier process stopped.

    The start is looked at first, so what is returned is never worse on validation than it. With
    more generations an ended search goes on, and comes to what one long search comes to.

    Args:
        problem: What is to be raised.
        optimiser: What proposes.
        settings: How long.
        seed: Told in the outcome; `problem` and `optimiser` were made from it.
        checkpoint: Where to save; equal weights follow, however often the process was killed.
        watch: Called after every generation.

    Raises:
        InputError: If a fitness or a validation is not finite; it names the child. If the
            checkpoint has more generations than are asked for.
    """
    past = _begun(problem, optimiser, settings, checkpoint)
    while not past.ended(settings):
        past = _generation(past, problem, optimiser, settings)
        ended, number = past.ended(settings), past.steps[-1].generation
        if checkpoint and (ended or number % settings.save_every == 0):
            checkpoint.save(_state(past, problem, optimiser))
        if ended:
            past = _looked_last(past, problem, optimiser)
        if watch:
            watch(past.steps[-1])
    past = _looked_last(past, problem, optimiser)
    kept, start = past.kept, past.steps[0].validation
    return Found(kept.weights, kept.validation, kept.generation, start, seed, past.steps)


def search_seeds(
    make: Callable[[int], tuple[Problem, Optimiser]],
    seeds: Sequence[int],
    settings: SearchSettings,
    folder: Path | None = None,
    setup: str = "",
    watch: Callable[[int, SearchStep], None] | None = None,
) -> Searches:
    """Search once for each seed.

    Args:
        make: Returns the problem and the optimiser of a seed.
        seeds: Which.
        settings: How long each goes on.
        folder: Holds the checkpoint of each seed in `seed-<seed>`; None saves nothing.
        setup: What the search is, in words or a hash; see `Checkpoint`.
        watch: Called with the seed after every generation.
    """
    found = []
    for seed in seeds:
        problem, optimiser = make(seed)
        saved = Checkpoint(folder / f"seed-{seed}", f"{setup}#{seed}") if folder else None

        def tell(step: SearchStep, seed: int = seed) -> None:
            if watch:
                watch(seed, step)

        found.append(search(problem, optimiser, settings, seed, saved, tell))
    return Searches(tuple(found))


def check_finite(fitness: Float64, generation: int) -> None:
    """Refuse NaN and infinity among the fitness of children, float64[c].

    Raises:
        InputError: It names the generation and the first such child.
    """
    bad = np.flatnonzero(~np.isfinite(fitness))
    if len(bad):
        raise InputError(
            f"the fitness of child {bad[0]} in generation {generation} is {fitness[bad[0]]} "
            f"({len(bad)} of {len(fitness)} children); a fitness is a finite number"
        )


@dataclass(frozen=True)
class _Kept:
    weights: Float64
    validation: float
    generation: int


@dataclass(frozen=True)
class _Past:
    """Hold what a search has come to: what a checkpoint saves beside problem and optimiser."""

    kept: _Kept
    steps: tuple[SearchStep, ...]

    def ended(self, settings: SearchSettings) -> bool:
        """Return whether all generations are done, or the patience is at its end."""
        if self.steps[-1].generation >= settings.generations:
            return True
        looks = [step.validation for step in self.steps if not np.isnan(step.validation)]
        stale = len(looks) - 1 - int(np.argmax(looks))
        return bool(settings.patience) and stale >= settings.patience

    def seen(self, look: _Kept, step: SearchStep) -> _Past:
        """Return the past with a look at validation after a step that it has no more or not yet."""
        kept = look if look.validation > self.kept.validation else self.kept
        told = replace(step, validation=look.validation, kept=kept.validation)
        return _Past(kept, (*self.steps, told))


def _begun(
    problem: Problem,
    optimiser: Optimiser,
    settings: SearchSettings,
    checkpoint: Checkpoint | None,
) -> _Past:
    """Return what an earlier process came to, or the start."""
    saved = checkpoint.load() if checkpoint else None
    if saved is None:
        kept = _looked(problem, optimiser.centre, 0)
        nothing = float("nan")
        return _Past(kept, (SearchStep(0, nothing, nothing, kept.validation, kept.validation, 0),))
    past = _restored(saved, problem, optimiser)
    done = past.steps[-1].generation
    if done > settings.generations:
        assert checkpoint is not None
        raise InputError(
            f"{checkpoint.folder}: holds {done} generations, and {settings.generations} are asked "
            f"for; ask for {done} or more, or give another folder"
        )
    return past


def _generation(
    past: _Past, problem: Problem, optimiser: Optimiser, settings: SearchSettings
) -> _Past:
    """Return the past with one generation more, and a look at validation where one is due."""
    before = past.steps[-1]
    generation = before.generation + 1
    weights = optimiser.ask()
    fitness = problem.evaluate(weights, generation)
    check_finite(fitness, generation)
    optimiser.tell(fitness)
    centre = optimiser.centre
    if isinstance(problem, Adapting):
        problem.advance(centre, generation)
    step = SearchStep(
        generation,
        float(fitness.max()),
        float(fitness.mean()),
        float("nan"),
        before.kept,
        before.children + len(weights),
    )
    if generation % settings.validate_every:
        return _Past(past.kept, (*past.steps, step))
    return past.seen(_looked(problem, centre, generation), step)


def _looked_last(past: _Past, problem: Problem, optimiser: Optimiser) -> _Past:
    """Return the past of an ended search, looked at after its last generation.

    No checkpoint has this look, for a search of more generations does not stop here.
    """
    *earlier, last = past.steps
    if not np.isnan(last.validation):
        return past
    look = _looked(problem, optimiser.centre, last.generation)
    return _Past(past.kept, tuple(earlier)).seen(look, last)


def _looked(problem: Problem, centre: Float64, generation: int) -> _Kept:
    """Return the best on validation of what the problem offers, the centre if nothing else."""
    offers = problem.offers(centre) if isinstance(problem, Offering) else centre[None, :]
    values = problem.validate(offers)
    if not np.isfinite(values).all():
        raise InputError(
            f"the validation after generation {generation} is {values}; it is a finite number"
        )
    best = int(np.argmax(values))
    return _Kept(offers[best].copy(), float(values[best]), generation)


def _state(past: _Past, problem: Problem, optimiser: Optimiser) -> dict[str, Value]:
    learned: State = problem.state() if isinstance(problem, Adapting) else {}
    rows = [[getattr(step, field.name) for field in fields(SearchStep)] for step in past.steps]
    return {
        "kept_weights": past.kept.weights,
        "kept_validation": past.kept.validation,
        "kept_generation": past.kept.generation,
        "steps": np.array(rows, dtype=np.float64),
        **nested("optimiser", optimiser.state()),
        **nested("problem", learned),
    }


def _restored(saved: Mapping[str, Value], problem: Problem, optimiser: Optimiser) -> _Past:
    optimiser.restore(part("optimiser", saved))
    if isinstance(problem, Adapting):
        problem.restore(part("problem", saved))
    kept = _Kept(
        cast(Float64, saved["kept_weights"]),
        float(cast(float, saved["kept_validation"])),
        int(cast(int, saved["kept_generation"])),
    )
    steps = []
    for row in cast(Float64, saved["steps"]).tolist():
        generation, best, mean, validation, highest, children = row
        steps.append(SearchStep(int(generation), best, mean, validation, highest, int(children)))
    return _Past(kept, tuple(steps))
