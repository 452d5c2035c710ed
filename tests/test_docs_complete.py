"""Every setting, command, route, module and page is documented, and every link leads somewhere."""

import dataclasses
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_origin

import click
import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cascade import config, errors
from cascade.business.build import _KEYS as BUSINESS_KEYS
from cascade.business.objectives import OBJECTIVES
from cascade.business.rules import RULES
from cascade.cli import main
from cascade.config.settings import ServiceSettings
from cascade.service import create_app
from tests.test_imports import FLOORS, modules_of, noun_of

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    *sorted(DOCS.glob("*.md")),
    *sorted(ROOT.glob("*/README.md")),
    *sorted(ROOT.glob("examples/*/README.md")),
]
FENCED = re.compile(r"^ *(`{3,}).*?^ *\1 *$", flags=re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# What other commands share, and no command repeats.
SHARED = {"config_path", "overrides", "name", "as_json"}


def sections_of(text: str) -> dict[str, str]:
    """Return the text below each heading, up to the next one of any level."""
    parts = re.split(r"^#+ +(.+)$", FENCED.sub("", text), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows_of(section: str) -> dict[str, list[str]]:
    """Return the cells of each table row by what its first cell names in backticks."""
    rows = {}
    for line in section.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and (named := re.match(r"`(\S+?)[ `]", cells[0])):
            rows[named[1]] = cells
    return rows


CONFIG = sections_of((DOCS / "config.md").read_text("utf-8"))


def model_in(field: FieldInfo) -> tuple[type[BaseModel] | None, bool]:
    """Return the settings class that a field holds, and whether it holds a list of them."""
    for part in (field.annotation, *get_args(field.annotation)):
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part, get_origin(field.annotation) is list
    return None, False


def tables(
    model: type[BaseModel], heading: str, path: str = ""
) -> Iterator[tuple[str, str, str, FieldInfo]]:
    """Yield heading, path, key and field of every setting, table by table."""
    for name, field in model.model_fields.items():
        key = field.alias or name
        inner, many = model_in(field)
        if inner is None:
            yield heading, f"{path}{key}", key, field
        else:
            below = f"{path}{key}"
            yield from tables(inner, f"`[[{below}]]`" if many else f"`[{below}]`", f"{below}.")


SETTINGS = list(tables(config.CascadeSettings, "The top of the file"))


@pytest.mark.parametrize(
    ("heading", "key", "field"), [pytest.param(h, k, f, id=p) for h, p, k, f in SETTINGS]
)
def test_every_setting_is_documented_with_its_default(heading, key, field):
    rows = rows_of(CONFIG[heading])
    assert key in rows, f"docs/config.md, {heading}: no row for {key}"
    written = rows[key][2]
    if field.is_required():
        assert written == "required"
    elif field.get_default(call_default_factory=True) is None:
        assert written == "none"
    else:
        expected = field.get_default(call_default_factory=True)
        assert tomllib.loads(f"value = {written.strip('`')}")["value"] == expected


def test_no_setting_is_documented_that_does_not_exist():
    known = {(heading, key) for heading, _, key, _ in SETTINGS}
    written = {
        (heading, key)
        for heading, section in CONFIG.items()
        for key, cells in rows_of(section).items()
        if len(cells) == 4
    }
    assert written - known == set()


def test_the_settings_are_all_found():
    paths = {path for _, path, _, _ in SETTINGS}
    assert {"name", "index.schema", "stages.trees.depth", "judgments.grades"} <= paths
    assert len(paths) > 50


def test_every_key_of_the_business_table_is_documented():
    page = (DOCS / "business.md").read_text("utf-8") + CONFIG["`[business]`"]
    wanted = [*BUSINESS_KEYS]
    for kind, cls in {**OBJECTIVES, **RULES}.items():
        if cls.__module__.startswith("cascade."):
            wanted += [kind, *(field.name for field in dataclasses.fields(cls))]
    missing = [w for w in wanted if not re.search(rf"`[^`\n]*\b{w}\b[^`\n]*`", page)]
    assert sorted(set(missing)) == []


def commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    """Yield the full name of every command below a group."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


COMMANDS = dict(commands(main, "cascade"))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_documented(name):
    sections = sections_of((DOCS / "cli.md").read_text("utf-8"))
    assert f"`{name}`" in sections, f"docs/cli.md has no section for {name}"
    section = sections[f"`{name}`"]
    rows, shared = rows_of(section), rows_of(sections["Shared options"])
    options = {}
    for parameter in COMMANDS[name].params:
        if isinstance(parameter, click.Argument):
            assert f"`{parameter.name.upper()}`" in section
        elif parameter.name in SHARED and parameter.opts[0] in shared:
            options[parameter.opts[0]] = shared[parameter.opts[0]]
        else:
            assert parameter.opts[0] in rows, f"docs/cli.md, {name}: no row for {parameter.opts[0]}"
            options[parameter.opts[0]] = rows[parameter.opts[0]]
            if parameter.required:
                assert "required" in rows[parameter.opts[0]][1]
            elif isinstance(parameter.default, str | int | Path) and not parameter.is_flag:
                assert str(parameter.default) in rows[parameter.opts[0]][1]
    assert rows.keys() <= options.keys(), f"docs/cli.md, {name}: options that do not exist"


def test_the_commands_are_all_found():
    assert {"cascade index build", "cascade models verify", "cascade serve"} <= COMMANDS.keys()


def test_every_route_is_documented():
    # A service refuses to stand without a cascade; its routes do not depend on which one it has.
    app = create_app({"none": None}, ServiceSettings())  # type: ignore[dict-item]
    page = (DOCS / "service.md").read_text("utf-8")
    paths = app.openapi()["paths"]
    assert "/v1/search" in paths
    assert [path for path in paths if path not in page] == []


def test_every_error_is_documented_with_its_codes():
    rows = rows_of((DOCS / "errors.md").read_text("utf-8"))
    tree = {
        name: [str(cls.exit_code), str(cls.status)]
        for name, cls in vars(errors).items()
        if isinstance(cls, type) and issubclass(cls, errors.CascadeError)
    }
    assert {name: cells[1:3] for name, cells in rows.items()} == tree


def nouns() -> dict[str, int]:
    """Return the floor of each module that exists."""
    found = {noun_of(module) for module in modules_of(ROOT / "cascade")}
    return {noun: floor for noun, floor in FLOORS.items() if noun in found}


def test_each_module_of_the_lower_floors_has_a_page_of_its_name():
    wanted = [noun for noun, floor in nouns().items() if floor <= 3]
    assert [noun for noun in wanted if not (DOCS / f"{noun}.md").is_file()] == []


def test_the_architecture_page_has_the_floors_of_the_code():
    page = sections_of((DOCS / "architecture.md").read_text("utf-8"))["Rooms and floors"]
    written = {
        noun: int(found[1])
        for line in page.splitlines()
        if (found := re.match(r"\| (\d) \| ([^|]+) \|", line))
        for noun in re.findall(r"`(\w+)`", found[2])
    }
    assert written == {noun: floor for noun, floor in nouns().items() if floor <= 7}


def links_of(page: Path) -> list[Path]:
    """Return the files of the project that a page links to."""
    targets = LINK.findall(FENCED.sub("", page.read_text("utf-8")))
    local = (target.partition("#")[0] for target in targets if "://" not in target)
    return [(page.parent / target).resolve() for target in local if target]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    assert [str(target) for target in links_of(page) if not target.exists()] == []


def test_every_page_is_linked_from_another():
    linked = {target for page in PAGES for target in links_of(page) if target != page}
    wanted = {*DOCS.glob("*.md"), *ROOT.glob("examples/*/README.md")}
    assert sorted(str(page.relative_to(ROOT)) for page in wanted - linked) == []


def test_a_table_is_read_by_its_first_cell():
    text = (
        "# One\n| key | x |\n|---|---|\n| `a` | `[1]` |\n| `--b TEXT` | c\\|d |\n## Two\n| `z` |\n"
    )
    sections = sections_of(text)
    assert rows_of(sections["One"]) == {"a": ["`a`", "`[1]`"], "--b": ["`--b TEXT`", "c\\|d"]}
    assert list(rows_of(sections["Two"])) == ["z"]
