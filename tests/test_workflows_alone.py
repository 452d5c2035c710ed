"""One process at a time in a folder: the other is refused and told which; a dead one holds none."""

import os
import signal
import subprocess
import sys

import pytest

from cascade.errors import InputError
from cascade.workflows.alone import alone

SCRIPT = """
import sys, time
from pathlib import Path
from cascade.workflows.alone import alone

with alone(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_folder_is_held_while_the_block_runs(tmp_path):
    folder = tmp_path / "deep" / "folder"
    with alone(folder):
        with (
            pytest.raises(InputError, match=rf"{folder} \(process {os.getpid()}\)"),
            alone(folder),
        ):
            pytest.fail("held twice")
        with alone(tmp_path / "other"):
            pass
    with alone(folder):
        pass


def test_another_process_is_named_and_holds_nothing_once_it_is_killed(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=f"process {process.pid}"), alone(tmp_path):
            pytest.fail("held twice")
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    with (
        alone(tmp_path),
        pytest.raises(InputError, match=f"process {os.getpid()}"),
        alone(tmp_path),
    ):
        pytest.fail("held twice")
