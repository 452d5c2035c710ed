"""The first rows of each listing, for every child at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cascade.candidates import Int32, Int64
from cascade.market.counting import Score, check_finite

# Scores of one chunk, 8 bytes each, stay in a third-level cache's share.
CHUNK = 400_000
# A key that comes after every score's.
LAST = np.iinfo(np.int64).max


def chunks(offsets: Int64, children: int) -> tuple[Int64, ...]:
    """Return requests of alike lengths together, so many as are sorted at a time."""
    return tuple(_chunks(offsets, children))


def _chunks(offsets: Int64, children: int) -> Iterator[Int64]:
    lengths = np.diff(offsets)
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 0]
    end = len(order)
    while end > 0:
        start = max(end - max(CHUNK // (int(lengths[order[end - 1]]) * children), 1), 0)
        yield order[start:end]
        end = start


def first_rows(offsets: Int64, requests: Int64, score: Score, k: int, into: Int32) -> None:
    """Write the row at each of the first ranks of some requests to `into`, int32[q, k, c].

    The higher score comes first, of equal ones the earlier row; -1 stands beyond the end.

    Raises:
        InputError: If a score is NaN or infinite.
    """
    keys = _keys(offsets, requests, score)
    depth = min(k, keys.shape[2])
    if depth < keys.shape[2]:
        keys.partition(depth - 1, axis=2)
    head = np.sort(keys[:, :, :depth], axis=2)
    rows = (head & 0xFFFFFFFF) + offsets[requests][:, None, None]
    into[requests, :depth] = np.where(head == LAST, -1, rows).transpose(0, 2, 1)


def all_ranks(offsets: Int64, requests: Int64, score: Score, into: Int32) -> None:
    """Write the 1-based rank of every row of some requests to `into`, int32[n, c].

    Raises:
        InputError: If a score is NaN or infinite.
    """
    keys = np.sort(_keys(offsets, requests, score), axis=2)
    places = np.arange(1, keys.shape[2] + 1, dtype=np.int32)
    children = np.arange(keys.shape[1])
    for start, length, mine in zip(
        offsets[requests], np.diff(offsets)[requests], keys, strict=True
    ):
        rows = start + (mine[:, :length] & 0xFFFFFFFF)
        into[rows, children[:, None]] = places[:length]


def _keys(offsets: Int64, requests: Int64, score: Score) -> Int64:
    """Return int64[requests, c, longest]: ascending, a listing's order; the low bits are places.

    A float's bits ascend with it once those of negative numbers are turned round.
    """
    lengths = np.diff(offsets)[requests]
    longest = int(lengths.max())
    places = np.arange(longest)
    # Places beyond a listing's end take its last row, and are marked below.
    rows = offsets[requests][:, None] + np.minimum(places, lengths[:, None] - 1)
    found = np.asarray(score(rows.ravel()).T, np.float32)
    if not np.isfinite(found).all():
        check_finite(found.T)
    bits = (found + np.float32(0)).view(np.int32)
    bits ^= (bits >> 31) & np.int32(0x7FFFFFFF)
    keys = np.empty((len(requests), len(found), longest), np.int64)
    keys[:] = (~bits).reshape(len(found), len(requests), longest).transpose(1, 0, 2)
    keys <<= 32
    keys |= places
    beyond = places >= lengths[:, None]
    if beyond.any():
        keys[np.broadcast_to(beyond[:, None, :], keys.shape)] = LAST
    return keys
