"""From a running index of others to ranked results, by the commands of docs/adopt.md."""

import difflib
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from cascade.candidates import Query
from cascade.config import load_config, open_cascade, open_engine, schema_of
from cascade.judgments import JudgmentColumns, read_judgments
from cascade.pipeline.trace import PageRequest
from cascade.workflows.progress import silent
from cascade.workflows.runs import BM25, full_rankings
from tests.engines.foreign_shop import RestIndex, SolrIndex, make_shop
from tests.test_docs import blocks_of, commands_of

pytestmark = pytest.mark.full

ROOT = Path(__file__).resolve().parents[2]
PAGE = blocks_of((ROOT / "docs" / "adopt.md").read_text("utf-8"))
MOST_COMMANDS, MOST_LINES, DEPTH = 10, 20, 100
COMMANDS = next(commands_of(b.code).splitlines() for b in PAGE if b.language == "console")
BEFORE, AFTER = [block.code for block in PAGE if block.language == "python"]


@dataclass
class Taken:
    """An index of others after the page's commands, up to the one that serves."""

    index: RestIndex | SolrIndex
    folder: Path
    before: dict
    said: dict[str, str]

    @property
    def path(self) -> Path:
        return self.folder / "mine" / "cascade.toml"

    def config(self, *overrides: str):
        return next(iter(load_config(self.path, overrides).values()))

    def run(self, command: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *shlex.split(command)],
            cwd=self.path.parent,
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, f"{command}: {done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr


def of_page(command: str, taken: Taken) -> str:
    """Return a command of the page for this server and index."""
    told = command.replace("http://localhost:9200", taken.index.url)
    return told.replace("--index products", f"--index {taken.index.name}")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory):
    return make_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module", params=["elasticsearch", "opensearch", "solr"])
