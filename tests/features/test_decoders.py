"""Workers that die, hang, raise and are broken off. They read fake frames; stores are compared byte for byte."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import active_children
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from fake_frames import FakeFrames, table

from avs.core.errors import ConfigError, MissingDependencyError
from avs.core.frames import ShotFrames
from avs.core.progress import Reporter
from avs.core.shots import Shot
from avs.core.signs_of_life import sign_of_life
from avs.core.store import FeatureStore, Problem
from avs.core.store_parts import SharedWriter, UnfinishedStore
from avs.features import decoders, decoding_worker, worker_line
from avs.features.batches import Feed, ImageBatch, ImageBatches
from avs.features.claims import Shard
from avs.features.decoders import JobAgain, load_batches, timeout_of
from avs.features.decoding_worker import JobDone, VideoBegun, run_worker
from avs.features.embedder import load_embedder
from avs.features.encoders import ImageEncoder
from avs.features.encoding import Target
from avs.features.extract import extract, store_manifest
from avs.features.levels import StoreLevel
from avs.features.preprocess import Geometry
from avs.features.units import Units
from avs.features.worker_line import WorkerGoneError

SHOTS = table({"00001": 9, "00002": 2, "00003": 2, "00010": 7, "00011": 1})
FILES = ("vectors.npy", "ids.txt", "problems.tsv", "offsets.npy", "pts_s.npy")
SILENT_S = 0.6
DIED = "the process that decoded it died (killed by signal 9, perhaps for want of memory)"
TWICE = "the process that decoded it died twice (killed by signal 9, perhaps for want of memory)"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave() -> None:
    os._exit(3)


def sleep() -> None:
    time.sleep(10_000)


def work_slowly() -> None:
    """Longer than a silent worker lives, with signs of life."""
    for _ in range(20):
        time.sleep(SILENT_S / 10)
        sign_of_life()


def fail() -> None:
    raise ZeroDivisionError("of the source")


class Unsendable(Exception):
    """An error whose copy in another process cannot be made."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(one)


def fail_unsendably() -> None:
    raise Unsendable("what", "where")


ACTIONS = {f.__name__: f for f in (die, leave, sleep, work_slowly, fail, fail_unsendably)}


@dataclass
class OddFrames:
    """FakeFrames that come to grief in the last shots of some videos.

    Attributes:
        grief: video -> name of what happens.
        only_once: folder for marks of what has happened, which then does not happen again; None: it always happens.
        log: file that names the shots as they are read.
    """

    grief: Mapping[str, str] = field(default_factory=dict)
    only_once: Path | None = None
    frames: FakeFrames = field(default_factory=FakeFrames)
    log: Path | None = None

    def read(self, video: str, shots: Sequence[Shot]) -> Iterator[tuple[ShotFrames, ...]]:
        for place, views in enumerate(self.frames.read(video, shots)):
            if place == len(shots) - 1 and video in self.grief and self._is_due(video):
                ACTIONS[self.grief[video]]()
            if self.log is not None:
                with open(self.log, "a") as log:
                    print(views[0].shot, file=log)
            yield views

    def _is_due(self, video: str) -> bool:
        if self.only_once is None:
            return True
        mark = self.only_once / f"{video} came to grief"
        try:
            mark.touch(exist_ok=False)  # two workers may be at two parts of the video
            due = True
        except FileExistsError:
            due = False
        return due

    def begins_anywhere(self, video: str) -> bool:
        return True


class DeadlyWhenOpened(OddFrames):
    """What ends a worker before it reads a video."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        leave()


@pytest.fixture(scope="module")
def clip(checkpoints: dict[str, Path]) -> ImageEncoder:
    return load_embedder("clip", weights=checkpoints["clip"])


@pytest.fixture(scope="module")
def undisturbed(clip: ImageEncoder, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    run(clip, folder, OddFrames())
    return content(folder)


class Said(Reporter):
    """Remembers what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.done = self.failed = 0

    def say(self, line: str) -> None:
        self.lines.append(line)

    @contextmanager
    def stage(self, *_: object) -> Iterator[Said]:
        yield self

    def advance(self, n: int = 1, *, failed: int = 0, elsewhere: int = 0, note: str = "") -> None:
        self.done, self.failed = self.done + n, self.failed + failed


