"""Counts on disk: one file for all counters of a moment, mapped into memory when it is opened.

Documents, query texts and values of fields stand in it by their 64-bit hashes (XXH3), sorted, so
it knows neither what shoppers typed nor any catalogue. One that is not in it is mistaken for
another with a probability of about n / 2^64.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import xxhash
from numpy.typing import NDArray

from cascade.behaviour.counters import Counted, Counter
from cascade.errors import ChecksumError, NotFoundError

MAGIC = b"cascade behaviour 1\n"
DOCUMENTS, PAIRS, QUERIES = "document", "pair", "query"
_ALIGNED = 64
_AGAIN = "`cascade behaviour update` counts again"

Float32 = NDArray[np.float32]
UInt64 = NDArray[np.uint64]
Arrays: TypeAlias = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Snapshot:
    """Hold the counts of a moment.

    Attributes:
        as_of: The moment, in seconds since 1970.
        counters: What is counted, those of one table side by side.
        totals: The sum of each counter over everything, rounded to float32.
        arrays: Of each table: `keys` uint64[k], ascending, and `values` float32[k + 1, counters],
            whose last row is 0. Pairs have the `keys` of texts, `offsets` int64[k + 1] of
            their parts, `slots` int32[p] among the keys of documents, ascending in each part,
            and `values` float32[p + 1, counters].
    """

    as_of: float
    counters: tuple[Counter, ...]
    totals: tuple[float, ...]
    arrays: Mapping[str, NDArray[Any]]

    @property
    def tables(self) -> dict[str, slice]:
        """Which of the counters are in each table."""
        names = [counter.table for counter in self.counters]
        return {n: slice(names.index(n), names.index(n) + names.count(n)) for n in names}

    def counts(self) -> dict[str, int]:
        """Return how many documents, texts, pairs or values each table has counts of."""
        return {name: len(self.arrays[f"{name}.values"]) - 1 for name in self.tables}


def hashes(texts: Iterable[str], count: int) -> UInt64:
    """Return the 64-bit hash of each of `count` texts, uint64[count]."""
    digest = xxhash.xxh3_64_intdigest
    return np.fromiter(
        (digest(text.encode("utf-8", "surrogatepass")) for text in texts),
        dtype=np.uint64,
        count=count,
    )


def snapshot_of(as_of: float, counted: Mapping[Counter, Counted]) -> Snapshot:
    """Return the counts of a moment, laid out for reading.

    Args:
        as_of: The moment up to which was counted, in seconds since 1970.
        counted: What was counted.
    """
    tables: dict[str, list[Counter]] = {}
    for counter in counted:
        tables.setdefault(counter.table, []).append(counter)
    arrays: Arrays = {}
    by_document = [c for name in (DOCUMENTS, PAIRS) for c in tables.get(name, ())]
    if by_document:
        arrays["document.keys"] = _distinct(counted[c].names for c in by_document)
    for name, counters in tables.items():
        parts = [counted[counter] for counter in counters]
        if name == PAIRS:
            arrays |= _pairs(parts, arrays["document.keys"])
            continue
        keyed = [part.texts if name == QUERIES else part.names for part in parts]
        keys = arrays.setdefault(f"{name}.keys", _distinct(keyed))
        at = [np.searchsorted(keys, _hashed(one)) for one in keyed]
        arrays[f"{name}.values"] = _values(len(keys), at, parts)
    ordered = tuple(counter for counters in tables.values() for counter in counters)
    totals = tuple(float(np.float32(counted[counter].values.sum())) for counter in ordered)
    return Snapshot(as_of, ordered, totals, arrays)


def write_snapshot(path: Path, snapshot: Snapshot) -> None:
    """Write a snapshot in one file, which is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    described, at = {}, 0
    digest = xxhash.xxh3_128()
    for name, array in snapshot.arrays.items():
        described[name] = {"dtype": array.dtype.str, "shape": array.shape, "at": at}
        for block in _blocks(array):
            digest.update(block)
            at += len(block)
    content = {
        "as_of": snapshot.as_of,
        "counters": [_plain(counter) for counter in snapshot.counters],
        "totals": snapshot.totals,
        "arrays": described,
        "bytes": at,
        "digest": digest.hexdigest(),
    }
    staged = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with staged.open("wb") as stream:
            stream.write(_head(content))
            for array in snapshot.arrays.values():
                stream.writelines(_blocks(array))
            stream.flush()
            os.fsync(stream.fileno())
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)


