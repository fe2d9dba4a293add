"""What extraction tells of itself: extraction.json of its stores, and its progress."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fake_frames import FakeFrames, table

from avs.core.errors import VideoError
from avs.core.frames import ShotFrames
from avs.core.progress import Reporter, Stage
from avs.core.shots import Shot
from avs.core.store import FeatureStore
from avs.core.store_parts import SharedWriter, StoreParts, UnfinishedStore
from avs.features.account import account_lines, account_so_far, read_account
from avs.features.claims import Shard
from avs.features.embedder import load_embedder
from avs.features.encoders import ImageEncoder
from avs.features.encoding import Target
from avs.features.extract import extract, store_manifest
from avs.features.levels import parse_level
from avs.features.work_log import read_logs

SHOTS = table({"00001": 9, "00002": 1, "00003": 2, "00010": 7, "00011": 1})
JOBS = 5
FILES = ("vectors.npy", "ids.txt", "problems.tsv", "offsets.npy", "pts_s.npy")


@pytest.fixture(scope="module")
def clip(checkpoints: dict[str, Path]) -> ImageEncoder:
    return load_embedder("clip", weights=checkpoints["clip"])


@dataclass
class Noted(Reporter):
    """Keeps what it is told."""

    total: int = 0
    done: int = 0
    failed: int = 0
    elsewhere: int = 0
    notes: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Stage]:
        self.total = total
        yield self

    def advance(self, n: int = 1, *, failed: int = 0, elsewhere: int = 0, note: str = "") -> None:
        self.done, self.failed, self.elsewhere = self.done + n, self.failed + failed, self.elsewhere + elsewhere
        self.notes.append(note)

    def say(self, line: str) -> None:
        self.said.append(line)


def run(
    embedder: ImageEncoder, folder: Path, source: FakeFrames | None = None, **options: Any
) -> list[FeatureStore | UnfinishedStore]:
    inputs = {"shots": SHOTS.fingerprint}
    writers = [
        SharedWriter(folder / level, store_manifest(embedder.spec, parse_level(level), sampling={}, inputs=inputs))
        for level in ("shot", "frame")
    ]
    return extract(SHOTS, source or FakeFrames(), [Target(embedder, writers)], **{"batch_size": 4} | options)


def told(folder: Path, level: str = "frame") -> dict[str, Any]:
    found = read_account(folder / level)
    assert found is not None
    return found


def same(one: Path, other: Path) -> bool:
    paths = [path for path in sorted(one.rglob("*")) if path.name in FILES]
    assert len(paths) == 3 + 5
    return all(path.read_bytes() == (other / path.relative_to(one)).read_bytes() for path in paths)


def test_a_store_tells_how_it_was_made(clip: ImageEncoder, tmp_path: Path) -> None:
    source, reporter = FakeFrames(failed={"shot00001_4", "shot00002_1"}, partial={"shot00010_1"}), Noted()
    shot, frame = run(clip, tmp_path, source, reporter=reporter)
    assert isinstance(shot, FeatureStore) and isinstance(frame, FeatureStore)
    for store in (shot, frame):
        one = told(tmp_path, store.level)
        assert (one["jobs"], one["jobs_told"], one["shots"], one["videos"]) == (JOBS, JOBS, 20, 5)
        assert one["frames"] == len(frame.vectors) and one["video_s"] == 2.0 * 20
        assert one["seconds"] > 0 and one["shots_per_s"] > 0 and one["decode_s"] > 0
        assert one["device_waits_share"] > 0 and one["decoders_wait_share"] > 0
        (process,) = one["processes"]
        assert {"device": "cpu", "workers": 0, "batch_size": 4, "stores_in_its_pass": 2}.items() <= process.items()
        assert (process["jobs"], process["shots"], process["failed"]) == (JOBS, 20, 2)
        assert sorted(video["video"] for video in one["slowest_videos"]) == sorted(SHOTS.video_ids)
        assert [(kind["status"], kind["shots"]) for kind in one["failures"]] == [("failed", 2), ("partial", 1)]
        assert one["versions"] == store.manifest["versions"]
        assert "extraction.json" not in store.manifest["files"]
    assert (reporter.total, reporter.done, reporter.failed, reporter.elsewhere) == (20, 20, 2, 0)
    assert "frames/s, device waits" in reporter.notes[-1] and reporter.said == []


def test_workers_say_that_they_wait_and_batches_that_they_are_ready(clip: ImageEncoder, tmp_path: Path) -> None:
    reporter = Noted()
    run(clip, tmp_path, workers=2, reporter=reporter)
    one = told(tmp_path)
    assert one["processes"][0]["workers"] == 2 and one["jobs_told"] == JOBS
    assert one["decoders_wait_share"] > 0 and one["queue_batches"] > 0
    assert ", queue " in reporter.notes[-1]


def test_a_run_that_was_broken_off_and_its_sequel_add_up(clip: ImageEncoder, tmp_path: Path) -> None:
    run(clip, tmp_path / "whole")
    with pytest.raises(VideoError):
        run(clip, tmp_path / "broken", FakeFrames(broken="shot00010_2"))
    so_far = account_so_far(tmp_path / "broken/frame", jobs=JOBS)
    assert 0 < so_far["jobs_told"] < JOBS and "failures" not in so_far
    run(clip, tmp_path / "broken")
    one, whole = told(tmp_path / "broken"), told(tmp_path / "whole")
    assert same(tmp_path / "whole", tmp_path / "broken")
    assert {name: one[name] for name in ("jobs_told", "shots", "frames", "videos", "video_s")} == {
        name: whole[name] for name in ("jobs_told", "shots", "frames", "videos", "video_s")
    }
    assert sorted(process["jobs"] for process in one["processes"]) == sorted(
        [so_far["jobs_told"], JOBS - so_far["jobs_told"]]
    )


def test_a_job_is_logged_before_its_part_is_there(
    clip: ImageEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else another process might find all parts, and put the store together without the last line."""
    write, logged = StoreParts.write, []

    def watched(parts: StoreParts, job: int, part: Any) -> None:
        logged.append(job in [work.job for _, works in read_logs(parts.folder).work for work in works])
        write(parts, job, part)

    monkeypatch.setattr(StoreParts, "write", watched)
    run(clip, tmp_path)
    assert logged == [True] * 2 * JOBS


