"""Several processes, one for each device: the work is shared, and what one leaves behind is done by another."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fake_frames import FakeFrames, HeldFrames
from toy_plans import SHOTS, content, given, made_by_one, meanwhile, plans, until

from avs.core.errors import AvsError, StoreError, VideoError
from avs.core.progress import Reporter
from avs.core.store import FeatureStore
from avs.features.claims import Shard
from avs.features.device_processes import DeviceShare, make_stores_on_devices, shares


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return made_by_one(tmp_path_factory.mktemp("whole"))


@dataclass
class Heard(Reporter):
    """Notes the stages."""

    quiet: bool = False
    stages: list[list[Any]] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Heard]:
        self.stages.append([name, total, 0])
        yield self

    def advance(self, n: int = 1, **more: Any) -> None:
        self.stages[-1][2] += n


def kill(pid_file: Path) -> None:
    os.kill(int(pid_file.read_text()), signal.SIGKILL)


def test_every_device_has_a_share() -> None:
    assert shares(["cuda:0", "cuda:1"], 5, None) == [
        DeviceShare("cuda:0", "cuda:0", 3),
        DeviceShare("cuda:1", "cuda:1", 2),
    ]
    few = shares(["cpu", "cuda:0", "cpu"], 2, Shard(1, 4))
    assert [(one.name, one.workers) for one in few] == [("cpu (1)", 1), ("cuda:0", 1), ("cpu (2)", 1)]
    jobs = [range(100)[one.shard.number :: one.shard.count] for one in few if one.shard]
    assert sorted(job for part in jobs for job in part) == list(range(100)[1::4])
    assert [one.workers for one in shares(["cpu", "cpu"], 0, None)] == [0, 0]


def test_two_processes_make_what_one_makes(
    tmp_path: Path, whole: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    go = tmp_path / "go", tmp_path / "also"
    source = HeldFrames(held={"shot00001_3": go[0], "shot00010_5": go[1]})

    def release() -> None:  # when both are at work
        until(lambda: all(one.with_suffix(".pid").exists() for one in go))
        for one in go:
            one.touch()

    reporter = Heard()
    with meanwhile(release):
        made = make_stores_on_devices(
            plans(tmp_path / "out"), SHOTS, partial(given, source), devices=["cpu", "cpu"], batch_size=2,
            reporter=reporter,
        )  # fmt: skip
    assert all(isinstance(store, FeatureStore) for store in made) and content(tmp_path / "out") == whole
    assert len({one.with_suffix(".pid").read_text() for one in go} | {str(os.getpid())}) == 3
    assert reporter.stages == [["extract toy", len(SHOTS), len(SHOTS)]]
    assert caplog.records == []
    nothing = partial(given, FakeFrames(broken="shot00001_1"))
    again = make_stores_on_devices(plans(tmp_path / "out"), SHOTS, nothing, devices=["cpu"], batch_size=2)
    assert [store.folder for store in again] == [store.folder for store in made]


def test_what_a_process_leaves_that_is_killed_last_is_done(
    tmp_path: Path, whole: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    go, parts = tmp_path / "go", tmp_path / "out/toy/shot/parts"

    def murder() -> None:
        until(go.with_suffix(".pid").exists)
        until(lambda: len(list(parts.glob("*.part"))) > 1)
        until(lambda: len(list(parts.glob("owners/[!.]*"))) == 1)  # the other has done all else, and ended
        kill(go.with_suffix(".pid"))
        go.touch()

    source = HeldFrames(held={"shot00001_3": go})

    with meanwhile(murder):
        made = make_stores_on_devices(
            plans(tmp_path / "out"), SHOTS, partial(given, source), devices=["cpu", "cpu"], batch_size=2
        )
    assert all(isinstance(store, FeatureStore) for store in made) and content(tmp_path / "out") == whole
    said = [record.getMessage() for record in caplog.records]
    assert "was killed by SIGKILL; its jobs are free for others" in said[0]
    assert len(said) == 2 and said[1].endswith("one more on cpu does its jobs")


def test_when_all_are_killed_the_same_command_goes_on(tmp_path: Path, whole: dict[str, bytes]) -> None:
    go = tmp_path / "go"

    def murder() -> None:
        until(go.with_suffix(".pid").exists)
        kill(go.with_suffix(".pid"))

    source = HeldFrames(held={"shot00010_5": go})
    with meanwhile(murder), pytest.raises(AvsError, match="all processes have ended before") as caught:
        make_stores_on_devices(plans(tmp_path / "out"), SHOTS, partial(given, source), devices=["cpu"], batch_size=2)
    assert caught.value.got == "the one on cpu was killed by SIGKILL"
    make_stores_on_devices(
        plans(tmp_path / "out"), SHOTS, partial(given, FakeFrames()), devices=["cpu"], batch_size=2, workers=1
    )
    assert content(tmp_path / "out") == whole


def test_an_error_of_all_arrives_once_as_it_was_and_what_was_done_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    broken = partial(given, FakeFrames(broken="shot00010_5"))
    with pytest.raises(VideoError) as caught:
        make_stores_on_devices(plans(out), SHOTS, broken, devices=["cpu", "cpu"], batch_size=2)
    assert str(caught.value) == "the video broke\n  where:  shot00010_5" and caplog.records == []
    assert list(out.glob("toy/*/parts/*.part")) and not list(out.glob("toy/*/parts/owners/*"))


def test_a_store_that_others_write_is_not_forced_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from avs.features import stores

    def refuse(folder: Path) -> None:
        raise StoreError("another process is writing here", where=folder)

    monkeypatch.setattr(stores, "require_no_writers", refuse)
    with pytest.raises(StoreError, match="another process is writing here"):
        make_stores_on_devices(plans(tmp_path), SHOTS, partial(given, FakeFrames()), devices=["cpu"], force=True)
