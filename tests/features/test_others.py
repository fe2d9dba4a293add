"""What other processes have done meanwhile, as the parts of their jobs tell."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Event
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from avs.core.store_parts import StoreParts
from avs.features import others
from avs.features.others import WorkOfOthers

SHOTS = [2, 3, 5, 7]


@dataclass
class FakeParts:
    """Parts of a store whose jobs are done one after the other."""

    present: list[int] = field(default_factory=list)
    silent: bool = False
    looked: Event = field(default_factory=Event)
    plan: Any = field(default_factory=lambda: SimpleNamespace(first=np.cumsum([0, *SHOTS])))

    def done(self) -> np.ndarray:
        self.looked.set()
        if self.silent:
            raise OSError("stale file handle")
        return np.isin(np.arange(4), self.present)


def watched(*stores: FakeParts, lacking: list[list[bool]] | None = None) -> WorkOfOthers:
    return WorkOfOthers(cast("list[StoreParts]", list(stores)), np.array(lacking or [[True] * 4] * len(stores)))


def test_jobs_of_others_count_once_and_own_ones_do_not() -> None:
    parts = FakeParts()
    work = watched(parts)
    work.begun(0)
    parts.present = [0, 1]
    work.look()
    assert (work.new_shots(), work.new_shots()) == (3, 0)
    parts.present = [0, 1, 3]
    work.look()
    assert work.new_shots() == 7


def test_a_job_is_done_when_all_stores_that_lacked_it_have_it() -> None:
    """Job 0 was done before, in both stores; job 1 in the first one; jobs 2 and 3 in none."""
    shot, frame = FakeParts([0, 1]), FakeParts([0])
    work = watched(shot, frame, lacking=[[False, False, True, True], [False, True, True, True]])
    work.look()
    assert work.new_shots() == 0
    shot.present, frame.present = [0, 1, 2], [0, 1]
    work.look()
    assert work.new_shots() == 3
    frame.present = [0, 1, 2, 3]
    work.look()
    assert work.new_shots() == 5


def test_a_folder_that_does_not_answer_is_looked_at_later() -> None:
    parts = FakeParts([1], silent=True)
    work = watched(parts)
    work.look()
    assert work.new_shots() == 0
    parts.silent = False
    work.look()
    assert work.new_shots() == 3


def test_it_looks_by_itself_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(others, "LOOK_AGAIN_S", 0.001)
    parts = FakeParts([2])
    with watched(parts) as work:
        assert parts.looked.wait(600)
    assert work.new_shots() == 5 and not work._thread.is_alive()


def test_nobody_looks_when_others_cannot_do_the_work() -> None:
    parts = FakeParts([1])
    with watched(parts, lacking=[[False] * 4]) as work:
        assert not work._thread.is_alive()
    work.look()
    assert work.new_shots() == 0
