"""What every test shares: hypothesis' profile, the demo folder, and no silent skips in CI."""

import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

# The search servers: see docs/engine-servers.md.
pytest_plugins = ["tests.engines.fixtures"]

ROOT = Path(__file__).resolve().parent.parent
DEMO_TIMEOUT_S = 300
UNSUPPORTED = "unsupported:"

# The machine's load must not decide a test, and two runs must try the same examples.
settings.register_profile("cascade", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("cascade")


def _forbid_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure in CI, unless its reason begins with `unsupported:`."""
    if not os.environ.get("CI") or not report.skipped or hasattr(report, "wasxfail"):
        return
    longrepr = report.longrepr
    reason = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
    reason = reason.removeprefix("Skipped: ")
    if not reason.startswith(UNSUPPORTED):
        report.outcome = "failed"
        report.longrepr = (
            f"skipped in CI: {reason!r}. In CI only a skip whose reason begins with "
            f"{UNSUPPORTED!r} is accepted: provide what the test needs, or say why it cannot be."
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _forbid_skip(report)
    return report


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small demo marketplace, indexed and trained: read only, copy it before changing it."""
    folder = tmp_path_factory.mktemp("demo") / "demo"
    command = [sys.executable, "-m", "cascade", "demo", "--no-serve"]
    command += [
        "--listings",
        "2000",
        "--queries",
        "300",
        "--sessions",
        "200",
        "--folder",
        str(folder),
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEMO_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        pytest.fail(
            f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        )
    return folder