def open_snapshot(path: Path) -> Snapshot:
    """Map a snapshot into memory, after checking every byte.

    Raises:
        NotFoundError: If there is none.
        ChecksumError: If it is damaged.
    """
    try:
        with path.open("rb") as stream:
            magic, size, checked = stream.readline(), stream.readline(), stream.readline()
            head = stream.read(int(size)) if magic == MAGIC else b""
    except FileNotFoundError:
        raise NotFoundError(f"there are no counts at {path}; {_AGAIN}") from None
    except ValueError:
        head, checked = b"", b""
    if not head or xxhash.xxh3_128_hexdigest(head) != checked.decode("ascii", "replace").strip():
        raise ChecksumError(f"{path} is damaged, or no snapshot of this release; {_AGAIN}")
    content = json.loads(head)
    start = _aligned(len(MAGIC) + len(size) + len(checked) + len(head))
    if path.stat().st_size != start + content["bytes"]:
        raise ChecksumError(f"{path} is not as long as it says; {_AGAIN}")
    mapped = np.memmap(path, dtype=np.uint8, mode="r").view(np.ndarray)
    if xxhash.xxh3_128_hexdigest(mapped[start:].data) != content["digest"]:
        raise ChecksumError(f"{path} is damaged; {_AGAIN}")
    return Snapshot(
        as_of=float(content["as_of"]),
        counters=tuple(Counter(**counter) for counter in content["counters"]),
        totals=tuple(content["totals"]),
        arrays={name: _array(mapped, start, raw) for name, raw in content["arrays"].items()},
    )


def _distinct(names: Iterable[NDArray[np.object_] | None]) -> UInt64:
    return np.unique(np.concatenate([np.empty(0, np.uint64), *map(_hashed, names)]))


def _hashed(names: NDArray[np.object_] | None) -> UInt64:
    assert names is not None, "a counter lacks the keys of its kind"
    return hashes(names, len(names))


def _pairs(parts: Sequence[Counted], documents: UInt64) -> Arrays:
    """Return the arrays of pairs: by text, then by the slot of the document."""
    texts = [_hashed(part.texts) for part in parts]
    slots = [np.searchsorted(documents, _hashed(part.names)) for part in parts]
    keys = _distinct_of(texts)
    span = len(documents) + 1
    # Texts and documents are far fewer than 2^31 each, so a pair of places fits 64 bits.
    places = [np.searchsorted(keys, t) * span + s for t, s in zip(texts, slots, strict=True)]
    pairs = np.unique(np.concatenate([np.empty(0, np.int64), *places]))
    offsets = np.searchsorted(pairs, np.arange(len(keys) + 1, dtype=np.int64) * span)
    at = [np.searchsorted(pairs, place) for place in places]
    return {
        "pair.keys": keys,
        "pair.offsets": offsets.astype(np.int64),
        "pair.slots": (pairs % span).astype(np.int32),
        "pair.values": _values(len(pairs), at, parts),
    }


def _distinct_of(keys: Sequence[UInt64]) -> UInt64:
    return np.unique(np.concatenate([np.empty(0, np.uint64), *keys]))


def _values(count: int, places: Sequence[NDArray[np.intp]], parts: Sequence[Counted]) -> Float32:
    """Return float32[count + 1, parts] of what was counted; the last row is 0."""
    summed = [
        np.bincount(at, part.values, minlength=count + 1)
        for at, part in zip(places, parts, strict=True)
    ]
    return np.ascontiguousarray(np.array(summed, dtype=np.float32).T)


def _plain(counter: Counter) -> dict[str, Any]:
    return asdict(counter)


def _head(content: Mapping[str, Any]) -> bytes:
    head = json.dumps(content).encode()
    checked = xxhash.xxh3_128_hexdigest(head).encode()
    whole = MAGIC + str(len(head)).encode() + b"\n" + checked + b"\n" + head
    return whole.ljust(_aligned(len(whole)), b"\0")


def _aligned(length: int) -> int:
    return -(-length // _ALIGNED) * _ALIGNED


def _blocks(array: NDArray[Any]) -> Iterator[bytes]:
    """Yield an array's bytes, filled up to a whole number of aligned blocks."""
    whole = np.ascontiguousarray(array).tobytes()
    yield whole
    yield bytes(_aligned(len(whole)) - len(whole))


def _array(mapped: NDArray[np.uint8], start: int, raw: Mapping[str, Any]) -> NDArray[Any]:
    dtype, shape = np.dtype(raw["dtype"]), tuple(raw["shape"])
    first = start + int(raw["at"])
    size = int(dtype.itemsize * np.prod(shape, dtype=np.int64))
    found: NDArray[Any] = mapped[first : first + size].view(dtype).reshape(shape)
    return found
