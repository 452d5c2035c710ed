"""Pseudonyms: stable within a period, not linkable across, found again under every kept salt."""

from hashlib import blake2b

import numpy as np
import pytest

from cascade.errors import InputError, RefusedError
from cascade.events.pseudonyms import DAY_S, Pseudonyms

PERIOD_S = 30 * DAY_S
T = 59 * PERIOD_S + 5.0


def test_an_id_has_one_pseudonym_in_a_period_and_another_in_the_next(tmp_path):
    names = Pseudonyms(tmp_path)
    first = names.of(["a", "b", "a", None], T)
    assert first[0] == first[2] != first[1]
    assert first[3] is None
    assert Pseudonyms(tmp_path).of(["a"], T + PERIOD_S - 6) == first[:1]
    assert names.of(["a"], T + PERIOD_S) != first[:1]


def test_a_pseudonym_is_the_keyed_hash_of_its_salt_file(tmp_path):
    (named,) = Pseudonyms(tmp_path).of(["visitor"], T)
    (salt,) = tmp_path.glob("*.salt")
    assert salt.name == f"{59 * PERIOD_S}-30.salt"
    assert salt.stat().st_mode & 0o077 == 0
    assert named == blake2b(b"visitor", key=salt.read_bytes(), digest_size=12).hexdigest()


def test_another_folder_has_other_pseudonyms(tmp_path):
    assert Pseudonyms(tmp_path / "a").of(["x"], T) != Pseudonyms(tmp_path / "b").of(["x"], T)


def test_a_column_takes_each_id_at_its_own_time(tmp_path):
    names = Pseudonyms(tmp_path)
    times = np.array([T, T + PERIOD_S, T, T + PERIOD_S])
    found = names.column(["a", "a", None, "b"], times)
    assert found == [
        *names.of(["a"], T),
        *names.of(["a"], T + PERIOD_S),
        None,
        *names.of(["b"], T + PERIOD_S),
    ]


def test_nobody_makes_no_salt(tmp_path):
    assert Pseudonyms(tmp_path).column([None, None], [T, 0.0]) == [None, None]
    assert list(tmp_path.iterdir()) == []


def test_every_salt_finds_an_id_again_also_after_the_period_was_changed(tmp_path):
    old = Pseudonyms(tmp_path, 30).of(["a"], T)
    new = Pseudonyms(tmp_path, 7).of(["a"], T)
    assert old != new
    assert set(Pseudonyms(tmp_path, 1).every("a")) == {*old, *new}


def test_a_salt_is_forgotten_when_its_period_has_ended(tmp_path):
    names = Pseudonyms(tmp_path)
    before = names.of(["a"], T)
    names.of(["a"], T + PERIOD_S)
    assert names.forget(60 * PERIOD_S - 1) == 0
    assert names.forget(60 * PERIOD_S) == 1
    assert len(names.every("a")) == 1
    assert names.of(["a"], T) != before


def test_a_damaged_salt_is_refused(tmp_path):
    Pseudonyms(tmp_path).of(["a"], T)
    (salt,) = tmp_path.glob("*.salt")
    salt.write_bytes(b"short")
    with pytest.raises(RefusedError, match="holds 5 bytes"):
        Pseudonyms(tmp_path).of(["a"], T)


def test_a_period_has_a_day_at_least(tmp_path):
    with pytest.raises(InputError, match="rotate_days is 0"):
        Pseudonyms(tmp_path, 0)
