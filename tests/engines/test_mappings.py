"""What servers make of a text is what `cascade.text` makes of it, in every index of ours."""

import re
import uuid
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import httpx
import orjson
import pytest

from cascade.engines.connection import IndexShape
from cascade.engines.mappings import differences, document_solr, render, render_solr
from cascade.schema import Schema, parse_schema
from cascade.shop.documents import write_documents
from cascade.shop.lexicon import lexicon
from cascade.shop.listings import make_listings
from cascade.shop.sellers import make_sellers
from cascade.shop.spec import ShopSpec, stream
from cascade.shop.truth import synonym_groups, write_synonyms
from cascade.shop.wording import word_listings
from cascade.text import analyser

pytestmark = pytest.mark.full

LISTINGS = 90
HARD = [
    *("red_dress", "Color:Red", "o'neill's", "3.5mm x 1,000", "naïve café", "Größe", "don’t"),
    *("½ cup", "ＦＵＬＬ width", "😀 smile🎉", "日本語テキスト ひらがな カタカナ", "ｶﾞﾗｽ ﾊﾟﾝ"),
    *("a" * 120, "a" * 5000, "b" * 99 + "éé", "end.Start 1.5.2 a.b 5.x x.5 3,x 1,5", "Łódź Ørsted"),
    *(
        "cafe\u0301 u\u0308ber na\u0308ive",
        "ﬁne ﬂow",
        "soft\u00adhyphen zero\u200bwidth",
        "10²cm ①②",
    ),
    *("™ brand™ x®", "straße STRASSE ẞ", "İstanbul ıssız", "ΟΔΟΣ οδός ΣΑΣ", "Й и\u0306 ё Ё"),
    *(
        "women's kids' 'quoted' l's",
        "1'000 l'été rock'n'roll",
        "№5 ℡ Ⅳ ㎏ 5㎏ ㈱",
        "हिन्दी ไทย عربية עברית 한국어",
    ),
    *("organic organizers", "university universities", "internal international", "pasted evenings"),
    *(
        "psychologist's geologists",
        "vying added",
        "skies dying news ugly",
        "market budget bracelets",
    ),
    *("Bäuerin Lehrerinnen Bauer", "Handtaschen Mädchen System Systeme", "poet quer neue aktuell"),
    *(
        "",
        " ",
        "...",
        "'",
        "a'b'c",
        "1.2.3,4",
        "x" * 101 + " y",
        "\u2019tis",
        "ñandú Ångström œuvre",
    ),
]
# The synonyms of `RULES` at work: the longest wins, a kept term keeps its parts, stems meet.
REPLACED = [
    *("couch and settee", "flat screen tv stand", "tv screens", "tees", "t-shirts and T shirt"),
    *("going out tops", "go out tonight", "red dress, long", "gowns", "colleges", "tellys set"),
    *("flat screen", "flat screen flat screen tv", "hdd or harddisk", "screen tv stand"),
]
RULES = r"""
sofa, couch, settee
t shirt, tee, t-shirt
flat screen tv => television
screen tv, monitor
telly => television set
red dress\, long, gown
universities, colleges
going out => party
hard drive, hdd
hdd, harddisk
"""
# What a server's character filter has no rule for: forms that shops hardly write.
KNOWN = {
    "a mathematical letter": "\U0001d412\U0001d400\U0001d40b\U0001d404",
    "an Arabic letter in its form within a word": "\ufee3\ufedc\ufe98\ufe90",
    "Korean syllables in letters": "\u1112\u1161\u11ab",
    "an ideograph for compatibility": "\u8c48 \uf900",
    "a mark of another script behind a Latin letter": "o\u0308\u20d2",
}


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Titles, descriptions and shop names as the demo marketplace writes them, and hard ones."""
    spec, lex = ShopSpec(listings=LISTINGS), lexicon()
    cast = make_sellers(spec, lex), lex
    listings = make_listings(stream(spec.seed, "listings", 0), LISTINGS, *cast)
    rng = stream(spec.seed, "wording", 0)
    wording = word_listings(rng, listings, *cast)
    lines = write_documents(rng, 0, listings, wording, cast).splitlines()
    documents = [orjson.loads(line) for line in lines]
    keys = ("title", "description", "seller_name")
    return [document[key] for document in documents for key in keys] + HARD + REPLACED


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Schema:
    folder = tmp_path_factory.mktemp("mappings")
    write_synonyms(folder / "shop.txt", synonym_groups(ShopSpec(), lexicon()))
    (folder / "rules.txt").write_text(RULES, encoding="utf-8")
    fields = {
        "mapped_english": {"type": "text"},
        "mapped_shop": {"type": "text", "synonyms": "shop.txt"},
        "mapped_rules": {"type": "text", "synonyms": "rules.txt"},
        "mapped_german": {"type": "text", "analyser": "german"},
        "mapped_plain": {"type": "text", "analyser": "plain"},
        "mapped_keyword": {"type": "keyword", "roles": ["filtered", "catalogue"]},
        "mapped_number": {"type": "number"},
        "mapped_unfiltered": {"type": "number", "roles": ["shown", "catalogue"]},
        "mapped_date": {"type": "date"},
    }
    return parse_schema({"fields": fields}, folder / "schema.toml")


def terms(schema: Schema, field: str, text: str) -> list[str]:
    spec = schema.by_name[field]
    return analyser(spec.analyser, spec.synonyms).tokens(text)


def batched(texts: list[str], size: int) -> list[list[str]]:
    return [texts[at : at + size] for at in range(0, len(texts), size)]


TEXT_FIELDS = ["english", "shop", "rules", "german", "plain"]


@pytest.fixture(scope="module", params=["elasticsearch", "opensearch"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def index(kind: str, request: pytest.FixtureRequest, schema: Schema) -> Iterator[httpx.Client]:
    server = request.getfixturevalue(f"{kind}_server")
    path = f"{server.url}/mapped-{uuid.uuid4().hex[:8]}"
    with httpx.Client(base_url=path, timeout=60) as client:
        body = render(kind, schema, IndexShape(), {"generation": "products-000007"})
        client.put("", json=body).raise_for_status()
        yield client
        client.delete("")


def analysed(index: httpx.Client, field: str, text: str | list[str]) -> list[tuple[str, int]]:
    """Return each token of a text, or of several one after the other, and its position."""
    answer = index.post("/_analyze", json={"field": field, "text": text})
    tokens = answer.raise_for_status().json()["tokens"]
    return [(token["token"], token["position"]) for token in tokens]


@pytest.mark.parametrize("field", TEXT_FIELDS)
def test_every_text_gives_the_same_terms(index, schema, texts, field):
    differ = {}
    for some in batched(texts, 30):
        wanted = [term for text in some for term in terms(schema, f"mapped_{field}", text)]
        if [term for term, _ in analysed(index, f"mapped_{field}", some)] == wanted:
            continue
        for text in some:
            found = [term for term, _ in analysed(index, f"mapped_{field}", text)]
            if found != terms(schema, f"mapped_{field}", text):
                differ[text] = found
    assert differ == {}
    assert len(texts) > 300


@pytest.mark.parametrize("text", REPLACED)
def test_what_synonyms_leave_stands_side_by_side(index, schema, text):
    wanted = terms(schema, "mapped_rules", text)
    assert analysed(index, "mapped_rules", text) == list(zip(wanted, count(), strict=False))


@pytest.mark.parametrize("what", KNOWN)
def test_what_is_known_to_differ_does(index, schema, what):
    found = [term for term, _ in analysed(index, "mapped_english", KNOWN[what])]
    assert found != terms(schema, "mapped_english", KNOWN[what])


def test_the_index_is_as_its_schema_says_until_the_schema_changes(index, kind, schema):
    answer = next(iter(index.get("").json().values()))
    live = {
        "mappings": answer["mappings"],
        "settings": {"analysis": answer["settings"]["index"]["analysis"]},
    }
    rendered = render(kind, schema, IndexShape(), {})
    assert live["mappings"]["_meta"] == {"generation": "products-000007"}
    assert differences(rendered, live) == []
    fields = {"mapped_english": {"type": "text"}, "mapped_number": {"type": "keyword"}}
    other = render(kind, parse_schema({"fields": fields}, Path("x")), IndexShape(), {})
    found = differences(other, live)
    assert "fields.mapped_number.type: is 'double' in the index, 'keyword' in the schema" in found
    assert "fields.mapped_date: is in the index and not in the schema" in found


@pytest.fixture(scope="module")
def solr_index(solr_server, schema: Schema) -> Iterator[httpx.Client]:
    core = f"mapped-{uuid.uuid4().hex[:8]}"
    rendered = render_solr(schema, IndexShape(), {})
    with httpx.Client(base_url=solr_server.url, timeout=60) as client:
        admin = {"action": "CREATE", "name": core, "configSet": "_default"}
        client.get("/admin/cores", params=admin).raise_for_status()
        # Cores of one configset share its types; other tests may have added them.
        there = {t["name"] for t in client.get(f"/{core}/schema/fieldtypes").json()["fieldTypes"]}
        held = {f["name"] for f in client.get(f"/{core}/schema/fields").json()["fields"]}
        types = [spec for spec in rendered.field_types if spec["name"] not in there]
        fields = [spec for spec in rendered.fields if spec["name"] not in held]
        answer = client.post(f"/{core}/schema", json={"add-field-type": types, "add-field": fields})
        assert answer.is_success, answer.text
        with httpx.Client(base_url=f"{solr_server.url}/{core}", timeout=60) as inside:
            yield inside
        mine = [{"name": s["name"]} for s in fields if s["name"].startswith("mapped_")]
        client.post(f"/{core}/schema", json={"delete-field": mine})
        gone = dict.fromkeys(("deleteIndex", "deleteDataDir", "deleteInstanceDir"), "true")
        client.get("/admin/cores", params={"action": "UNLOAD", "core": core, **gone})


@pytest.mark.parametrize("field", ["english", "rules", "german"])
def test_solr_keeps_the_terms_of_every_text_side_by_side(solr_index, schema, field):
    name = f"mapped_{field}"
    for text in HARD + REPLACED + list(KNOWN.values()):
        document = schema.document({"id": "1", name: text})
        (sent,) = document_solr(0, document, "g", schema).get(name, [""])
        form = {"analysis.fieldname": name, "analysis.fieldvalue": sent, "wt": "json"}
        answer = solr_index.post("/analysis/field", data=form).raise_for_status().json()
        parts = answer["analysis"]["field_names"][name].get("index", ["", []])
        found = [(token["text"], token["position"]) for token in parts[-1]]
        assert found == list(zip(terms(schema, name, text), count(1), strict=False))


def test_documents_are_taken_and_found(solr_index, schema):
    raw = {"id": "7", "mapped_rules": ["two couches", "tee"], "mapped_keyword": "k" * 9000}
    raw |= {"mapped_number": -0.0, "mapped_date": "2024-02-29T12:00:00.1234Z"}
    sent = document_solr(3, schema.document(raw), "g", schema)
    solr_index.post("/update?commit=true", json=[sent]).raise_for_status()

    def found(clause: str) -> int:
        form = {"q": clause, "fl": "id", "wt": "json"}
        return (
            solr_index.post("/select", data=form).raise_for_status().json()["response"]["numFound"]
        )

    assert found("{!term f=mapped_rules}sofa") == 1
    assert found("{!term f=mapped_rules}couch") == 0
    assert found('mapped_rules:"2 sofa"') == 0
    assert found('mapped_rules:"two sofa"') == 1
    assert found('mapped_rules:"sofa t"') == 0  # two values are far apart
    assert found("mapped_keyword:*") == 0
    assert found("mapped_number:[0.0 TO 0.0]") == 1
    assert found('mapped_date:"2024-02-29T12:00:00.123Z"') == 1
    assert found("cascade_row:3") == 1


def test_the_fields_of_a_solr_are_as_its_schema_says(solr_index, schema):
    live = solr_index.get("/schema").json()["schema"]
    rendered = render_solr(schema, IndexShape(), {}).commands()
    assert differences(rendered, live) == []
    rendered["add-field"][-1] = {**rendered["add-field"][-1], "type": "cascade_keyword"}
    (line,) = differences(rendered, live)
    assert re.search("mapped_date.type: is 'cascade_date' in the index", line)
