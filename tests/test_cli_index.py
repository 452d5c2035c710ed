"""`cascade index build`: what it takes, and what it tells of what was left out."""

import json
from pathlib import Path

from click.testing import CliRunner
from rich.console import Console

from cascade.cli import main
from cascade.cli.console import progress_lines
from tests.small_shop import CONFIG, DOCUMENTS, SCHEMA


def build(folder: Path, *arguments: object):
    (folder / "schema.toml").write_text(SCHEMA)
    (folder / "cascade.toml").write_text(CONFIG)
    arguments = ["index", "build", "--config", folder / "cascade.toml", *arguments]
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_a_build_needs_files_or_an_index_and_not_both(tmp_path):
    path = tmp_path / "products.ndjson"
    path.write_text(json.dumps(DOCUMENTS[0]))
    assert build(tmp_path).exit_code == 2
    both = build(tmp_path, "--input", path, "--from-index", "products")
    assert both.exit_code == 2
    assert "give either --input or --from-index" in both.stderr


def test_what_was_left_out_is_told_with_its_file(tmp_path):
    path = tmp_path / "products.ndjson"
    path.write_text("\n".join([*map(json.dumps, DOCUMENTS[:9]), *["{broken"] * 30]))
    result = build(tmp_path, "--input", path, "--on-error", "skip")
    assert result.exit_code == 0
    told = " ".join(result.stdout.split())
    assert "products-000001: 9 documents" in told
    assert "and 10 more" in told
    assert "all 30 are in" in told
    letters = tmp_path / "indexes" / "products-000001.dead.ndjson"
    assert len(letters.read_text().splitlines()) == 30
    again = json.loads(build(tmp_path, "--input", path, "--on-error", "skip", "--json").stdout)
    assert again["dead_letters"] == str(letters).replace("000001", "000002")
    assert (again["skipped"], again["live"], again["resumed"]) == (30, True, 0)


def test_an_index_is_built_from_the_one_before_it(tmp_path):
    path = tmp_path / "products.ndjson"
    path.write_text("\n".join(map(json.dumps, DOCUMENTS)))
    assert build(tmp_path, "--input", path).exit_code == 0
    result = build(tmp_path, "--from-index", "products", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["generation"] == "products-000002"
    arguments = ["search", "--config", str(tmp_path / "cascade.toml"), "w42", "--json"]
    (item,) = json.loads(CliRunner().invoke(main, arguments).stdout)["items"]
    assert item["fields"] == DOCUMENTS[42]


def test_an_index_that_is_not_there_is_told(tmp_path):
    result = build(tmp_path, "--from-index", "elsewhere")
    assert result.exit_code == 3
    assert "there is no index 'elsewhere' on the server" in result.stderr


def test_where_stderr_is_no_terminal_a_line_comes_now_and_then(capsys):
    now = [0.0]
    tell = progress_lines(Console(stderr=True), lambda: now[0])
    for second in range(61):
        now[0] = float(second)
        tell("index", second * 1_000, 100_000)
    assert capsys.readouterr().err.splitlines() == [
        "index: 30,000 of about 100,000, 1,000 a second, 0:01:10 left",
        "index: 60,000 of about 100,000, 1,000 a second, 0:00:40 left",
    ]


def command(folder: Path, *arguments: object):
    given = [*arguments, "--config", folder / "cascade.toml"]
    return CliRunner().invoke(main, ["index", *map(str, given)])


def shop_of(folder: Path, count: int = 9) -> Path:
    """Build the first documents of the shop, and return the folder of the generation."""
    (folder / "products.ndjson").write_text("\n".join(map(json.dumps, DOCUMENTS[:count])))
    assert build(folder, "--input", folder / "products.ndjson").exit_code == 0
    return folder / "indexes" / "products-000001"


def test_status_names_the_alias_and_finds_no_problem_before_and_after_updates(tmp_path):
    shop_of(tmp_path)
    found = json.loads(command(tmp_path, "status", "--json").stdout)
    assert (found["alias"], found["problems"]) == ("products-000001", [])
    assert command(tmp_path, "update", "--delete", "d003").exit_code == 0
    told = command(tmp_path, "status")
    assert told.exit_code == 0, told.output
    assert "alias: products-000001\n" in told.stdout


def test_status_tells_of_an_index_that_was_made_anew(tmp_path):
    about = shop_of(tmp_path) / "engine.about.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "identity": "another"}))
    told = command(tmp_path, "status")
    assert told.exit_code == 4
    assert "problem: the index products-000001 was made anew since the build" in told.stdout
    found = command(tmp_path, "status", "--json")
    assert found.exit_code == 4
    assert len(json.loads(found.stdout)["problems"]) == 1


def test_status_tells_how_many_documents_an_index_lacks(tmp_path):
    manifest = shop_of(tmp_path) / "generation.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "documents": 10}))
    told = command(tmp_path, "status")
    assert told.exit_code == 4
    assert "problem: it has 9 documents in its index, not 10" in told.stdout


def test_status_tells_that_the_alias_names_another_index(tmp_path):
    shop_of(tmp_path)
    (tmp_path / "indexes" / "products.alias.json").write_text('{"index": "products-000009"}')
    told = command(tmp_path, "status")
    assert told.exit_code == 4
    assert "stands for products-000009, not for products-000001" in told.stdout


def test_status_of_a_generation_of_another_engine_says_where_it_was_built(tmp_path):
    shop_of(tmp_path)
    server = ("--set", "engine.kind=solr", "--set", "engine.url=http://127.0.0.1:1/solr")
    told = command(tmp_path, "status", *server)
    assert told.exit_code == 4
    assert "products-000001 was built in embedded" in told.stdout


def test_status_fails_where_the_server_does_not_answer(tmp_path):
    manifest = shop_of(tmp_path) / "generation.json"
    manifest.write_text(manifest.read_text().replace('"embedded"', '"solr"'))
    server = ("--set", "engine.kind=solr", "--set", "engine.url=http://127.0.0.1:1/solr")
    told = command(tmp_path, "status", *server)
    assert told.exit_code == 1
    assert "http://127.0.0.1:1/solr" in told.stderr


def test_one_document_is_told_as_one_and_long_paths_stay_in_a_line(tmp_path):
    folder = tmp_path / ("a-folder-with-a-long-name-" * 4)
    folder.mkdir()
    path = folder / "products.ndjson"
    path.write_text("\n".join([json.dumps(DOCUMENTS[0]), "{broken"]))
    told = build(folder, "--input", path, "--on-error", "skip")
    assert "products-000001: 1 document in" in told.stdout
    letters = folder / "indexes" / "products-000001.dead.ndjson"
    assert f"  all 1 are in {letters}\n" in told.stdout
    assert "products-000001: 1 document, " in command(folder, "status").stdout


def test_a_removal_that_finds_nothing_says_so(tmp_path):
    (tmp_path / "schema.toml").write_text(SCHEMA)
    (tmp_path / "cascade.toml").write_text(CONFIG)
    told = command(tmp_path, "gc")
    assert (told.exit_code, told.stdout) == (0, "nothing to remove, and nothing there to keep\n")