def run(clip: ImageEncoder, folder: Path, source: OddFrames, **options: Any) -> list[FeatureStore | UnfinishedStore]:
    inputs = {"shots": SHOTS.fingerprint}
    levels = [StoreLevel("shot"), StoreLevel("frame")]
    manifests = [store_manifest(clip.spec, level, sampling={}, inputs=inputs) for level in levels]
    writers = [SharedWriter(folder / manifest.config["level"], manifest) for manifest in manifests]
    return extract(SHOTS, source, [Target(clip, writers)], batch_size=4, **options)


def content(folder: Path) -> dict[str, bytes]:
    """Every file of the stores under `folder` but the manifest, which tells the time."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.name in FILES}


def image_batches(source: OddFrames) -> ImageBatches:
    units = Units(SHOTS, 4)
    claims = [(job, (0,)) for job in range(units.jobs)]
    return ImageBatches(SHOTS, source, units, claims, [Feed(0, 0, (Geometry(160, None, "bicubic"),))], [0], 4)


@pytest.mark.parametrize("shard", [None, Shard(0, 1)], ids=["leased", "shard"])
def test_what_a_worker_was_at_when_it_died_is_done_again(
    clip: ImageEncoder, tmp_path: Path, undisturbed: dict[str, bytes], shard: Shard | None
) -> None:
    reporter = Said()
    source = OddFrames({"00001": "die", "00010": "leave"}, only_once=tmp_path)
    run(clip, tmp_path / "out", source, workers=2, shard=shard, reporter=reporter)
    assert content(tmp_path / "out") == undisturbed
    assert (reporter.done, reporter.failed) == (len(SHOTS), 0)
    assert sorted(reporter.lines) == [
        f"video 00001: {DIED}; it is decoded again",
        "video 00010: the process that decoded it died (exit code 3); it is decoded again",
    ]


def test_shots_of_videos_that_kill_or_hang_fail_and_others_keep_their_frames(
    clip: ImageEncoder, tmp_path: Path
) -> None:
    reporter, grief = Said(), {"00002": "die", "00011": "sleep", "00010": "work_slowly"}
    stores = run(clip, tmp_path / "out", OddFrames(grief), workers=2, video_timeout_s=SILENT_S, reporter=reporter)
    lost = [shot for shot in SHOTS if shot.video in ("00002", "00011")]
    reasons = {"00002": TWICE, "00011": f"the decoder gave nothing for {SILENT_S} s"}
    assert (reporter.done, reporter.failed) == (len(SHOTS), len(lost))
    assert sorted(reporter.lines) == [
        f"video 00002: {DIED}; it is decoded again",
        f"video 00002: {TWICE}; its shots of this job fail",
        f"video 00011: {reasons['00011']}; its shots of this job fail",
    ]
    for store in stores:
        assert isinstance(store, FeatureStore)
        assert store.problems == [Problem(shot.id, "failed", reasons[shot.video]) for shot in lost]
    run(clip, tmp_path / "without", OddFrames(frames=FakeFrames(failed={shot.id for shot in lost})))
    mine, theirs = content(tmp_path / "out"), content(tmp_path / "without")
    assert {name for name in mine if mine[name] != theirs[name]} == {"shot/problems.tsv", "frame/problems.tsv"}


def test_workers_that_die_before_they_read_a_video_are_an_error(clip: ImageEncoder, tmp_path: Path) -> None:
    with pytest.raises(MissingDependencyError, match="have ended before they read a video") as caught:
        run(clip, tmp_path, DeadlyWhenOpened(), workers=1)
    assert caught.value.got == "the last one: exit code 3"


class ScriptedLine:
    """A WorkerLine without a process: what it is told is written down beforehand."""

    script: ClassVar[list[object]]

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def send(self, message: object) -> None:
        pass

    kill = end = lambda self: None

    def hear(self) -> object:
        message = self.script.pop(0)
        if isinstance(message, Exception):
            raise message
        return message


def test_workers_that_die_at_their_start_are_replaced_for_longer_when_others_have_lived(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decoders, "WorkerLine", ScriptedLine)
    gone = WorkerGoneError("killed by signal 9")
    ScriptedLine.script = [VideoBegun("00001"), JobDone(), *[gone] * 9, VideoBegun("00001"), *[JobDone()] * 99]
    found = list(load_batches(image_batches(OddFrames()), workers=1, pin=False))
    assert len(found) == 9 and all(isinstance(one, JobAgain) and one.job == 1 for one in found)
    ScriptedLine.script = [VideoBegun("00001"), JobDone(), *[gone] * 10]
    with pytest.raises(MissingDependencyError, match="10 worker processes have ended"):
        list(load_batches(image_batches(OddFrames()), workers=1, pin=False))


@pytest.mark.parametrize(
    ("what", "error", "said"),
    [("fail", ZeroDivisionError, "of the source"), ("fail_unsendably", RuntimeError, "Unsendable: what")],
)
def test_an_unexpected_error_arrives_with_the_traceback_of_its_worker(
    clip: ImageEncoder, tmp_path: Path, what: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error) as caught:
        run(clip, tmp_path, OddFrames({"00001": what}), workers=1)
    assert str(caught.value) == said
    assert f"in {what}\n" in str(caught.value.__cause__)


def test_a_worker_is_two_batches_ahead_at_most_and_may_wait_for_the_main_process_however_long(tmp_path: Path) -> None:
    log, taken = tmp_path / "log", 0
    loaded = load_batches(image_batches(OddFrames(log=log)), workers=1, pin=False, timeout_s=SILENT_S)
    for number, batch in enumerate(loaded):
        if number in (0, 5):
            time.sleep(2 * SILENT_S)
        assert isinstance(batch, ImageBatch), "it was waiting, not silent"
        taken += len(batch.images[0])
        read = [SHOTS.get(shot) for shot in log.read_text().split()]
        frames = sum(len(FakeFrames().frames(shot).data) for shot in read)
        assert frames - taken <= 2 * 4 + 5  # the last shot may have begun a third batch
    assert taken == frames > 40


def run_one_and_never_the_other(end: Connection, line: Connection, batches: Path) -> None:
    """The second worker does not hang on its lifeline, like one that still imports the program of its main process."""
    try:
        (batches.parent / "begun").touch(exist_ok=False)
    except FileExistsError:
        time.sleep(10_000)
    run_worker(end, line, batches)


def test_a_worker_that_has_not_begun_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_line, "run_worker", run_one_and_never_the_other)
    before = set(active_children())
    loaded = load_batches(image_batches(OddFrames()), workers=2, pin=False)
    next(loaded)
    while len(ours := set(active_children()) - before) < 2:
        time.sleep(0.01)
    loaded.close()
    assert not ours & set(active_children())


def test_every_batch_arrives_whole(tmp_path: Path) -> None:
    batches = image_batches(OddFrames())
    here = {(batch.unit, place): batch for place, batch in _placed(load_batches(batches, workers=0, pin=False))}
    there = {(batch.unit, place): batch for place, batch in _placed(load_batches(batches, workers=2, pin=False))}
    assert here.keys() == there.keys()
    large = 0
    for key, batch in here.items():
        (mine,), (theirs,) = batch.images, there[key].images
        large += theirs.nbytes >= decoding_worker.LARGE_BYTES
        np.testing.assert_array_equal(mine, theirs)
        assert [outcome.shot for outcome in batch.outcomes] == [outcome.shot for outcome in there[key].outcomes]
    assert large > 5


def _placed(batches: Iterator[ImageBatch | JobAgain]) -> Iterator[tuple[int, ImageBatch]]:
    """The batches, with their places in their units."""
    places: dict[int, int] = {}
    for batch in batches:
        assert isinstance(batch, ImageBatch)
        yield places.setdefault(batch.unit, 0), batch
        places[batch.unit] += 1


@pytest.mark.parametrize(
    ("said_s", "workers", "timeout_s"), [(None, 0, 600), (None, 2, 600), (0, 0, np.inf), (0, 1, np.inf), (5, 1, 5)]
)
def test_how_long_a_decoder_may_be_silent(said_s: float | None, workers: int, timeout_s: float) -> None:
    assert timeout_of(said_s, workers) == timeout_s


@pytest.mark.parametrize("said_s", [-1.0, np.inf, np.nan])
def test_a_timeout_that_is_none_is_refused(said_s: float) -> None:
    with pytest.raises(ConfigError, match="out of range"):
        timeout_of(said_s, 1)


def test_nobody_can_watch_a_process_without_workers() -> None:
    with pytest.raises(ConfigError, match="needs worker processes"):
        timeout_of(5, 0)