def taken(request: pytest.FixtureRequest, files, tmp_path_factory) -> Iterator[Taken]:
    server = request.getfixturevalue(f"{request.param}_server")
    made = (
        SolrIndex(server.url, files)
        if server.kind == "solr"
        else RestIndex(server.url, server.kind, files)
    )
    folder = tmp_path_factory.mktemp("taken")
    try:
        search = made.search()
        if server.kind == "elasticsearch":
            search = json.loads(next(b.code for b in PAGE if b.language == "json"))
        (folder / "existing.json").write_text(json.dumps(search))
        (folder / "judgments.tsv").write_bytes(files.judgments.read_bytes())
        found = Taken(made, folder, made.standing(), {})
        for command in COMMANDS:
            if command.startswith("cascade serve"):
                break
            if command.startswith("cascade adopt"):
                done = subprocess.run(
                    [sys.executable, "-m", *shlex.split(of_page(command, found))],
                    cwd=folder,
                    env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert done.returncode == 0, done.stderr
                found.said[command] = done.stdout
            elif command != "cd mine":
                found.said[command] = found.run(of_page(command, found))
        yield found
    finally:
        made.close()


@contextmanager
def served(taken: Taken) -> Iterator[str]:
    """Run the page's server on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = next(c for c in COMMANDS if c.startswith("cascade serve")).removesuffix(" &")
    process = subprocess.Popen(
        [sys.executable, "-m", *shlex.split(command.replace("8080", port))],
        cwd=taken.path.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://localhost:{port}"
    try:
        until = time.monotonic() + 60
        while True:
            try:
                httpx.get(f"{url}/healthz")
                break
            except httpx.TransportError:
                assert time.monotonic() < until
                assert process.poll() is None
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def test_the_page_keeps_its_promise():
    assert len(COMMANDS) <= MOST_COMMANDS
    changed = [
        line
        for line in difflib.ndiff(BEFORE.splitlines(), AFTER.splitlines())
        if line.startswith(("- ", "+ "))
    ]
    assert len(changed) <= MOST_LINES
    told = re.search(r"with (\d+) lines taken out", (ROOT / "docs" / "adopt.md").read_text())
    assert told and int(told[1]) == len(changed)


def test_the_commands_rank_and_write_nothing_to_the_server(taken: Taken):
    said = {command.split()[1]: text for command, text in taken.said.items()}
    assert "600 documents" in said["index"]
    assert "trained in" in said["train"]
    # The first table is that of the first measure.
    means = {
        system: float(next(re.finditer(rf"^{system} +([\d.]+)", said["evaluate"], re.MULTILINE))[1])
        for system in ("bm25", "final")
    }
    # The simulated shop is one in which ranking pays.
    assert means["final"] > means["bm25"]
    assert "linear ran on" in said["search"]
    assert taken.index.standing() == taken.before


def test_a_caller_of_the_official_client_becomes_one_of_the_service(taken: Taken):
    with served(taken) as url:
        curl = next(c for c in COMMANDS if c.startswith("curl"))
        body = json.loads(shlex.split(curl)[shlex.split(curl).index("--json") + 1])
        page = httpx.post(f"{url}/v1/search", json=body).raise_for_status().json()
        assert page["degraded"] == []
        assert len(page["items"]) == 24
        if taken.index.kind != "elasticsearch":
            return
        before, after = {}, {}
        exec(
            BEFORE.replace("http://localhost:9200", taken.index.url).replace(
                '"products"', repr(taken.index.name)
            ),
            before,
        )
        exec(AFTER.replace("http://localhost:8080", url), after)
        brand = next(item["fields"]["brand"] for item in page["items"] if "brand" in item["fields"])
        had, has = before["search"]("silver ring", brand), after["search"]("silver ring", brand)
        assert had
        before["shop"].close(), after["shop"].close()
    told = {item["id"]: item for item in had}
    # The same products with what the page shows of them, in the order of the cascade.
    assert {item["id"] for item in has} == set(told)
    assert all(told[item["id"]].items() <= item.items() for item in has)


def raw_order(taken: Taken, text: str) -> list[tuple[str, float]]:
    """Return id and score of what the team's own search finds, through their own client."""
    index = taken.index
    search = json.loads((taken.folder / "existing.json").read_text())
    if index.kind == "solr":
        asked = {**search, "q": text, "rows": 600, "fl": "id,score"}
        found = index.http.get(f"/{index.name}/select", params=asked).raise_for_status().json()
        # Ties are ordered by the unique key.
        hits = [(doc["id"], doc["score"]) for doc in found["response"]["docs"]]
        return sorted(hits, key=lambda hit: (-hit[1], hit[0]))
    body = json.loads(json.dumps(search).replace("silver ring", text))
    body["size"] = DEPTH
    if index.kind == "elasticsearch":
        from elasticsearch import Elasticsearch as Client
    else:
        from opensearchpy import OpenSearch as Client
    client = Client(index.url)
    try:
        given = body if index.kind == "elasticsearch" else {"body": body}
        answer = client.search(index=index.name, **given)
    finally:
        client.close() if hasattr(client, "close") else None
    return [(hit["_id"], hit["_score"]) for hit in answer["hits"]["hits"]]


def test_the_engine_order_is_that_of_the_team_s_own_search(taken: Taken, files):
    columns = JudgmentColumns(query_id="query_id")
    judged = read_judgments(files.judgments, columns)
    asked = judged.only(judged.query_ids[:30])
    cascade = open_cascade(taken.config(), with_models=False)
    try:
        run = full_rankings(cascade, asked, 0.0, silent).runs()[BM25]
    finally:
        cascade.engine.close()
    assert len(run.query_ids) == 30
    for query_id, ranking in zip(run.query_ids, run.rankings, strict=True):
        wanted = raw_order(taken, asked.texts[query_id])[:DEPTH]
        assert list(ranking[:DEPTH]) == [doc_id for doc_id, _ in wanted], asked.texts[query_id]


def test_what_would_write_is_refused_and_what_reads_works(taken: Taken):
    for command in ("swap", "rollback", "gc", "update --delete p00000001"):
        told = taken.run(f"cascade index {command}", code=4)
        assert "is not ours (engine.owned = false)" in told
    assert "so it is not filled" in taken.run("cascade index build --from-index other", code=4)
    assert "600 documents" in taken.run("cascade index status")
    assert "both are equal" in taken.run("cascade index verify")
    assert taken.index.standing() == taken.before


def seen(taken: Taken, text: str, *overrides: str) -> tuple[list[dict], tuple[str, ...]]:
    """Return a page's items, and why it is degraded."""
    cascade = open_cascade(taken.config(*overrides))
    try:
        page = cascade.search(Query("q", text), PageRequest(size=100))
    finally:
        cascade.engine.close()
    items = [{"id": item.id, **item.fields} for item in page.items]
    return items, page.trace.degraded()


# The last of the file: it changes the index.
def test_changes_of_others_are_followed_and_a_new_index_is_noticed(taken: Taken):
    follow = f"cascade index follow --once --field {taken.index.updated}"
    assert "0 put in, 0 taken away" in taken.run(follow)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    added = {"sku": "fresh", "title": "Quokka lantern", "active": True, "updated_at": now}
    gone = seen(taken, "silver ring")[0][0]["id"]
    taken.index.put([added])
    taken.index.delete(gone)
    assert seen(taken, "quokka")[1] == ("1 candidates are not in the catalogue",)
    assert "1 put in, 1 taken away" in taken.run(follow)
    items, degraded = seen(taken, "quokka")
    assert ([item["id"] for item in items], degraded) == (["fresh"], ())
    assert gone not in {item["id"] for item in seen(taken, "silver ring")[0]}
    taken.index.remake()
    # What follows reads a catalogue of the new index at once.
    assert "others put" in taken.run(follow)
    items, degraded = seen(taken, "silver ring")
    assert (gone in {item["id"] for item in items}, degraded) == (True, ())
    assert "0 put in, 0 taken away" in taken.run(follow)
    assert "both are equal" in taken.run("cascade index verify")


@pytest.fixture(params=["elasticsearch", "opensearch"])
def numbered(request: pytest.FixtureRequest, files, tmp_path: Path) -> Iterator[Taken]:
    """Give an adopted index whose ids the server made, with the shop's own in a keyword."""
    server = request.getfixturevalue(f"{request.param}_server")
    made = RestIndex(server.url, server.kind, files, random_ids=True)
    try:
        (tmp_path / "existing.json").write_text(json.dumps(made.search()))
        found = Taken(made, tmp_path, made.standing(), {})
        found.path.parent.mkdir()
        adopted = of_page(COMMANDS[0], found).replace("existing.json", "../existing.json")
        found.run(adopted.replace("--folder mine", "--folder ."))
        yield found
    finally:
        made.close()


def test_ids_of_a_keyword_are_those_of_the_catalogue(numbered: Taken):
    schema = numbered.path.with_name("schema.toml")
    assert "id_field" not in numbered.path.read_text()
    schema.write_text(schema.read_text().replace('id = "_id"', 'id = "sku"'))
    chosen = "--set engine.id_field=sku"
    assert "600 documents" in numbered.run(f"cascade index build {chosen}")
    config = numbered.config("engine.id_field=sku")
    engine, documents = open_engine(config, schema_of(config))
    try:
        found = engine.retrieve([Query("q", "silver ring")], DEPTH).candidates
        body = numbered.index.search()
        sort = [{"_score": "desc"}, {"sku": "asc"}]
        answer = numbered.index.http.post(
            f"/{numbered.index.name}/_search", json={**body, "size": DEPTH, "sort": sort}
        )
        hits = [hit["_source"]["sku"] for hit in answer.json()["hits"]["hits"]]
        assert len(hits) > 10
        assert found.ids() == hits
        assert (found.rows >= 0).all()
        assert documents.ids(found.rows) == hits
        page = engine.fetch(Query("q", "silver ring"), hits[:3])
        assert [document and document.fields["sku"] for document in page] == hits[:3]
    finally:
        engine.close()
