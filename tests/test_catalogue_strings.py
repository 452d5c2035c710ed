import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from cascade.catalogue.strings import PARTS, StringTable, build_table, hashed
from cascade.errors import ChecksumError


def table(strings, digest=None):
    """Return the table of strings; the digest only builds it, lookups use the real hash."""
    seed, keys, slots = build_table(lambda seed: hashed(strings, seed, digest))
    encoded = [s.encode() for s in strings]
    offsets = np.cumsum([0, *map(len, encoded)])
    text = np.frombuffer(b"".join(encoded), dtype=np.uint8)
    return StringTable(dict(zip(PARTS, (text, offsets, keys, slots), strict=True)), seed)


@given(st.lists(st.text(max_size=8), unique=True, max_size=80), st.lists(st.text(max_size=8)))
def test_a_table_answers_as_a_dict_does(strings, others):
    strings = [s for s in strings if s.isprintable()]
    reference = {s: i for i, s in enumerate(strings)}
    asked = [*others, *reversed(strings), *strings]
    found = table(strings)
    assert len(found) == len(strings)
    assert found.numbers(asked).tolist() == [reference.get(s, -1) for s in asked]
    assert found.numbers(asked).dtype == np.int32
    numbers = np.array([-1, *reference.values()], dtype=np.int32)
    assert found.strings(numbers) == ["", *strings]


def test_every_one_of_many_is_found_and_no_other():
    strings = [f"L{i * 7919}" for i in range(50_000)]
    found = table(strings)
    assert np.array_equal(found.numbers(strings), np.arange(50_000))
    assert (found.numbers([s + "x" for s in strings[:5_000]]) == -1).all()


def test_two_strings_of_one_hash_make_it_take_another_seed():
    strings = ["red", "blue", "green"]

    def weak(text, seed):
        return (
            7 if seed == 0 and text in (b"red", b"green") else xxhash.xxh3_64_intdigest(text, seed)
        )

    seed, _, _ = build_table(lambda seed: hashed(strings, seed, weak))
    assert seed == 1
    assert table(strings, weak).numbers([*strings, "grey"]).tolist() == [0, 1, 2, -1]


def test_strings_in_one_place_of_the_table_are_all_found():
    # All hashes ask for the last slot, so every search but one runs on from the table's start.
    hashes = (np.arange(20, dtype=np.uint64) << np.uint64(32)) | np.uint64(2**20 - 1)
    seed, keys, slots = build_table(lambda seed: hashes)
    assert seed == 0
    assert sorted(slots[slots >= 0].tolist()) == list(range(20))
    assert set(keys[slots >= 0].tolist()) == set(hashes.tolist())


def test_a_hash_that_never_tells_strings_apart_is_refused():
    with pytest.raises(ChecksumError, match="16 seeds leave strings with equal hashes"):
        table(["a", "b"], lambda text, seed: 7)


def test_a_lone_surrogate_is_unknown():
    assert table(["a?", "a�"]).numbers(["a\ud800", "a?"]).tolist() == [-1, 0]
