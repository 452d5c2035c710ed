"""The servers that tests run against are what they claim to be."""

import json
import re
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines.assembly import UnavailableError
from tests.engines.containers import IMAGES
from tests.engines.processes import kill, revive, start, stop
from tests.engines.servers import VERSIONS, Server, server_at

ROOT = Path(__file__).resolve().parents[2]
# Components of Elasticsearch's complete distribution, with rules as a shop writes them.
ANALYSIS = {
    "char_filter": {
        "signs": {"type": "mapping", "mappings": ["& => \\u0020and\\u0020", "ph=>f"]},
        "ranges": {"type": "pattern_replace", "pattern": "(\\d+)-(\\d+)", "replacement": "$1_$2"},
    },
    "filter": {
        "possessive": {"type": "stemmer", "language": "possessive_english"},
        "english": {"type": "stemmer", "language": "english"},
        "snowball": {"type": "snowball", "language": "English"},
        "german": {"type": "stemmer", "language": "german2"},
        "light_german": {"type": "stemmer", "language": "light_german"},
        "synonyms": {
            "type": "synonym_graph",
            "synonyms": ["TV, television set", "Runners => sneakers"],
        },
        "one_way": {"type": "synonym", "synonyms": ["telly, tv"], "expand": False},
        "short": {"type": "truncate", "length": 4},
        "long": {"type": "length", "min": 3},
        "parts": {"type": "dictionary_decompounder", "word_list": ["dampf", "schiff"]},
    },
    "analyzer": {
        "products": {
            "tokenizer": "standard",
            "char_filter": ["signs", "ranges"],
            "filter": ["lowercase", "asciifolding", "possessive", "english", "synonyms"],
        },
        "snowball": {"tokenizer": "whitespace", "filter": ["lowercase", "snowball", "unique"]},
        "deutsch": {"tokenizer": "standard", "filter": ["lowercase", "german"]},
        "leicht": {"tokenizer": "standard", "filter": ["lowercase", "light_german", "long"]},
        "teile": {"tokenizer": "standard", "filter": ["lowercase", "parts"]},
        "one_way": {"tokenizer": "pattern", "filter": ["lowercase", "one_way", "short"]},
        "page": {"tokenizer": "whitespace", "char_filter": ["html_strip"]},
    },
    "normalizer": {"exact": {"type": "custom", "filter": ["lowercase", "asciifolding"]}},
}


