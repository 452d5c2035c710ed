"""The space that tuning searches: which settings vary, and what each trial makes of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from pydantic import ValidationError

from cascade.candidates import Float64
from cascade.config import CascadeSettings, Config
from cascade.config.check import stage_problems
from cascade.config.load import problems_of
from cascade.errors import ConfigError, OptionalDependencyError

Overrides: TypeAlias = Mapping[str, Any]
Space: TypeAlias = Mapping[str, Any]

# What varies when nothing is said. Few values for a linear ranker: a later stage learns from its
# scores, and those of equal settings are made once.
LINEAR_SPACE: Space = {"linear.l2": [1e-4, 1e-3, 1e-2]}
TREE_SPACE: Space = {
    "trees.depth": {"low": 3, "high": 8},
    "trees.learning_rate": {"low": 0.03, "high": 0.3, "log": True},
    "trees.min_child_weight": {"low": 0.1, "high": 30.0, "log": True},
    "trees.column_share": {"low": 0.3, "high": 1.0},
    "trees.row_share": {"low": 0.5, "high": 1.0},
    "trees.l2": {"low": 0.1, "high": 30.0, "log": True},
}
DEFAULTS: Mapping[str, Space] = {"linear": LINEAR_SPACE, "trees": TREE_SPACE}
# Rows are drawn once for all trials, so what decides on them cannot vary.
OF_ROWS = ("training.negatives", "training.seed")


def space_of(config: Config) -> Space:
    """Return the space of a configuration: its own, or one that suits its stages.

    Raises:
        ConfigError: If a key is no setting that trials may change.
    """
    given = config.settings.tuning.space
    if not given:
        return {
            f"stages.{number}.{key}": values
            for number, stage in enumerate(config.settings.stages)
            for key, values in DEFAULTS[stage.ranker].items()
        }
    problems = [
        f"tuning.space: {key!r} cannot be tuned; accepted are settings of stages (`stages.0. ...`) "
        f"and of [training] but {' and '.join(OF_ROWS)}, on which the prepared rows depend"
        for key in given
        if not key.startswith(("stages.", "training.")) or key in OF_ROWS
    ]
    if problems:
        raise ConfigError(str(config.path), problems)
    for key, values in given.items():
        for value in values if isinstance(values, list) else (values["low"], values["high"]):
            overridden(config, {key: value}, together=False)
    return dict(sorted(given.items()))


@dataclass(frozen=True)
class Sampler:
    """Draw the overrides of each trial; those of a trial depend on its number alone.

    Trial 0 is the configuration as it is. The others are the points of a scrambled Sobol sequence
    (Joe and Kuo, SIAM J. Sci. Comput. 2008), which fills the space evenly however many are taken.

    Attributes:
        space: What varies.
        seed: Of the scrambling.
    """

    space: Space
    seed: int = 0

    def overrides(self, trials: int) -> list[Overrides]:
        """Return the overrides of the first trials.

        Raises:
            OptionalDependencyError: If scipy is not installed.
        """
        try:
            from scipy.stats import qmc
        except ImportError:
            raise OptionalDependencyError("scipy", "train") from None
        if trials <= 1 or not self.space:
            return [{}] * min(trials, 1)
        sobol = qmc.Sobol(len(self.space), scramble=True, rng=np.random.default_rng(self.seed))
        points = sobol.random_base2(math.ceil(math.log2(max(2, trials - 1))))
        return [{}, *(self._at(point) for point in points[: trials - 1])]

    def _at(self, point: Float64) -> Overrides:
        return {
            key: _value(values, float(share))
            for (key, values), share in zip(self.space.items(), point, strict=True)
        }


def _value(values: Any, share: float) -> Any:  # noqa: ANN401  (a TOML value)
    """Return the value at a share (0 to 1) of a choice or range."""
    if isinstance(values, list):
        return values[min(int(share * len(values)), len(values) - 1)]
    low, high = values["low"], values["high"]
    whole = isinstance(low, int) and isinstance(high, int)
    start, stop = (low - 0.5, high + 0.5) if whole and not values.get("log") else (low, high)
    if values.get("log"):
        found = math.exp(math.log(start) + share * (math.log(stop) - math.log(start)))
    else:
        found = start + share * (stop - start)
    if whole:
        return min(high, max(low, round(found)))
    # What is printed and written is what was tried.
    return float(f"{found:.4g}")


def overridden(config: Config, overrides: Overrides, *, together: bool = True) -> Config:
    """Return a configuration with other values of some settings.

    Args:
        config: The settings.
        overrides: Values by key, stages by number, as for `--set`.
        together: Whether the stages must fit together as well.

    Raises:
        ConfigError: If a key leads nowhere, or a value is not accepted.
    """
    raw = config.settings.model_dump(by_alias=True, exclude_unset=True)
    for key, value in overrides.items():
        _put(raw, key, value)
    try:
        settings = CascadeSettings.model_validate(raw)
    except ValidationError as error:
        problems = [f"tuning.space: {p}" for p in problems_of(error, CascadeSettings)]
        raise ConfigError(str(config.path), problems) from None
    if together and (problems := stage_problems(raw)):
        raise ConfigError(str(config.path), [f"tuning.space: {p}" for p in problems])
    return Config(settings, config.path)


def _put(raw: dict[str, Any], key: str, value: object) -> None:
    at: Any = raw
    *parents, last = key.split(".")
    for name in parents:
        if isinstance(at, list):
            if not name.isdigit() or int(name) >= len(at):
                message = f"tuning.space: {key}: {name!r} is none of {len(at)} entries"
                raise ConfigError("[tuning]", [message])
            at = at[int(name)]
        else:
            at = at.setdefault(name, {})
    if not isinstance(at, dict):
        raise ConfigError("[tuning]", [f"tuning.space: {key} leads to no setting"])
    at[last] = value


def as_toml(overrides: Overrides) -> str:
    """Return overrides as lines of TOML that stand for them, dotted keys with stages by number."""
    return "".join(f"{key} = {toml_value(value)}\n" for key, value in overrides.items())


def toml_value(value: object) -> str:
    """Return a value as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(toml_value(v) for v in value)}]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return repr(value)
