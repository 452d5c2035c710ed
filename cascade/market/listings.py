"""Requests and what each could show, in columns: what market measures read."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar, cast

import numpy as np

from cascade.candidates import Float32, Int32, Int64
from cascade.errors import InputError, nearest

_Derived = TypeVar("_Derived")


@dataclass(frozen=True, eq=False)
class Listings:
    """Hold n rows of q requests, each listing in its order of relevance.

    Attributes:
        offsets: int64[q + 1]; request i has the rows `offsets[i]` to `offsets[i + 1] - 1`.
        columns: float32[n] by name, NaN where missing: gains, prices, flags (1 or 0).
        groups: int32[n] by name, the code of the row's group such as its seller, -1 without one.
    """

    offsets: Int64
    columns: Mapping[str, Float32] = field(default_factory=dict)
    groups: Mapping[str, Int32] = field(default_factory=dict)
    _derived: dict[Hashable, object] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        rows = int(self.offsets[-1])
        for name, values in (*self.columns.items(), *self.groups.items()):
            if values.shape != (rows,):
                raise InputError(
                    f"{name!r} has the shape {list(values.shape)}; the listings have {rows} rows"
                )

    def __len__(self) -> int:
        return int(self.offsets[-1])

    @property
    def requests(self) -> int:
        """How many requests there are."""
        return len(self.offsets) - 1

    def column(self, name: str) -> Float32:
        """Return a column, float32[n].

        Raises:
            InputError: If there is none of that name.
        """
        if name not in self.columns:
            raise InputError(f"no column {name!r}; {nearest(name, self.columns)}")
        return self.columns[name]

    def group(self, name: str) -> Int32:
        """Return the codes of a grouping, int32[n].

        Raises:
            InputError: If there is none of that name.
        """
        if name not in self.groups:
            raise InputError(f"no groups {name!r}; {nearest(name, self.groups)}")
        return self.groups[name]

    def derived(self, key: Hashable, make: Callable[[], _Derived]) -> _Derived:
        """Return what was made under this key before, or make it: it serves every generation."""
        if key not in self._derived:
            self._derived[key] = make()
        return cast(_Derived, self._derived[key])

    @property
    def lengths(self) -> Int64:
        """How many rows each request has, int64[q]."""
        return self.derived("lengths", lambda: np.diff(self.offsets))

    @property
    def request(self) -> Int64:
        """The request of each row, int64[n]."""
        every = np.arange(self.requests)
        return self.derived("request", lambda: np.repeat(every, self.lengths))

    def rows_of(self, requests: Int64) -> Int64:
        """Return the rows of some requests, int64[m], request by request."""
        lengths = self.lengths[requests]
        firsts = self.offsets[:-1][requests] - (np.cumsum(lengths) - lengths)
        return np.repeat(firsts, lengths) + np.arange(lengths.sum())

    def take(self, requests: Int64) -> Listings:
        """Return some of the requests, int64[m], in the order given."""
        rows = self.rows_of(requests)
        return Listings(
            np.concatenate([[0], np.cumsum(self.lengths[requests])]).astype(np.int64),
            {name: column[rows] for name, column in self.columns.items()},
            {name: codes[rows] for name, codes in self.groups.items()},
        )