def ask(url: str, method: str = "GET", body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def wait_for(answer: Callable[[], Any], seconds: float = 60) -> Any:
    until = time.monotonic() + seconds
    while True:
        try:
            return answer()
        except urllib.error.HTTPError as error:
            error.close()
            if error.code != 503 or time.monotonic() > until:
                raise
            time.sleep(0.2)


def test_each_server_answers_with_the_version_asked_for(server: Server):
    assert server.version == VERSIONS[server.kind]
    assert server_at(server.kind, server.url) == server


@pytest.fixture(scope="module")
def analysed_index(elasticsearch_server: Server) -> Iterator[str]:
    url = f"{elasticsearch_server.url}/analysis-{secrets.token_hex(4)}"
    ask(url, "PUT", {"settings": {"number_of_replicas": 0, "analysis": ANALYSIS}})
    yield url
    ask(url, "DELETE")


@pytest.mark.parametrize(
    ("analyzer", "text", "tokens"),
    [
        # "the" is a stop word and leaves a hole; the built-in analyser does not fold accents.
        ("english", "The running foxes' café", [("run", 1), ("fox", 2), ("café", 3)]),
        ("german", "Die Häuser der Straße", [("haus", 1), ("strass", 3)]),
        # Stemmed and folded: a rule's own words go through the same chain, so "TV" matches "tv",
        # "television set" becomes "televis set", and "sneakers" comes out as "sneaker".
        (
            "products",
            "Philip's cafés TV runners & 12-13",
            [
                ("philip", 0),
                ("cafe", 1),
                ("televis", 2),
                ("tv", 2),
                ("set", 3),
                ("sneaker", 4),
                ("and", 5),
                ("12_13", 6),
            ],
        ),
        ("products", "a phone", [("a", 0), ("fone", 1)]),
        ("snowball", "generously Generous boxes box", [("generous", 0), ("box", 1)]),
        ("deutsch", "Häuser schön", [("haus", 0), ("schon", 1)]),
        ("leicht", "Häuser ab", [("haus", 0)]),
        ("teile", "Dampfschiff", [("dampfschiff", 0), ("dampf", 0), ("schiff", 0)]),
        ("one_way", "TV, cupboards", [("tell", 0), ("cupb", 1)]),
        ("page", "<b>Red</b> shoe", [("Red", 0), ("shoe", 1)]),
    ],
)
def test_elasticsearch_has_the_analysis_of_the_complete_distribution(
    analysed_index: str, analyzer: str, text: str, tokens: list[tuple[str, int]]
):
    answer = ask(f"{analysed_index}/_analyze", "POST", {"analyzer": analyzer, "text": text})
    assert [(token["token"], token["position"]) for token in answer["tokens"]] == tokens


def test_elasticsearch_normalises_keywords_with_the_same_filters(analysed_index: str):
    answer = ask(f"{analysed_index}/_analyze", "POST", {"normalizer": "exact", "text": "Été X"})
    assert [token["token"] for token in answer["tokens"]] == ["ete x"]


@pytest.fixture
def cores(solr_server: Server) -> Iterator[tuple[str, str]]:
    names = tuple(f"core-{secrets.token_hex(4)}" for _ in range(2))
    admin = f"{solr_server.url}/admin/cores"
    for name in names:
        ask(f"{admin}?action=CREATE&name={name}&configSet=_default")
    yield names
    for name in names:
        ask(f"{admin}?action=UNLOAD&core={name}&deleteInstanceDir=true")


def test_solr_makes_fills_and_swaps_cores(solr_server: Server, cores: tuple[str, str]):
    live, built = (f"{solr_server.url}/{name}" for name in cores)
    field_type = {
        "name": f"text-{cores[0]}",
        "class": "solr.TextField",
        "analyzer": {
            "tokenizer": {"name": "standard"},
            "filters": [{"name": "lowercase"}, {"name": "porterStem"}],
        },
    }
    field = {"name": f"title-{cores[0]}", "type": field_type["name"]}
    ask(f"{built}/schema", "POST", {"add-field-type": field_type, "add-field": field})
    ask(f"{built}/update?commit=true", "POST", [{"id": "1", field["name"]: "Running shoes"}])
    found = f"select?q={field['name']}:run&fl=id"
    assert [row["id"] for row in ask(f"{built}/{found}")["response"]["docs"]] == ["1"]
    assert ask(f"{built}/get?id=1&fl=id")["doc"] == {"id": "1"}
    assert ask(f"{live}/select?q=*:*")["response"]["numFound"] == 0

    swap = f"action=SWAP&core={cores[0]}&other={cores[1]}"
    ask(f"{solr_server.url}/admin/cores?{swap}")
    assert [row["id"] for row in ask(f"{live}/{found}")["response"]["docs"]] == ["1"]
    assert ask(f"{built}/select?q=*:*")["response"]["numFound"] == 0


def test_solr_cloud_puts_an_alias_over_a_collection(solr_cloud_server: Server):
    admin = f"{solr_cloud_server.url}/admin/collections"
    name = f"collection-{secrets.token_hex(4)}"
    shape = "numShards=2&collection.configName=_default"
    ask(f"{admin}?action=CREATE&name={name}&{shape}")
    try:
        ask(f"{admin}?action=CREATEALIAS&name={name}-alias&collections={name}")
        update = f"{solr_cloud_server.url}/{name}-alias/update?commit=true"
        ask(update, "POST", [{"id": str(row)} for row in range(5)])
        found = ask(f"{solr_cloud_server.url}/{name}/select?q=*:*")["response"]["numFound"]
        ask(f"{admin}?action=DELETEALIAS&name={name}-alias")
    finally:
        ask(f"{admin}?action=DELETE&name={name}")
    assert found == 5


@pytest.mark.full
def test_a_killed_server_comes_back_with_its_data_and_a_stopped_one_leaves_nothing():
    try:
        process = start("solr", VERSIONS["solr"])
    except UnavailableError as error:
        pytest.skip(str(error))
    try:
        ask(f"{process.url}/admin/cores?action=CREATE&name=kept&configSet=_default")
        ask(f"{process.url}/kept/update?commit=true", "POST", [{"id": "1"}])
        kill(process)
        with pytest.raises(OSError, match="refused"):
            ask(f"{process.url}/kept/select?q=*:*")
        process = revive(process)
        # Solr answers 503 for a core that it is still loading.
        found = wait_for(lambda: ask(f"{process.url}/kept/select?q=*:*"))
        assert found["response"]["numFound"] == 1
    finally:
        stop(process)
    assert not process.folder.exists()


def test_compose_starts_the_images_and_versions_of_the_tests():
    text = (ROOT / "compose.yaml").read_text("utf-8")
    named = set(re.findall(r"^ +image: (\S+)$", text, flags=re.MULTILINE))
    assert named == {f"{image.name}:{VERSIONS[kind]}" for kind, image in IMAGES.items()}
