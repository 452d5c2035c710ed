import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SKIPS = """
import pytest

@pytest.mark.skipif(True, reason="no such service")
def test_marked():
    pass

def test_called():
    pytest.skip("no such file")

@pytest.mark.skip(reason="unsupported: needs another processor")
def test_unsupported():
    pass

@pytest.mark.xfail(reason="a known defect", strict=True)
def test_known():
    raise AssertionError
"""


def run_pytest(folder: Path, ci: str) -> str:
    shutil.copy(Path(__file__).with_name("conftest.py"), folder)
    environment = {**os.environ, "CI": ci, "PYTEST_ADDOPTS": ""}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return done.stdout


@pytest.mark.parametrize(
    ("ci", "closing"),
    [("true", "1 failed, 1 skipped, 1 xfailed, 1 error"), ("", "3 skipped, 1 xfailed")],
)
def test_in_ci_a_skip_fails_unless_its_reason_says_unsupported(tmp_path, ci, closing):
    (tmp_path / "test_skips.py").write_text(SKIPS)
    assert closing in run_pytest(tmp_path, ci)


def test_in_ci_a_skipped_module_fails(tmp_path):
    (tmp_path / "test_missing.py").write_text("import pytest\npytest.importorskip('no_such_one')\n")
    assert "1 error" in run_pytest(tmp_path, "true")
    assert "1 skipped" in run_pytest(tmp_path, "")
