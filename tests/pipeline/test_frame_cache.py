"""The frame cache of a folder of videos: made once, refused for other videos, and whole after a kill at any moment."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest
from processes import end_by, session, started, wait_until
from tiny_videos import write_collection, write_film

from avs.cli.main import main
from avs.core.contents import hash_file
from avs.core.errors import ChangedInputsError, ConfigError, StoreError, TooManyFailuresError, UnknownIdError
from avs.core.progress import Reporter
from avs.pipeline.frame_cache import find_shot_videos, make_frame_cache
from avs.video import frame_cache_writer
from avs.video.frame_cache import CacheSettings, FrameCache
from avs.video.frame_cache_writer import FrameCacheWriter

SMALL = CacheSettings(size=16)
SCRIPT = """
import sys, time
from pathlib import Path
from avs.cli.main import ending_in_order_when_terminated
from avs.core.progress import Reporter
from avs.pipeline.frame_cache import find_shot_videos, make_frame_cache
from avs.video import frame_cache_writer
from avs.video.frame_cache import CacheSettings
frame_cache_writer.JOB_FRAMES = 1
root, pause_at, workers = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
write = frame_cache_writer.write_shard
def slow(folder, job, *rest):
    if job == pause_at:
        (folder / "shards/.000002.jpegs.tmp").write_bytes(b"half a shard")
        time.sleep(600)
    return write(folder, job, *rest)
if workers < 2:
    frame_cache_writer.write_shard = slow
with ending_in_order_when_terminated():
    found = find_shot_videos(root / "videos", root / "shots.tsv")
    make_frame_cache(found, root / "cache", CacheSettings(size=16), workers=workers, reporter=Reporter())
"""

HOLD = """
import sys, time
from pathlib import Path
from avs.core.lock import sole_writer
with sole_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    write_collection(tmp_path)
    return tmp_path


def make(root: Path, settings: CacheSettings = SMALL, *, to: str = "cache", **options: object) -> FrameCache:
    options = {"workers": 0, "reporter": Reporter(quiet=False)} | options
    found = find_shot_videos(root / "videos", root / "shots.tsv")
    return make_frame_cache(found, root / to, settings, **options)  # type: ignore[arg-type]


