"""The index of a shop as others make it: their mapping, their client, their search."""

import json
import uuid
from dataclasses import dataclass
from pathlib import Path

import httpx

from cascade.shop import ShopFiles, ShopSpec, write_shop

SPEC = ShopSpec(listings=600, sellers=30, queries=120, sessions=30)
WORDS = ("title", "tags", "description")
CODES = ("category", "brand", "material", "colour")
NUMBERS = ("price", "margin", "stock", "rating", "reviews", "photos", "favourites")
UPDATED = "2026-01-01T00:00:00Z"


def make_shop(folder: Path) -> ShopFiles:
    return write_shop(SPEC, folder)


def listings(files: ShopFiles) -> list[dict]:
    """Return the shop's documents as it sends them to its server."""
    found = []
    for line in files.products.read_text().splitlines():
        given = json.loads(line)
        kept = {key: given[key] for key in (*WORDS, *CODES, *NUMBERS) if key in given}
        seller = {"code": given["seller"], "name": given["seller_name"]}
        added = {"active": True, "updated_at": UPDATED, "seller": seller}
        found.append({"sku": given["id"], **kept, "created": given["created"], **added})
    return found


def rest_mapping(synonyms: list[str]) -> dict:
    """Return the body that makes the index on Elasticsearch or OpenSearch."""
    stems = {"type": "stemmer", "language": "english"}
    same = {"type": "synonym_graph", "synonyms": synonyms}
    written = {"tokenizer": "standard", "filter": ["lowercase", "stems"]}
    asked = {"tokenizer": "standard", "filter": ["lowercase", "same", "stems"]}
    analysis = {
        "filter": {"stems": stems, "same": same},
        "analyzer": {
            "written": {"type": "custom", **written},
            "asked": {"type": "custom", **asked},
        },
    }
    text = {"type": "text", "analyzer": "written", "search_analyzer": "asked"}
    seller = {"code": {"type": "keyword"}, "name": {"type": "text"}}
    properties = {
        "sku": {"type": "keyword"},
        "title": {**text, "fields": {"raw": {"type": "keyword"}}},
        "tags": {**text, "fields": {"raw": {"type": "keyword"}}},
        "description": {"type": "text", "analyzer": "english"},
        **{name: {"type": "keyword"} for name in CODES},
        **{name: {"type": "float"} for name in NUMBERS},
        "active": {"type": "boolean"},
        "created": {"type": "date"},
        "updated_at": {"type": "date"},
        "seller": {"type": "nested", "properties": seller},
    }
    index = {"number_of_shards": 1, "number_of_replicas": 0, "analysis": analysis}
    return {"settings": index, "mappings": {"properties": properties}}


@dataclass
class RestIndex:
    """An index of others on Elasticsearch or OpenSearch, written by plain HTTP."""

    url: str
    kind: str
    files: ShopFiles
    name: str = ""
    random_ids: bool = False
    updated = "updated_at"

    def __post_init__(self):
        self.name = f"foreign-{uuid.uuid4().hex[:8]}"
        self.http = httpx.Client(base_url=self.url, timeout=60)
        self.make()

    def make(self):
        lines = self.files.synonyms.read_text().splitlines()
        synonyms = [line for line in lines if line and not line.startswith("#")]
        self.http.put(f"/{self.name}", json=rest_mapping(synonyms)).raise_for_status()
        self.put(listings(self.files))

    def put(self, documents: list[dict]):
        lines = []
        for document in documents:
            named = {} if self.random_ids else {"_id": document["sku"]}
            lines += [json.dumps({"index": named}), json.dumps(document)]
        answer = self.http.post(
            f"/{self.name}/_bulk?refresh=true",
            content="\n".join([*lines, ""]),
            headers={"content-type": "application/x-ndjson"},
        )
        assert not answer.json()["errors"], answer.text

    def delete(self, doc_id: str):
        self.http.delete(f"/{self.name}/_doc/{doc_id}?refresh=true").raise_for_status()

    def remake(self):
        self.http.delete(f"/{self.name}").raise_for_status()
        self.make()

    def standing(self) -> dict:
        """Return all that a writer would have changed: mapping, settings, aliases, counts."""
        stats = self.http.get(f"/{self.name}/_stats/indexing,docs").json()["_all"]["primaries"]
        written = {key: stats["indexing"][key] for key in ("index_total", "delete_total")}
        return {**self.http.get(f"/{self.name}").json(), "docs": stats["docs"], **written}

    def search(self) -> dict:
        """Return the body that the shop sends."""
        fields = ["title^3", "tags^1.5", "description"]
        ask = {"query": "silver ring", "fields": fields, "type": "most_fields"}
        phrase = {"title": {"query": "silver ring", "boost": 2}}
        clauses = {
            "must": [{"multi_match": {**ask, "minimum_should_match": "1"}}],
            "should": [{"match_phrase": phrase}],
            "filter": [{"term": {"active": True}}],
        }
        return {
            "query": {"bool": clauses},
            "size": 24,
            "aggs": {"b": {"terms": {"field": "brand"}}},
        }

    def close(self):
        self.http.delete(f"/{self.name}")
        self.http.close()


