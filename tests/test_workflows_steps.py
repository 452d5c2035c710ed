"""Steps: their order, what a later run keeps, and what a killed one goes on with."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from cascade.errors import InputError, NotFoundError, RefusedError
from cascade.workflows.steps import Step, read_records, run_steps


class Kitchen:
    """Counts how often each step ran, and sums numbers along the way."""

    def __init__(self, **numbers):
        self.numbers = {"one": 1, "two": 2, "sum": 0, **numbers}
        self.ran = []

    def steps(self, failing=None):
        def work(name):
            def run(results):
                self.ran.append(name)
                if failing is not None and name == failing[0]:
                    raise failing[1]
                return {"n": self.numbers[name] + sum(r["n"] for r in results.values())}

            return run

        return [
            Step("sum", work("sum"), {"n": self.numbers["sum"]}, ("one", "two")),
            Step("one", work("one"), {"n": self.numbers["one"]}),
            Step("two", work("two"), {"n": self.numbers["two"]}, ("one",)),
        ]


def statuses(records):
    return {record.name: record.status for record in records}


def test_steps_run_after_what_they_need_and_see_its_results(tmp_path):
    kitchen = Kitchen()
    records = run_steps(kitchen.steps(), tmp_path)
    assert kitchen.ran == ["one", "two", "sum"]
    # two = 2 + 1; sum = 0 + 1 + 3
    assert [record.result for record in records] == [{"n": 1}, {"n": 3}, {"n": 4}]
    assert read_records(tmp_path)["sum"].result == {"n": 4}


def test_a_second_run_keeps_what_is_the_same(tmp_path):
    run_steps(Kitchen().steps(), tmp_path)
    again = Kitchen()
    assert set(statuses(run_steps(again.steps(), tmp_path)).values()) == {"kept"}
    assert again.ran == []


def test_a_changed_input_runs_its_step_and_all_that_follow(tmp_path):
    run_steps(Kitchen().steps(), tmp_path)
    changed = Kitchen(two=5)
    records = run_steps(changed.steps(), tmp_path)
    assert statuses(records) == {"one": "kept", "two": "done", "sum": "done"}
    assert records[-1].result == {"n": 7}


def test_a_step_asked_for_again_runs_with_all_that_follow(tmp_path):
    run_steps(Kitchen().steps(), tmp_path)
    kitchen = Kitchen()
    run_steps(kitchen.steps(), tmp_path, again=["two"])
    assert kitchen.ran == ["two", "sum"]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [(RefusedError("too bad"), "refused", 4), (NotFoundError("gone"), "failed", 3)],
)
def test_what_follows_a_bad_step_is_not_run_and_the_next_run_begins_there(
    tmp_path, error, status, code
):
    first = Kitchen()
    records = run_steps(first.steps(failing=("two", error)), tmp_path)
    assert statuses(records) == {"one": "done", "two": status, "sum": "not run"}
    assert (records[1].reason, records[1].exit_code) == (str(error), code)
    second = Kitchen()
    run_steps(second.steps(), tmp_path)
    assert second.ran == ["two", "sum"]


def test_a_damaged_record_is_no_record(tmp_path):
    run_steps(Kitchen().steps(), tmp_path)
    (tmp_path / "two.json").write_text('{"name": "two", ')
    kitchen = Kitchen()
    run_steps(kitchen.steps(), tmp_path)
    assert kitchen.ran == ["two", "sum"]


def test_steps_that_cannot_be_ordered_are_refused(tmp_path):
    circle = [Step("a", dict, {}, ("b",)), Step("b", dict, {}, ("a",))]
    with pytest.raises(InputError, match="wait for one another"):
        run_steps(circle, tmp_path)
    with pytest.raises(InputError, match="come after ghost"):
        run_steps([Step("a", dict, {}, ("ghost",))], tmp_path)
    with pytest.raises(InputError, match="there is no step 'tow'"):
        run_steps(Kitchen().steps(), tmp_path, again=["tow"])


SCRIPT = """
import sys, time
from pathlib import Path
from cascade.workflows.steps import Step, run_steps

def slow(results):
    Path(sys.argv[1], "reached").touch()
    time.sleep(60)
    return {}

def quick(results):
    return {"n": 1}

steps = [Step("quick", quick, {}), Step("slow", slow, {}, ("quick",))]
run_steps(steps, Path(sys.argv[1], "run"))
"""


def test_a_killed_run_leaves_its_done_steps_and_frees_the_folder(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(SCRIPT), str(tmp_path)])
    try:
        until = time.monotonic() + 60
        while not (tmp_path / "reached").exists():
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.02)
        with pytest.raises(InputError, match="another run is under way"):
            run_steps([Step("quick", lambda _: {"n": 2}, {})], tmp_path / "run")
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    ran = []
    steps = [
        Step("quick", lambda _: ran.append("quick") or {}, {}),
        Step("slow", lambda _: ran.append("slow") or {}, {}, ("quick",)),
    ]
    records = run_steps(steps, tmp_path / "run")
    assert ran == ["slow"]
    assert records[0].result == {"n": 1}