def test_shards_add_up(clip: ImageEncoder, tmp_path: Path) -> None:
    reporter = Noted()
    run(clip, tmp_path, shard=Shard(0, 2))
    run(clip, tmp_path, shard=Shard(1, 2), reporter=reporter)
    assert sorted(process["jobs"] for process in told(tmp_path)["processes"]) == [2, 3]
    assert reporter.done == reporter.total and reporter.elsewhere == 0


DAMAGE = {
    "torn": lambda text: text[:-10],
    "of another avs": lambda text: text.replace('"format": 1', '"format": 7'),
    "of something else": lambda text: "\0" * 100 + "\n",
    "empty": lambda text: "",
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_log_changes_nothing_but_what_is_known(clip: ImageEncoder, tmp_path: Path, what: str) -> None:
    run(clip, tmp_path / "whole")
    with pytest.raises(VideoError):
        run(clip, tmp_path / "broken", FakeFrames(broken="shot00010_2"))
    (log,) = (tmp_path / "broken/frame/parts/logs").iterdir()
    log.write_text(DAMAGE[what](log.read_text()))
    run(clip, tmp_path / "broken")
    assert same(tmp_path / "whole", tmp_path / "broken")
    one = told(tmp_path / "broken")
    assert one["jobs_told"] < JOBS and one["unread_logs"] == ([log.name] if what.startswith("of") else [])
    (line,) = account_lines({tmp_path: one})
    assert f"nothing is known of {JOBS - one['jobs_told']} of {JOBS} jobs" in line


def test_a_log_that_cannot_be_written_is_said_and_stops_nothing(clip: ImageEncoder, tmp_path: Path) -> None:
    run(clip, tmp_path / "whole")
    with pytest.raises(VideoError):
        run(clip, tmp_path / "broken", FakeFrames(broken="shot00001_1"))
    in_the_way = tmp_path / "broken/frame/parts/logs"
    in_the_way.write_text("a file")
    reporter = Noted()
    run(clip, tmp_path / "broken", reporter=reporter)
    assert same(tmp_path / "whole", tmp_path / "broken")
    (said,) = reporter.said
    assert said.startswith("extraction.json will not tell all") and str(in_the_way) in said and "File exists" in said
    assert told(tmp_path / "broken")["jobs_told"] == 0 and told(tmp_path / "broken", "shot")["jobs_told"] == JOBS


@dataclass
class SharedFrames(FakeFrames):
    """When it is read for the first time, another process comes and does all jobs that are free."""

    others: Any = None

    def read(self, video: str, shots: Sequence[Shot]) -> Iterator[tuple[ShotFrames, ...]]:
        come, self.others = self.others, None
        if come is not None:
            come()
        yield from super().read(video, shots)


def test_jobs_of_others_count_as_done(clip: ImageEncoder, tmp_path: Path) -> None:
    ours, theirs, found = Noted(), Noted(), []
    source = SharedFrames(others=lambda: found.extend(run(clip, tmp_path, reporter=theirs)))
    stores = run(clip, tmp_path, source, reporter=ours)
    assert all(isinstance(store, UnfinishedStore) for store in found)
    assert all(isinstance(store, FeatureStore) for store in stores)
    assert ours.total == theirs.total == 20 and 0 < ours.done < 20
    assert (ours.elsewhere, theirs.done) == (20 - ours.done, 20 - ours.done)
    one = told(tmp_path)
    assert one["shots"] == 20 and sorted(process["shots"] for process in one["processes"]) == sorted(
        [ours.done, theirs.done]
    )


def test_what_is_the_same_of_several_stores_is_said_once(clip: ImageEncoder, tmp_path: Path) -> None:
    run(clip, tmp_path / "a", FakeFrames(failed={"shot00001_4"}))
    accounts = {tmp_path / "a" / level: told(tmp_path / "a", level) for level in ("shot", "frame")}
    lines = account_lines({**accounts, tmp_path / "none": None})
    assert len(lines) == 2 and lines[0].startswith(f"{tmp_path}/a/shot: made in ")
    assert lines[1] == "1 failed: cannot decode (such as shot00001_4)"
    run(clip, tmp_path / "b")
    lines = account_lines({**accounts, tmp_path / "b/shot": told(tmp_path / "b", "shot")})
    assert len(lines) == 3 and lines[2].startswith(f"{tmp_path}/b/shot: made in ")


def test_an_account_that_somebody_changed_decides_nothing(clip: ImageEncoder, tmp_path: Path) -> None:
    run(clip, tmp_path)
    path = tmp_path / "shot/extraction.json"
    changed = json.loads(path.read_text())
    del changed["processes"][0]["host"]
    path.write_text(json.dumps(changed))
    assert read_account(tmp_path / "shot") is None and len(FeatureStore(tmp_path / "shot")) == 20
