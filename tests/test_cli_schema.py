"""`cascade index schema` prints a rendering, and says by its exit code whether an index differs."""

import json
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from cascade.cli.schema import schema

ROWS = '[fields.title]\ntype = "text"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "schema.toml").write_text(ROWS)
    (tmp_path / "cascade.toml").write_text('[index]\nschema = "schema.toml"\n')
    return tmp_path


def run(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(schema, ["--config", str(folder / "cascade.toml"), *arguments])


def test_the_rendering_is_json(folder: Path):
    result = run(folder, "--engine", "opensearch")
    assert result.exit_code == 0
    body = json.loads(result.output)
    assert body["mappings"]["properties"]["title"]["analyzer"] == "cascade_english"


def test_the_embedded_engine_has_none(folder: Path):
    result = run(folder)
    assert result.exit_code == 3
    assert "takes the schema itself" in result.output


def test_the_difference_is_to_the_engine_of_the_configuration(folder: Path):
    result = run(folder, "--engine", "solr", "--diff")
    assert result.exit_code == 2


@pytest.mark.full
def test_an_index_that_differs_is_told_and_exits_with_4(folder: Path, elasticsearch_server):
    name = "schema-of-an-index"
    with httpx.Client(base_url=elasticsearch_server.url, timeout=60) as client:
        settings = ["--set", "engine.kind='elasticsearch'", "--set", f"engine.index='{name}'"]
        settings += ["--set", f"engine.url='{elasticsearch_server.url}'"]
        rendered = json.loads(run(folder, *settings).output)
        client.put(f"/{name}", json=rendered).raise_for_status()
        try:
            same = run(folder, *settings, "--diff")
            (folder / "schema.toml").write_text(ROWS + '[fields.price]\ntype = "number"\n')
            other = run(folder, *settings, "--diff", "--json")
        finally:
            client.delete(f"/{name}")
        gone = run(folder, *settings, "--diff")
    assert (same.exit_code, same.output) == (0, f"{name}: as the schema says\n")
    assert other.exit_code == 4
    assert json.loads(other.output) == {
        "index": name,
        "differences": ["fields.price: is missing in the index"],
    }
    assert gone.exit_code == 3
