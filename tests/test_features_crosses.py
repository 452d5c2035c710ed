"""Hashed crosses against a golden file and an independent XXH64."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from memory_documents import MemoryDocuments, candidates
from xxh64 import xxh64

from cascade.candidates import Query
from cascade.features import Cross, cross_hash

GOLDEN = Path(__file__).parent / "golden" / "cross_hashes.json"
NAN = math.nan

DOCUMENTS = MemoryDocuments(
    {"category": "keyword", "brand": "keyword"},
    [
        {"category": ["Sofas", "Chairs"], "brand": ["Acme"]},
        {"category": ["Chairs"], "brand": ["Acme"]},
        {"category": ["Chairs"]},
        {"brand": ["Zeta"]},
    ],
)


def golden() -> list[tuple[list[str], int]]:
    return [(parts, int(digits, 16)) for parts, digits in json.loads(GOLDEN.read_text("utf-8"))]


# Published with the reference implementation and in the documentation of several ports.
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0xEF46DB3751D8E999),
        (b"a", 0xD24EC4F1A98C6E5B),
        (b"abc", 0x44BC2CF5AD770999),
        (b"Nobody inspects the spammish repetition", 0xFBCEA83C8A378BF1),
    ],
)
def test_the_independent_hash_gives_published_values(data, expected):
    assert xxh64(data) == expected


def test_the_golden_file_has_1000_tokens_of_the_independent_hash():
    entries = golden()
    assert len({tuple(parts) for parts, _ in entries}) == 1000
    assert [xxh64("\x1f".join(parts).encode()) for parts, _ in entries] == [h for _, h in entries]


def test_hashes_are_those_of_the_golden_file():
    assert [(parts, cross_hash(parts)) for parts, _ in golden()] == golden()


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_hashes_do_not_change_with_the_process(seed):
    code = "import json, sys; from cascade.features import cross_hash; "
    code += "print(json.dumps([cross_hash(p) for p, _ in json.load(open(sys.argv[1]))]))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore::ResourceWarning", "-c", code, str(GOLDEN)],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [expected for _, expected in golden()]


def bucket(*parts, buckets):
    return float(xxh64("\x1f".join(parts).encode()) % buckets)


def test_a_cross_is_the_bucket_of_its_parts_in_order():
    sofa, lamp = Query("1", "Corner  SOFA"), Query("2", "lamp")
    batch = candidates(DOCUMENTS, (sofa, [1, 0, 2, 3, -1]), (lamp, [1]), ("", [1]))
    found = Cross(name="f", parts=("query.last_word", "category"), buckets=1000).values(batch)
    chairs = bucket("sofa", "Chairs", buckets=1000)
    sofas = bucket("sofa", "Sofas", buckets=1000)
    expected = [chairs, sofas, chairs, NAN, NAN, bucket("lamp", "Chairs", buckets=1000), NAN]
    assert found.tolist() == pytest.approx(expected, nan_ok=True)


def test_every_query_part():
    query = Query("1", " Straße  Nord ", surface="app", time=1714586399.0)
    batch = candidates(DOCUMENTS, (query, [0]), (Query("2", "x"), [0]))
    for part, word in {
        "query.text": "strasse nord",
        "query.first_word": "strasse",
        "query.last_word": "nord",
        "query.surface": "app",
        "query.hour": "17",
    }.items():
        found = Cross(name="f", parts=("brand", part), buckets=2**24).values(batch)
        assert found[0] == bucket("Acme", word, buckets=2**24)
        assert math.isnan(found[1]) == (part in ("query.surface", "query.hour"))


def test_several_fields_are_told_apart():
    batch = candidates(DOCUMENTS, ("q", [0, 1, 2, 3, 0]))
    found = Cross(name="f", parts=("category", "brand"), buckets=997).values(batch)
    first, second = bucket("Sofas", "Acme", buckets=997), bucket("Chairs", "Acme", buckets=997)
    assert found.tolist() == pytest.approx([first, second, NAN, NAN, first], nan_ok=True)


@pytest.mark.parametrize("settings", [{"buckets": 1}, {"buckets": 2**24 + 1}, {"parts": ()}])
def test_settings_without_meaning_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        Cross(**{"name": "f", "parts": ("category",), **settings})