def test_the_size_is_said_first_and_a_finished_cache_is_kept(
    collection: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = make(collection)
    said = capsys.readouterr().err
    assert said.index("18 frames, about 0.00 GB; ") < said.index(f"wrote {collection / 'cache'}: 18 frames of 9 shots")
    before = (collection / "cache/manifest.json").read_text()
    assert make(collection, force=False).ids == cache.ids
    assert "up to date" in capsys.readouterr().err
    assert (collection / "cache/manifest.json").read_text() == before
    assert {"ids.txt", "problems.tsv", "videos.tsv", "shards/000000.jpegs"} <= set(cache.manifest["files"])


@pytest.mark.parametrize("settings", [CacheSettings(size=24), CacheSettings(2, 16), CacheSettings(1, 16, 80)])
def test_a_cache_of_other_settings_is_in_the_way(collection: Path, settings: CacheSettings) -> None:
    make(collection)
    with pytest.raises(ChangedInputsError, match=r"changed: config\.(size|fps|quality)"):
        make(collection, settings)
    assert make(collection, settings, force=True).settings == settings
    assert not (collection / "cache/unfinished").exists()


def test_a_cache_of_other_videos_or_shots_is_in_the_way(collection: Path) -> None:
    make(collection)
    write_film(collection / "videos/00002.mp4", seed=99)
    with pytest.raises(ChangedInputsError, match="inputs.videos"):
        make(collection)
    lines = (collection / "shots.tsv").read_text().splitlines()
    (collection / "shots.tsv").write_text("\n".join(lines[:4]) + "\n")
    with pytest.raises(ChangedInputsError, match="inputs.shots, inputs.videos"):
        make(collection)


def test_force_replaces_a_cache_that_was_interrupted_or_had_more_shards(
    collection: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as smaller:
        smaller.setattr(frame_cache_writer, "JOB_FRAMES", 1)
        make(collection)
        smaller.setattr(FrameCacheWriter, "commit", lambda *_, **__: exit_now())
        with pytest.raises(KeyboardInterrupt):
            make(collection, to="interrupted")
    for folder in ("cache", "interrupted"):
        if folder == "interrupted":
            with pytest.raises(ChangedInputsError):
                make(collection, CacheSettings(size=24), to=folder)
        assert make(collection, CacheSettings(size=24), to=folder, force=True).size == 24
        assert [path.name for path in (collection / folder / "shards").iterdir()] == ["000000.jpegs"]


def exit_now() -> None:
    raise KeyboardInterrupt


def test_shards_of_an_avs_that_divides_the_table_otherwise_are_made_again(
    collection: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as other:
        other.setattr(frame_cache_writer, "JOB_FRAMES", 1)
        other.setattr(FrameCacheWriter, "commit", lambda *_, **__: exit_now())
        with pytest.raises(KeyboardInterrupt):
            make(collection)
    assert make(collection).manifest["files"] == make(collection, to="whole").manifest["files"]


def test_what_is_no_cache_is_never_replaced(collection: Path) -> None:
    with pytest.raises(ConfigError, match="something else is where the frame-cache should go"):
        make(collection, to="videos", force=True)


def test_one_process_writes_at_a_time(collection: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with started(["-c", HOLD, collection / "cache"]) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match="another process is writing here"):
            make(collection)
        monkeypatch.setattr("avs.pipeline.frame_cache.require_no_writer", lambda folder: None)  # it came just after
        with pytest.raises(StoreError, match="another process is writing here"):
            make(collection)
    assert len(make(collection)) == 9  # a folder with nothing but the lock of a process that was killed is free


def test_too_many_failures_are_told_each_time_and_the_rest_is_there(
    collection: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (collection / "videos/00002.mp4").write_bytes(b"no video")
    for _ in range(2):
        with pytest.raises(TooManyFailuresError, match="3 of 9 shots failed"):
            make(collection)
        assert "3 of 9 shots have no frame and are left out: shot00002_1" in capsys.readouterr().err
    cache = make(collection, max_failed=0.34)
    assert len(cache) == 6 and not any("shot00002" in shot for shot in cache.ids)


def test_info_tells_what_is_in_a_cache_and_verifies_it(collection: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (collection / "videos/00002.mp4").write_bytes(b"no video")
    make(collection, max_failed=0.5)
    capsys.readouterr()
    assert main(["info", str(collection / "cache")]) == 0
    told = capsys.readouterr().out
    assert "12 of 6 shots, 2 to 2 a shot, 16 x 16 pixels" in told
    assert "shot00002_1: failed: " in told
    assert main(["info", str(collection / "cache"), "--verify"]) == 0
    ids, manifest = collection / "cache/ids.txt", collection / "cache/manifest.json"
    before = hash_file(ids)
    ids.write_text("shot00001_1\n")
    assert main(["info", str(collection / "cache"), "--verify"]) == 1
    assert "ids.txt was changed" in "".join(capsys.readouterr())
    manifest.write_text(manifest.read_text().replace(before, hash_file(ids)))
    assert main(["info", str(collection / "cache"), "--verify"]) == 1
    assert "got:    1 ids, 12 times, " in "".join(capsys.readouterr())


def test_videos_of_another_collection(collection: Path) -> None:
    for path in (collection / "videos").iterdir():
        path.rename(path.with_name(f"x{path.name}"))
    with pytest.raises(UnknownIdError, match="no video of the shot table is in the folder"):
        make(collection)


def test_a_killed_making_goes_on_with_the_same_bytes(collection: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with started(["-c", SCRIPT, collection, 2, 1]) as process:
        wait_until(lambda: (collection / "cache/shards/.000002.jpegs.tmp").exists(), process)
        end_by(process, signal.SIGKILL)
    cache = collection / "cache"
    assert sorted(path.name for path in (cache / "unfinished").glob("*.npz")) == ["000000.npz", "000001.npz"]
    kept = {path: path.stat().st_mtime_ns for path in (cache / "shards").glob("*.jpegs")}
    monkeypatch.setattr(frame_cache_writer, "JOB_FRAMES", 1)
    resumed = make(collection)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept and len(kept) == 2
    whole = make(collection, to="whole")
    assert resumed.manifest["files"] == whole.manifest["files"]
    assert not (cache / "unfinished").exists() and not (cache / "shards/.000002.jpegs.tmp").exists()


@pytest.mark.parametrize(
    ("how", "code"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_no_process_is_left(collection: Path, how: signal.Signals, code: int) -> None:
    film = collection / "videos/00001.mp4"
    with open(collection / "shots.tsv", "a", encoding="utf-8") as table:
        for number in range(10, 200):
            shutil.copy(film, collection / f"videos/{number:05d}.mp4")
            table.write(f"shot{number:05d}_1\t{number:05d}\t0.0\t6.0\n")
    with started(["-c", SCRIPT, collection, -1, 2]) as process:
        wait_until(lambda: list((collection / "cache").glob("unfinished/*.npz")), process)
        ended, err = end_by(process, how)  # fails if a process of the session is left
    assert session(process.pid) == []
    assert ended == code, err
    assert not (collection / "cache/manifest.json").exists()
