"""Every fenced block of the documentation runs or parses.

`python`, `bash` and `console` blocks of one page run in order, in one new folder that they share;
`toml` and `json` blocks must parse; `text` is for everything else, and every block names its
language. A comment on the line before a block changes what happens to it:

    <!-- test: skip REASON -->   it does not run, and the reason is printed
    <!-- test: demo -->          it runs in a copy of a small demo marketplace's folder
"""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    path
    for pattern in ("README.md", "docs/**/*.md", "examples/*/README.md")
    for path in sorted(ROOT.glob(pattern))
]
PAGE_TIMEOUT_S = 600
LONG_PAGES = {
    "README.md",
    "docs/behaviour.md",
    "docs/cli.md",
    "docs/clicks.md",
    "docs/events.md",
    "docs/evolution.md",
    "docs/relevance-tests.md",
    "docs/training-pipeline.md",
    "docs/training.md",
    "docs/tuning.md",
}

RUNNABLE = {"python", "bash", "console"}
PARSERS = {"toml": tomllib.loads, "json": json.loads}
ACCEPTED = sorted({*RUNNABLE, *PARSERS, "text"})
FOLDERS = {"demo": "demo_folder"}  # a directive's word, and the fixture that makes its folder

FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<language>[^`\n]*)$")
DIRECTIVE = re.compile(r"^\s*<!--\s*test:\s*(?P<word>\S+)\s*(?P<reason>.*?)\s*-->\s*$")


@dataclass(frozen=True)
class Block:
    """One fenced block; `line` is that of its opening fence."""

    line: int
    language: str
    code: str
    word: str = ""
    reason: str = ""


def commands_of(console: str) -> str:
    """Return what stands behind `$ ` and `> ` in a terminal's transcript."""
    lines = console.splitlines()
    return "\n".join(line[2:] for line in lines if line.startswith(("$ ", "> ")))


def blocks_of(text: str) -> list[Block]:
    """Return a page's fenced blocks with the directive that stands before each."""
    blocks: list[Block] = []
    lines = iter(enumerate(text.splitlines(), start=1))
    directive = None
    for number, line in lines:
        fence = FENCE.match(line)
        if not fence:
            directive = DIRECTIVE.match(line) or (directive if not line.strip() else None)
            continue
        inside = []
        for _, line_inside in lines:
            if line_inside.strip() == fence["ticks"]:
                break
            inside.append(line_inside)
        else:
            raise ValueError(f"line {number}: this block is never closed")
        code = textwrap.dedent("\n".join(inside)) + "\n"
        found = directive.groupdict() if directive else {}
        blocks.append(Block(number, fence["language"].strip(), code, **found))
        directive = None
    return blocks


def faults_of(blocks: list[Block]) -> list[str]:
    """Return what is wrong with blocks before any is run."""
    faults = []
    for block in blocks:
        if block.language not in ACCEPTED:
            accepted = ", ".join(ACCEPTED)
            faults.append(f"{block.line}: language {block.language!r}, accepted: {accepted}")
        if block.word and block.word not in {"skip", *FOLDERS}:
            faults.append(f"{block.line}: unknown directive {block.word!r}")
        if block.word == "skip" and not block.reason:
            faults.append(f"{block.line}: skip without a reason")
        if block.language == "console" and not commands_of(block.code):
            faults.append(f"{block.line}: a console block without a line that begins with '$ '")
        if block.language in PARSERS and block.word != "skip":
            try:
                PARSERS[block.language](block.code)
            except ValueError as error:
                faults.append(f"{block.line}: {error}")
    return faults


def run(page: str, blocks: list[Block], folders: dict[str, Path]) -> None:
    """Run a page's blocks in order; `folders` maps a directive's word to where its blocks run."""
    plan = [
        {
            "page": page,
            "line": block.line,
            "folder": str(folders[block.word]),
            "language": "python" if block.language == "python" else "bash",
            "code": commands_of(block.code) if block.language == "console" else block.code,
        }
        for block in blocks
        if block.language in RUNNABLE and block.word != "skip"
    ]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        [sys.executable, "-W", "error", str(Path(__file__).with_name("docs_driver.py"))],
        input=json.dumps(plan),
        cwd=folders[""],
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PAGE_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def marked(page: Path):
    """Return a page as a parameter; those that train or start much wait for a full run."""
    name = str(page.relative_to(ROOT))
    return pytest.param(page, id=name, marks=pytest.mark.full if name in LONG_PAGES else ())


@pytest.mark.parametrize("page", [marked(page) for page in PAGES])
def test_the_blocks_of_a_page_run(page, tmp_path, request):
    name = str(page.relative_to(ROOT))
    blocks = blocks_of(page.read_text("utf-8"))
    assert faults_of(blocks) == [], name
    for block in blocks:
        if block.word == "skip":
            sys.stdout.write(f"{name}:{block.line}: not run: {block.reason}\n")
    folders = {"": tmp_path / "page"}
    folders[""].mkdir()
    for word in sorted({block.word for block in blocks} & FOLDERS.keys()):
        folders[word] = tmp_path / word
        shutil.copytree(request.getfixturevalue(FOLDERS[word]), folders[word])
    if any(block.language in RUNNABLE and block.word != "skip" for block in blocks):
        run(name, blocks, folders)


def test_there_is_a_page():
    assert PAGES


PAGE = """
```python
from pathlib import Path
value = 20
```

<!-- test: demo -->

```console
$ echo "$PWD" \\
>   > place
whatever it printed
```

1. In a list:

   ```bash
   echo 22 > number
   ```

<!-- test: skip needs a second machine -->
```bash
exit 1
```

```python
assert value + int(Path("number").read_text()) == 42
Path("ran").touch()
```
"""


def test_blocks_run_in_order_in_the_folder_they_name(tmp_path):
    blocks = blocks_of(PAGE)
    assert [block.line for block in blocks] == [2, 9, 17, 22, 26]
    assert blocks[3].reason == "needs a second machine"
    folders = {"": tmp_path / "page", "demo": tmp_path / "demo"}
    for folder in folders.values():
        folder.mkdir()
    run("page.md", blocks, folders)
    assert (folders[""] / "ran").exists()
    assert (folders["demo"] / "place").read_text().strip() == str(folders["demo"])


@pytest.mark.parametrize(
    ("language", "code", "message"),
    [
        ("python", "x = 1\nassert x == 2", 'File "page.md", line 4'),
        ("python", "import warnings\nwarnings.warn('old', stacklevel=1)", "UserWarning: old"),
        ("python", "raise SystemExit(0)", "page.md:2: this block failed"),
        ("bash", "false | cat\necho on", "page.md:2: this block failed"),
        ("bash", 'echo "$no_such_variable"', "no_such_variable: unbound variable"),
        ("console", "$ ls no-such-file\nno-such-file", "page.md:2: this block failed"),
    ],
)
def test_a_block_that_fails_fails_its_page(tmp_path, language, code, message):
    blocks = blocks_of(f"\n```{language}\n{code}\n```\n")
    with pytest.raises(AssertionError, match=re.escape(message)):
        run("page.md", blocks, {"": tmp_path})


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("```\npicture\n```", "1: language ''"),
        ("```yaml\na: 1\n```", "1: language 'yaml'"),
        ("<!-- test: skip -->\n```bash\nls\n```", "2: skip without a reason"),
        ("<!-- test: later -->\n```bash\nls\n```", "2: unknown directive 'later'"),
        ("```console\nls\n```", "1: a console block without"),
        ("```toml\na = [1\n```", "1: "),
        ('```json\n{"a": }\n```', "1: Expecting value"),
    ],
)
def test_a_faulty_block_is_found(text, fault):
    assert [f for f in faults_of(blocks_of(text)) if f.startswith(fault)] != []


def test_a_block_that_is_never_closed_is_found():
    with pytest.raises(ValueError, match="line 2: this block is never closed"):
        blocks_of("\n```bash\nls\n")


def test_a_directive_belongs_to_the_next_block_alone():
    text = "<!-- test: skip why -->\nA sentence.\n```bash\nls\n```\n"
    assert blocks_of(text)[0].word == ""


def test_every_dependency_is_explained_and_nothing_else():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    page = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
    explained = re.findall(r"^- `([^`]+)`", page, flags=re.MULTILINE)
    assert sorted(explained) == sorted({Requirement(line).name for line in declared})
