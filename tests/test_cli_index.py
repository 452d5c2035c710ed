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