@dataclass
class SolrIndex:
    """A core of others, written by plain HTTP; its fields have names of their own."""

    url: str
    files: ShopFiles
    kind = "solr"
    name: str = ""

    def __post_init__(self):
        self.name = f"foreign-{uuid.uuid4().hex[:8]}"
        self.spare = f"{self.name}-spare"
        # Cores of one configset share its fields.
        self.prefix = f"{self.name.replace('-', '_')}_"
        self.updated = f"{self.prefix}updated_at"
        self.http = httpx.Client(base_url=self.url, timeout=60)
        self.make()

    def make(self):
        self.admin("CREATE", name=self.name, configSet="_default")
        commands = {"add-field-type": self.types(), "add-field": self.fields()}
        answer = self.http.post(f"/{self.name}/schema", json=commands)
        assert answer.is_success, answer.text
        self.put(listings(self.files))

    def types(self) -> list[dict]:
        stems = {"name": "snowballPorter", "language": "English"}
        reads = {"tokenizer": {"name": "standard"}, "filters": [{"name": "lowercase"}, stems]}
        classes = {"float": "FloatPointField", "bool": "BoolField", "date": "DatePointField"}
        text = {"name": f"{self.prefix}text", "class": "solr.TextField", "analyzer": reads}
        return [
            text,
            *(
                {"name": f"{self.prefix}{name}", "class": f"solr.{cls}", "docValues": True}
                for name, cls in classes.items()
            ),
        ]

    def fields(self) -> list[dict]:
        own = {
            **dict.fromkeys(WORDS, f"{self.prefix}text"),
            **dict.fromkeys(CODES, "string"),
            **dict.fromkeys(NUMBERS, f"{self.prefix}float"),
            **dict.fromkeys(("created", "updated_at"), f"{self.prefix}date"),
            "active": f"{self.prefix}bool",
        }
        return [
            {"name": f"{self.prefix}{name}", "type": kind, "multiValued": name == "tags"}
            for name, kind in own.items()
        ]

    def put(self, documents: list[dict], core: str = ""):
        sent = []
        for document in documents:
            known = {k: v for k, v in document.items() if k not in ("sku", "seller")}
            if "created" in known:
                known["created"] += "T00:00:00Z"
            named = {f"{self.prefix}{key}": value for key, value in known.items()}
            sent.append({"id": document["sku"], **named})
        path = f"/{core or self.name}/update?commit=true"
        self.http.post(path, json=sent).raise_for_status()

    def delete(self, doc_id: str):
        self.http.post(f"/{self.name}/update?commit=true", json={"delete": [doc_id]})

    def remake(self):
        """Fill another core and swap it in, as is done where there are no aliases."""
        self.admin("CREATE", name=self.spare, configSet="_default")
        self.put(listings(self.files), self.spare)
        self.admin("SWAP", core=self.name, other=self.spare)

    def standing(self) -> dict:
        schema = self.http.get(f"/{self.name}/schema").json()["schema"]
        index = self.http.get(f"/{self.name}/admin/luke", params={"numTerms": 0}).json()["index"]
        told = ("numDocs", "maxDoc", "deletedDocs", "version", "segmentCount", "lastModified")
        own = [field for field in schema["fields"] if field["name"].startswith(self.prefix)]
        return {"fields": own, "index": {key: index.get(key) for key in told}}

    def search(self) -> dict:
        fields = {"qf": "title^3 tags^1.5 description", "pf": "title^2"}
        prefixed = {
            key: " ".join(f"{self.prefix}{part}" for part in value.split())
            for key, value in fields.items()
        }
        filters = f"{self.prefix}active:true"
        found = {"defType": "edismax", "q": "silver ring", **prefixed, "tie": "0.1"}
        return {**found, "mm": "1", "fq": filters, "rows": 24}

    def admin(self, action: str, **params: str):
        self.http.get("/admin/cores", params={"action": action, **params}).raise_for_status()

    def close(self):
        gone = {
            "delete-field": [{"name": field["name"]} for field in self.fields()],
            "delete-field-type": [{"name": kind["name"]} for kind in self.types()],
        }
        self.http.post(f"/{self.name}/schema", json=gone)
        folders = dict.fromkeys(("deleteIndex", "deleteDataDir", "deleteInstanceDir"), "true")
        for core in (self.name, self.spare):
            self.http.get("/admin/cores", params={"action": "UNLOAD", "core": core, **folders})
        self.http.close()
