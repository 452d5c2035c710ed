"""A running index of others and the team's own query become a configuration that works."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from cascade.cli.adopt import adopt as command
from cascade.config import load_config
from cascade.engines.adoption import detect
from cascade.errors import InputError
from cascade.schema import load_schema
from cascade.workflows.adopt import Takeover, adopt

pytestmark = pytest.mark.full

SETTINGS = {
    "analysis": {
        "filter": {
            "stems": {"type": "stemmer", "language": "english"},
            "same": {"type": "synonym_graph", "synonyms": ["sofa, couch", "telly => television"]},
        },
        "analyzer": {
            "shop": {
                "type": "custom",
                "tokenizer": "standard",
                "filter": ["lowercase", "same", "stems"],
            }
        },
    }
}
PROPERTIES = {
    "name": {
        "type": "text",
        "analyzer": "shop",
        "fields": {"raw": {"type": "keyword"}, "exact": {"type": "text"}},
    },
    "about": {"type": "text"},
    "hidden words": {"type": "text", "analyzer": "shop"},
    "code": {"type": "keyword"},
    "maker": {"type": "keyword"},
    "price": {"type": "float"},
    "stocked": {"type": "boolean"},
    "added": {"type": "date"},
    "seller": {"properties": {"town": {"type": "text"}}},
}
PRODUCTS = [
    {
        "name": f"{colour} {thing}",
        "code": f"p{at}",
        "about": f"a {thing} that is {colour}",
        "maker": "acme",
        "price": 10 + at,
        "stocked": True,
        "added": "2024-02-29",
        "seller": {"town": "Rome"},
    }
    for at, (colour, thing) in enumerate(
        (c, t) for c in ("red", "green", "blue") for t in ("couch", "dress", "lamp", "television")
    )
]
SEARCH = {
    "query": {
        "bool": {
            "must": {
                "multi_match": {
                    "query": "red dress",
                    "fields": ["name^3", "name.exact^2", "about", "seller.town"],
                    "minimum_should_match": "50%",
                }
            },
            "should": [{"match_phrase": {"name": {"query": "red dress", "boost": 4}}}],
            "filter": [{"term": {"stocked": True}}, {"exists": {"field": "name.raw"}}],
        }
    },
    "size": 48,
    "aggs": {"makers": {"terms": {"field": "maker"}}},
}


@pytest.fixture(scope="module", params=["elasticsearch", "opensearch"])
def server(request: pytest.FixtureRequest):
    return request.getfixturevalue(f"{request.param}_server")


@pytest.fixture(scope="module")
def index(server) -> Iterator[str]:
    name = f"adopted-{uuid.uuid4().hex[:8]}"
    with httpx.Client(base_url=server.url, timeout=60) as client:
        body = {"settings": SETTINGS, "mappings": {"properties": PROPERTIES}}
        client.put(f"/{name}", json=body).raise_for_status()
        for at, product in enumerate(PRODUCTS):
            client.put(f"/{name}/_doc/p{at}", json=product).raise_for_status()
        client.post(f"/{name}/_refresh")
        yield name
        client.delete(f"/{name}")


def search_file(folder: Path, body: dict = SEARCH) -> Path:
    path = folder / "existing.json"
    path.write_text(json.dumps(body))
    return path


def test_a_server_says_what_it_is(server, solr_server):
    assert detect(server.url) == server.kind
    assert detect(f"{solr_server.url}/") == "solr"
    with pytest.raises(InputError, match="give that as --engine-url"):
        detect(solr_server.url.removesuffix("/solr"))


def test_the_folder_works_and_says_what_was_not_understood(server, index, tmp_path: Path):
    folder = tmp_path / "mine"
    done = adopt(Takeover(server.url, index, search_file(tmp_path)), folder)
    assert done.kind == server.kind
    assert {path.name for path in done.files} == {
        "cascade.toml",
        "query.json",
        "schema.toml",
        "synonyms.txt",
    }
    config = next(iter(load_config(folder / "cascade.toml", ()).values()))
    assert (config.settings.engine.owned, config.settings.engine.index) == (False, index)
    schema = load_schema(folder / "schema.toml")
    assert {
        f.name: (str(f.kind), f.boost if str(f.kind) == "text" else None) for f in schema.fields
    } == {
        "name": ("text", 5.0),
        "name_raw": ("keyword", None),
        "about": ("text", 1.0),
        "hidden_words": ("text", 0.0),
        "code": ("keyword", None),
        "maker": ("keyword", None),
        "price": ("number", None),
        "stocked": ("keyword", None),
        "added": ("date", None),
    }
    assert schema.by_name["name"].analyser == "english"
    assert schema.by_name["about"].analyser == "plain"
    assert schema.by_name["hidden_words"].source == ("hidden words",)
    assert (folder / "synonyms.txt").read_text() == "sofa, couch\ntelly => television\n"
    template = json.loads((folder / "query.json").read_text())
    assert template.keys() == {"query"}
    told = template["query"]["bool"]
    assert told["must"]["multi_match"]["query"] == "{{query}}"
    assert told["should"][0]["match_phrase"]["name"] == {"query": "{{query}}", "boost": 4}
    assert told["filter"] == SEARCH["query"]["bool"]["filter"]
    notes = "\n".join(done.notes)
    assert "term under filter: kept in the template for every text" in notes
    assert "seller: a field of type object is not taken over; the search looks into" in notes
    assert "name: the search looks into name, name.exact; they are one field here" in notes
    written = (folder / "cascade.toml").read_text()
    assert "# minimum_match = 0.5" in written
    assert "# phrase_boost = 4.0" in written
    # Every document's code is its id, no document's maker is.
    assert '# id_field = "code"' in written
    assert [stage.ranker for stage in config.settings.stages] == ["linear", "trees"]
    # Every text that is asked for finds what it was taken from, and the schema sees why.
    assert done.blind.rows >= done.blind.queries > 3
    assert (done.blind.share, done.blind.unread) == (0.0, 0)


def test_rows_that_the_schema_cannot_explain_are_counted(server, index, tmp_path: Path):
    takeover = Takeover(server.url, index, search_file(tmp_path), queries=("rome", "red", "sofa"))
    done = adopt(takeover, tmp_path / "mine")
    # All 12 products are sold in Rome, which no field of the schema has; 4 are red, 3 couches.
    assert (done.blind.rows, done.blind.blind) == (19, 12)
    assert {text for text, _ in done.blind.examples} == {"rome"}
    asked = tmp_path / "asked.txt"
    asked.write_text("rome\nred\n")
    told = told_by_command(server, index, tmp_path, "warned", "--queries", str(asked))
    assert "12 of 16 rows found (75.0%) have no term of their query" in told
    assert "Warning: above 5%, the engine matches by something that the schema does not" in told
    assert "'rome' finds p" in told
    told = told_by_command(server, index, tmp_path, "clean", "--kind", server.kind)
    assert "searched name, about" in told
    assert "\n0 of " in told
    assert "Warning" not in told


def told_by_command(server, index: str, folder: Path, name: str, *more: str) -> str:
    result = CliRunner().invoke(
        command,
        [
            *("--engine-url", server.url, "--index", index, "--folder", str(folder / name)),
            *("--query", str(search_file(folder)), *more),
        ],
        env={"COLUMNS": "200"},
    )
    assert result.exit_code == 0, result.output
    return result.output


def test_an_empty_folder_is_filled_where_one_stands(server, index, tmp_path, monkeypatch):
    search = search_file(tmp_path)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    adopt(Takeover(server.url, index, search), Path("."))
    assert Path("cascade.toml").is_file()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.fixture
def solr_core(solr_server) -> Iterator[str]:
    name = f"adopted-{uuid.uuid4().hex[:8]}"
    kind = {
        "name": "adopted_text",
        "class": "solr.TextField",
        "analyzer": {
            "tokenizer": {"name": "standard"},
            "filters": [
                {"name": "lowercase"},
                {"name": "snowballPorter", "language": "English"},
            ],
        },
    }
    fields = [
        {"name": "adopted_name", "type": "adopted_text", "stored": True},
        {"name": "adopted_maker", "type": "string", "stored": True},
        {"name": "adopted_all", "type": "adopted_text", "stored": False, "multiValued": True},
        {"name": "adopted_secret", "type": "adopted_text", "stored": False},
    ]
    with httpx.Client(base_url=solr_server.url, timeout=60) as client:
        admin = {"action": "CREATE", "name": name, "configSet": "_default"}
        client.get("/admin/cores", params=admin).raise_for_status()
        copy = {"source": "adopted_name", "dest": "adopted_all"}
        commands = {"add-field-type": kind, "add-field": fields, "add-copy-field": copy}
        answer = client.post(f"/{name}/schema", json=commands)
        assert answer.is_success, answer.text
        products = [
            {
                "id": f"p{at}",
                "adopted_name": product["name"],
                "adopted_maker": "acme",
                "adopted_secret": "rome",
            }
            for at, product in enumerate(PRODUCTS)
        ]
        client.post(f"/{name}/update?commit=true", json=products).raise_for_status()
        yield name
        client.post(f"/{name}/schema", json={"delete-copy-field": copy})
        gone = [{"name": field["name"]} for field in fields]
        client.post(f"/{name}/schema", json={"delete-field": gone})
        client.post(f"/{name}/schema", json={"delete-field-type": {"name": kind["name"]}})
        unload = dict.fromkeys(("deleteIndex", "deleteDataDir", "deleteInstanceDir"), "true")
        client.get("/admin/cores", params={"action": "UNLOAD", "core": name, **unload})


def test_a_solr_is_taken_over(solr_server, solr_core, tmp_path: Path):
    search = {
        "defType": "edismax",
        "q": "red dress",
        "qf": "adopted_name^3 adopted_all",
        "pf": "adopted_name^6",
        "mm": "50%",
        "rows": "20",
        "fq": ["adopted_maker:acme"],
    }
    folder = tmp_path / "mine"
    done = adopt(Takeover(solr_server.url, solr_core, search_file(tmp_path, search)), folder)
    schema = load_schema(folder / "schema.toml")
    assert schema.id == "id"
    name, everything = schema.by_name["adopted_name"], schema.by_name["adopted_all"]
    assert (name.boost, name.analyser) == (3.0, "english")
    assert (everything.boost, everything.source) == (1.0, ("adopted_name",))
    assert json.loads((folder / "query.json").read_text()) == {
        "params": {
            "defType": "edismax",
            "q": "{{query}}",
            "qf": "adopted_name^3 adopted_all",
            "pf": "adopted_name^6",
            "mm": "50%",
        },
        "filter": ["adopted_maker:acme"],
    }
    assert (done.blind.share, done.blind.unread) == (0.0, 0)
    assert done.blind.rows >= done.blind.queries > 3


def test_what_a_solr_does_not_store_is_what_the_schema_cannot_see(solr_server, solr_core, tmp_path):
    search = {"defType": "edismax", "q": "red", "qf": "adopted_name adopted_secret"}
    file = search_file(tmp_path, search)
    done = adopt(
        Takeover(solr_server.url, solr_core, file, queries=("rome", "red")), tmp_path / "mine"
    )
    # All 12 are found by the words that the index has and does not give; 4 are red.
    assert (done.blind.rows, done.blind.blind) == (16, 12)
