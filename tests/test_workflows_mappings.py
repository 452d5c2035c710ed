"""The folder of mappings is true to its schemas, and an index is compared with its own."""

from pathlib import Path

import pytest

from cascade.config import load_config
from cascade.errors import InputError
from cascade.shop.lexicon import lexicon
from cascade.shop.spec import ShopSpec
from cascade.shop.truth import synonym_groups, write_synonyms
from cascade.workflows.mappings import (
    compare_schema,
    rendered_folder,
    rendered_schema,
    write_rendered,
)

MAPPINGS = Path(__file__).resolve().parent.parent / "mappings"


def test_the_renderings_are_what_the_schemas_render_to():
    files = rendered_folder(MAPPINGS)
    there = set((MAPPINGS / "rendered").rglob("*.json"))
    assert there == files.keys()
    stale = [str(path) for path, text in files.items() if path.read_text("utf-8") != text]
    assert stale == []
    assert {path.parent.name for path in files} == {"elasticsearch", "opensearch", "solr"}


def test_the_shops_synonyms_are_those_of_the_demo(tmp_path: Path):
    write_synonyms(tmp_path / "synonyms.txt", synonym_groups(ShopSpec(), lexicon()))
    assert (MAPPINGS / "synonyms.txt").read_text() == (tmp_path / "synonyms.txt").read_text()


def test_writing_makes_the_folder_true(tmp_path: Path):
    (tmp_path / "small.toml").write_text('[fields.title]\ntype = "text"\n')
    old = tmp_path / "rendered" / "solr" / "gone.json"
    old.parent.mkdir(parents=True)
    old.write_text("{}")
    written = write_rendered(tmp_path)
    assert not old.exists()
    assert sorted(path.relative_to(tmp_path).as_posix() for path in written) == [
        "rendered/elasticsearch/small.json",
        "rendered/opensearch/small.json",
        "rendered/solr/small.json",
    ]
    assert all(path.read_text("utf-8") == rendered_folder(tmp_path)[path] for path in written)


@pytest.fixture
def config(tmp_path: Path):
    (tmp_path / "schema.toml").write_text('[fields.title]\ntype = "text"\n')
    path = tmp_path / "cascade.toml"
    path.write_text(
        '[engine]\nkind = "elasticsearch"\nurl = "http://127.0.0.1:9"\nshards = 4\n'
        '[index]\nschema = "schema.toml"\n'
    )
    return next(iter(load_config(path, ()).values()))


def test_a_configuration_renders_for_its_own_engine_and_for_others(config):
    body = rendered_schema(config)
    assert body["settings"]["index"]["number_of_shards"] == 4
    assert set(rendered_schema(config, "solr")) == {"add-field-type", "add-field"}


def test_the_embedded_engine_has_nothing_to_render_or_compare(tmp_path: Path):
    (tmp_path / "schema.toml").write_text('[fields.title]\ntype = "text"\n')
    path = tmp_path / "cascade.toml"
    path.write_text('[index]\nschema = "schema.toml"\n')
    embedded = next(iter(load_config(path, ()).values()))
    with pytest.raises(InputError, match="the embedded engine takes the schema itself"):
        rendered_schema(embedded)
    with pytest.raises(InputError, match="nothing for 'embedded'"):
        compare_schema(embedded)
