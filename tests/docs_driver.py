"""Run one page's blocks in order, in one process: `python -W error docs_driver.py < plan.json`.

The Python blocks share one namespace; the bash blocks share their folder. A failing block ends the
run, with its page and line on stderr.
"""

import json
import os
import subprocess
import sys
import traceback

BLOCK_TIMEOUT_S = 300


def run_python(block: dict[str, str | int], namespace: dict[str, object]) -> None:
    # Leading newlines make a traceback show the line of the page.
    source = "\n" * int(block["line"]) + str(block["code"])
    exec(compile(source, str(block["page"]), "exec"), namespace)


def run_bash(block: dict[str, str | int]) -> None:
    command = ["bash", "-euo", "pipefail", "-c", str(block["code"])]
    # Its output goes to stderr, beside whatever the failure has to say.
    subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=True, timeout=BLOCK_TIMEOUT_S
    )


def main() -> None:
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in json.load(sys.stdin):
        os.chdir(block["folder"])
        try:
            if block["language"] == "python":
                run_python(block, namespace)
            else:
                run_bash(block)
        except BaseException:
            # Also an exit with 0 is a failure: the blocks after it would not run.
            traceback.print_exc()
            sys.exit(f"{block['page']}:{block['line']}: this block failed")


if __name__ == "__main__":
    main()
