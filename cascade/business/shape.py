"""The shape of a learned policy: which weights it has, and the utilities they give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cascade.candidates import Float32, Float64
from cascade.errors import ConfigError

Floats: TypeAlias = NDArray[np.floating[Any]]

FEWEST_WEIGHTS, MOST_WEIGHTS = 10, 500
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Shape:
    """Give `s + c * tanh(net(x, p))` for a row's score s, its inputs x and a preference p.

    Without hidden units the net is `b + wx . x + wp . p + x W p`: the products of inputs and
    preferences let a preference change what an input is worth. With h hidden units it is
    `b + v . tanh(a0 + Ax x + Ap p)`.

    The weights stand in one vector: c, b, then `wx, wp, W` (input by input), or `v, a0, Ax, Ap`
    (unit by unit for each input). With c = 0 utilities are the scores, bit for bit.

    Attributes:
        inputs: The names of the f inputs.
        objectives: The names of the p shares of a preference.
        hidden: How many tanh units h lie between, 0 for the linear net.

    Raises:
        ConfigError: If there are fewer than 10 weights or more than 500.
    """

    inputs: tuple[str, ...]
    objectives: tuple[str, ...]
    hidden: int = 0

    def __post_init__(self) -> None:
        problems = []
        for what, names in (("inputs", self.inputs), ("objectives", self.objectives)):
            twice = sorted({name for name in names if names.count(name) > 1})
            problems += [f"{what}: {name!r} is named twice; name each once" for name in twice]
            if not names:
                problems.append(f"{what}: there are none; a policy needs at least one")
        if self.hidden < 0:
            problems.append(f"hidden: is {self.hidden}; accepted is 0 (linear) or more")
        elif not problems and not FEWEST_WEIGHTS <= self.size <= MOST_WEIGHTS:
            problems.append(
                f"{len(self.inputs)} inputs, {len(self.objectives)} objectives and "
                f"{self.hidden} hidden units make {self.size} weights; accepted are "
                f"{FEWEST_WEIGHTS} to {MOST_WEIGHTS}: name more or fewer of them"
            )
        if problems:
            raise ConfigError("the shape of the policy", problems)

    @property
    def size(self) -> int:
        """How many weights there are, the scale c among them."""
        f, p, h = len(self.inputs), len(self.objectives), self.hidden
        return 2 + h + h * (1 + f + p) if h else 2 + f + p + f * p

    def start(self, seed: int) -> Float64:
        """Return weights whose utilities are the scores, float64[size]: c = 0, the rest drawn.

        A drawn net lets the first change of c already tell rows apart. Its weights have the
        variance 1 / fan-in, so that neither tanh is saturated.
        """
        weights = np.random.default_rng(seed).standard_normal(self.size)
        f, p, h = len(self.inputs), len(self.objectives), self.hidden
        if h:
            weights[2 : 2 + h] /= np.sqrt(h)
            weights[2 + h :] /= np.sqrt(1 + f + p)
        else:
            weights[2:] /= np.sqrt(1 + f + p)
        weights[:2] = 0.0
        return weights

    def utilities(
        self,
        weights: Float64,
        scores: Float32,
        inputs: Float32,
        preferences: Float32,
        *,
        precise: bool = False,
    ) -> Float32:
        """Return the utilities that each of c policies gives each of n rows, float32[n, c].

        Weights count as float32 has them. Those of a policy lie side by side in memory.

        Args:
            weights: float64[c, size].
            scores: float32[n].
            inputs: float32[n, f], finite.
            preferences: float32[n, p], the preference of each row's request.
            precise: Whether sums are made in float64, as the exported graph makes them; in
                float32 they are twice as fast and differ by rounding.
        """
        self._refuse(weights, scores, inputs, preferences)
        kind: type[np.floating[Any]] = np.float64 if precise else np.float32
        narrow = weights.astype(np.float32).astype(kind)
        layers, scales = self._layers(narrow), narrow[:, 0]
        count, children = len(scores), len(weights)
        utilities = np.empty((children, count), dtype=kind)
        # A chunk is multiplied, bent and added to while it is in the cache.
        width = max(children * max(self.hidden, 1), self.size)
        rows = max(16, _CHUNK_BYTES // (utilities.itemsize * width))
        for start in range(0, count, rows):
            part = slice(start, start + rows)
            given = (a[part].astype(kind, copy=False) for a in (inputs, preferences))
            net = self._net(layers, self._terms(*given), utilities[:, part])
            np.tanh(net, out=net)
            net *= scales[:, None]
            net += scores[part]
        # s + 0 is s but for the sign of zero.
        utilities[scales == 0] = scores
        return utilities.astype(np.float32, copy=False).T

    def parts(self, weights: Float64) -> dict[str, Float64]:
        """Return one policy's weights by their names in the formula above.

        Args:
            weights: float64[size].
        """
        f, p, h = len(self.inputs), len(self.objectives), self.hidden
        found = {"c": weights[0], "b": weights[1]}
        if h:
            block = weights[2 + h :].reshape(1 + f + p, h)
            hidden = {"a0": block[0], "Ax": block[1 : 1 + f], "Ap": block[1 + f :]}
            return {**found, "v": weights[2 : 2 + h], **hidden}
        products = weights[2 + f + p :].reshape(f, p)
        return {**found, "wx": weights[2 : 2 + f], "wp": weights[2 + f : 2 + f + p], "W": products}

    def _layers(self, weights: Floats) -> tuple[Floats, ...]:
        """Return the matrices that multiply `_terms`, children first."""
        children, h = len(weights), self.hidden
        if not h:
            return (np.ascontiguousarray(weights[:, 1:]),)
        first = weights[:, 2 + h :].reshape(children, -1, h).transpose(0, 2, 1)
        return np.ascontiguousarray(first).reshape(children * h, -1), weights[:, 1 : 2 + h]

    def _net(self, layers: tuple[Floats, ...], terms: Floats, out: Floats) -> Floats:
        if not self.hidden:
            return np.matmul(layers[0], terms.T, out=out)
        first, second = layers
        units = first @ terms.T
        np.tanh(units, out=units)
        units = units.reshape(len(out), self.hidden, -1)
        np.matmul(second[:, None, 1:], units, out=out[:, None])
        out += second[:, :1]
        return out

    def _terms(self, inputs: Floats, preferences: Floats) -> Floats:
        """Return what the first layer multiplies: 1, inputs, preferences and, linear, products."""
        count = len(inputs)
        terms = [np.ones((count, 1), dtype=inputs.dtype), inputs, preferences]
        if not self.hidden:
            width = len(self.inputs) * len(self.objectives)
            terms.append((inputs[:, :, None] * preferences[:, None, :]).reshape(count, width))
        return np.concatenate(terms, axis=1)

    def _refuse(
        self, weights: Float64, scores: Float32, inputs: Float32, preferences: Float32
    ) -> None:
        given = (weights.shape[1:], scores.shape, inputs.shape, preferences.shape)
        count = len(scores)
        wanted = (
            (self.size,),
            (count,),
            (count, len(self.inputs)),
            (count, len(self.objectives)),
        )
        if given != wanted:
            raise ValueError(
                f"weights of a policy, scores, inputs and preferences have the shapes {given}; "
                f"accepted: {wanted}"
            )
