"""The contract of an optimiser, and the settings that choose one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from numpy.typing import NDArray

from cascade.candidates import Float64
from cascade.errors import InputError, nearest

Name = Literal["one_plus_one", "nes", "canonical", "openai_es", "cma"]
Shaping = Literal["utilities", "centred", "standard"]
StepName = Literal["plain", "momentum", "rmsprop", "adam"]

State: TypeAlias = "dict[str, NDArray[Any] | int | float | str]"

# Which of the optional settings each optimiser reads. Any other is refused, for a setting without
# effect would pass for one that had been tried.
READS: Mapping[Name, tuple[str, ...]] = {
    "one_plus_one": (),
    "nes": ("children", "learning_rate", "sigma_rate", "shaping"),
    "canonical": ("children", "parents"),
    "openai_es": ("children", "learning_rate", "shaping", "step"),
    "cma": ("children",),
}
OPTIONS = ("children", "parents", "learning_rate", "sigma_rate", "shaping", "step")
SHAPINGS: tuple[Shaping, ...] = ("utilities", "centred", "standard")
STEP_NAMES: tuple[StepName, ...] = ("plain", "momentum", "rmsprop", "adam")

CHILDREN = 64
# CMA-ES divides by what is left of its selection mass with one parent, which is 0.
FEWEST: Mapping[Name, int] = {"cma": 4}


class Optimiser(Protocol):
    """Propose weights, and move towards those that turned out fit.

    A generation is one `ask` and one `tell`. What is asked follows from the seed and the generation
    alone, so asking twice gives the same children, and a run continued from `state` goes on bit for
    bit as if it had not stopped, given the same versions of the packages and the same kind of
    machine.
    """

    @property
    def centre(self) -> Float64:
        """What would be shipped, float64[d], read-only."""
        ...

    @property
    def generation(self) -> int:
        """How many generations have been told."""
        ...

    def ask(self) -> Float64:
        """Return the children of this generation, float64[c, d]."""
        ...

    def tell(self, fitness: Float64) -> None:
        """Learn from the fitness of the children, float64[c], higher is better.

        Raises:
            InputError: If there is not one finite value for each child.
        """
        ...

    def state(self) -> State:
        """Return all that the next generations depend on, as of the last `tell`."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, of any seed; values may be numpy scalars or arrays of no dimension.

        Raises:
            InputError: If the state is of another optimiser, other settings or another size.
        """
        ...


@dataclass(frozen=True)
class OptimiserSettings:
    """Choose an optimiser; `None` stands for the default of the one that is named.

    Attributes:
        name: Which optimiser.
        sigma: The standard deviation of the mutations, at the start where it adapts.
        children: How many weights are tried a generation; 64. `one_plus_one` always tries 2.
        parents: `canonical` recombines this many of the best; half of the children.
        learning_rate: `nes`: the share of the natural step, 1. `openai_es`: the factor of the step,
            `sigma / 5` with `adam` and `rmsprop`, else `sigma` squared, which is the natural step.
        sigma_rate: `nes`: how fast sigma adapts, 0 for a fixed one; (3 + ln d) / (5 sqrt d).
        shaping: `nes` and `openai_es`: what fitness becomes before it is weighed; `utilities`.
        step: `openai_es`: what is made of the gradient; `adam`.

    Raises:
        InputError: If a setting is out of range, or of no effect with this optimiser.
    """

    name: Name = "openai_es"
    sigma: float = 0.1
    children: int | None = None
    parents: int | None = None
    learning_rate: float | None = None
    sigma_rate: float | None = None
    shaping: Shaping | None = None
    step: StepName | None = None

    def __post_init__(self) -> None:
        if self.name not in READS:
            raise InputError(f"no optimiser is called {self.name!r}; {nearest(self.name, READS)}")
        problems = [*self._unread(), *self._unknown(), *self._rates(), *self._counts()]
        if problems:
            raise InputError(f"optimiser {self.name!r}: " + "; ".join(problems))

    @property
    def population(self) -> int:
        """How many children a generation has."""
        if self.name == "one_plus_one":
            return 2
        return CHILDREN if self.children is None else self.children

    @property
    def best(self) -> int:
        """How many parents `canonical` recombines."""
        return self.population // 2 if self.parents is None else self.parents

    @property
    def shaped(self) -> Shaping:
        """Which shaping is used."""
        return self.shaping or "utilities"

    @property
    def stepping(self) -> StepName:
        """Which step `openai_es` takes."""
        return self.step or "adam"

    @property
    def rate(self) -> float:
        """The learning rate."""
        if self.learning_rate is not None:
            return self.learning_rate
        if self.name == "nes":
            return 1.0
        return self.sigma / 5 if self.stepping in {"adam", "rmsprop"} else self.sigma**2

    def _unread(self) -> list[str]:
        reads = READS[self.name]
        given = [option for option in OPTIONS if getattr(self, option) is not None]
        takes = ", ".join(["sigma", *reads])
        return [
            f"{option} has no effect here, leave it out (it takes {takes})"
            for option in given
            if option not in reads
        ]

    def _unknown(self) -> list[str]:
        named = {"shaping": (self.shaping, SHAPINGS), "step": (self.step, STEP_NAMES)}
        return [
            f"{option} is {value!r}; {nearest(str(value), accepted)}"
            for option, (value, accepted) in named.items()
            if value is not None and value not in accepted
        ]

    def _rates(self) -> list[str]:
        problems = []
        for option in ("sigma", "learning_rate", "sigma_rate"):
            value = getattr(self, option)
            if value is None and option != "sigma":
                continue
            number = _number(value)
            held = option == "sigma_rate" and number == 0
            if not (held or 0 < number < math.inf):
                least = "0 or more" if option == "sigma_rate" else "above 0"
                problems.append(f"{option} is {value!r}; it must be a finite number, {least}")
        return problems

    def _counts(self) -> list[str]:
        least = FEWEST.get(self.name, 2)
        if self.children is not None and not _whole(self.children, least):
            return [f"children is {self.children!r}; it must be a whole number, {least} or more"]
        if self.name == "openai_es" and self.population % 2:
            return [f"children is {self.children}; it must be even, for each has its opposite"]
        if self.parents is None or (_whole(self.parents, 1) and self.parents < self.population):
            return []
        most = self.population - 1
        return [f"parents is {self.parents!r}; it must be a whole number from 1 to {most}"]


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    return float(value)


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
