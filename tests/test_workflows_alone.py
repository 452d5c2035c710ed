"""One process at a time in a folder: the other is refused and told which; a dead one holds none."""

import errno
import fcntl
import os
import signal
import subprocess
import sys

import pytest

from cascade.errors import InputError
from cascade.workflows.alone import LOCK, alone

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
            pytest.raises(InputError, match=rf"{folder} \(last known process: {os.getpid()}\)"),
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
        with pytest.raises(InputError, match=f"process: {process.pid}"), alone(tmp_path):
            pytest.fail("held twice")
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    with (
        alone(tmp_path),
        pytest.raises(InputError, match=f"process: {os.getpid()}"),
        alone(tmp_path),
    ):
        pytest.fail("held twice")


def test_a_folder_that_cannot_be_locked_is_not_called_held(tmp_path, monkeypatch):
    def no_locks(file, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(OSError, match="No locks available"), alone(tmp_path):
        pytest.fail("held without a lock")


def test_who_held_a_folder_before_is_not_called_its_holder(tmp_path):
    """Between taking the lock and writing its id, a process stands behind the former one's."""
    with (tmp_path / LOCK).open("w") as taken:
        taken.write("1234567")
        taken.flush()
        fcntl.flock(taken, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="last known process: 1234567"), alone(tmp_path):
            pytest.fail("held twice")
