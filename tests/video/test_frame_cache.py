"""The frame cache: its pictures are those of the grid, its shards do not depend on how they were made."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from tiny_videos import MakeVideo, frame_of, write_collection

from avs.core.artifacts import Manifest
from avs.core.errors import ChangedInputsError, ConfigError, StoreError, UnknownIdError
from avs.core.progress import Reporter
from avs.core.shots import Shot, ShotTable, read_shot_table
from avs.video import frame_cache_writer
from avs.video.find import find_videos
from avs.video.folder import VideoFolder
from avs.video.frame_cache import PIECE_FRAMES, CacheSettings, FrameCache
from avs.video.frame_cache_writer import FrameCacheWriter, estimated_bytes, jobs_of
from avs.video.sampling import Sampling
from avs.video.squares import from_jpeg, square, to_jpeg

SMALL = CacheSettings(size=16)


def write_cache(
    folder: Path, paths: dict[str, Path], table: ShotTable, settings: CacheSettings = SMALL, workers: int = 0
) -> FrameCache:
    writer = FrameCacheWriter(folder, Manifest("frame-cache", settings.config), table, settings)
    with Reporter().stage("", 1, "") as stage:
        writer.write(paths, workers=workers, stage=stage)
    return writer.commit()


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    write_collection(tmp_path)
    return tmp_path


def parts_of(collection: Path) -> tuple[dict[str, Path], ShotTable]:
    return dict(find_videos(collection / "videos")), read_shot_table(collection / "shots.tsv")


def test_pictures_are_the_squares_of_the_grid_in_time(collection: Path) -> None:
    paths, table = parts_of(collection)
    cache = write_cache(collection / "cache", paths, table)
    assert cache.ids == table.ids and cache.offsets.tolist() == list(range(0, 19, 2)) and cache.size == 16
    source = VideoFolder(paths, Sampling("interval", 1.0))
    for position, shot in enumerate(table):
        (frames,) = source.read(shot.video, [shot])
        expected = [from_jpeg(to_jpeg(square(picture, 16), 90)) for picture in frames.data]
        assert np.array_equal(cache.decode(position, [0, 1]), expected)
        assert np.array_equal(cache.decode(position, np.array([1, 1, 0])), [expected[1], expected[1], expected[0]])
        assert cache.pts_s[2 * position : 2 * position + 2].tolist() == frames.pts_s.tolist()
    assert cache.decode(0, []).shape == (0, 3, 16, 16)


def test_positions_and_frames_that_are_not_there_are_errors(collection: Path) -> None:
    cache = write_cache(collection / "cache", *parts_of(collection))
    assert cache.index(["shot00003_3", "shot00001_1"]).tolist() == [8, 0]
    with pytest.raises(UnknownIdError, match="1 of 2 shots have no frames"):
        cache.index(["shot00001_1", "shot00009_1"])
    for frame in (2, -1):
        with pytest.raises(IndexError, match=f"frame {frame} of 2 of shot shot00001_1"):
            cache.decode(0, [frame])


@pytest.mark.parametrize("fps", [0.3, 1.0, 2.0, 7.0, 29.97])
def test_the_pieces_of_a_shot_have_its_grid(fps: float) -> None:
    settings = CacheSettings(fps=fps)
    for number, end_s in enumerate(np.random.default_rng(0).uniform(0.1, 90, 200).round(2).tolist()):
        shot = Shot("shot1_1", "1", 0.04, 0.05 + end_s + (number % 7) / 3)
        pieces = settings.pieces(shot)
        grids = [settings.sampling.times(piece.start_s, piece.end_s) for piece in pieces]
        whole = Sampling("interval", 1 / fps, 10**6).times(shot.start_s, shot.end_s)
        assert np.allclose(np.concatenate(grids), whole, rtol=0, atol=1e-9)
        assert settings.count(shot) == len(whole) and max(map(len, grids)) <= PIECE_FRAMES


def test_a_long_shot_has_all_frames_of_its_grid(tmp_path: Path, make_video: MakeVideo) -> None:
    """Sampling alone would cut it to 120 frames, and have all of them in memory."""
    path = make_video(frames=160, fps=40, codec="libx264")
    table = ShotTable(["shotvideo_1"], [0.0], [4.0])
    cache = write_cache(tmp_path / "cache", {"video": path}, table, CacheSettings(fps=40, size=16, quality=95))
    assert cache.offsets.tolist() == [0, 160]
    assert np.allclose(cache.pts_s, np.arange(160) / 40, atol=1e-3)
    assert [frame_of(picture) for picture in cache.decode(0, range(160))] == [n % 40 for n in range(160)]


def test_a_frame_that_stays_on_screen_is_taken_once(tmp_path: Path, make_video: MakeVideo) -> None:
    path = make_video(frames=4, fps=1)
    table = ShotTable(["shotvideo_1"], [0.0], [4.0])
    cache = write_cache(tmp_path / "cache", {"video": path}, table, CacheSettings(fps=20, size=16))
    assert cache.pts_s.tolist() == [0.0, 1.0, 2.0, 3.0]


def test_a_short_shot_gives_its_middle(tmp_path: Path, make_video: MakeVideo) -> None:
    table = ShotTable(["shotvideo_1"], [1.0], [1.5])
    cache = write_cache(tmp_path / "cache", {"video": make_video()}, table)
    assert cache.pts_s.tolist() == [1.2]


def test_videos_that_fail_are_left_out_with_their_reasons(collection: Path) -> None:
    paths, table = parts_of(collection)
    paths["00002"].write_bytes(b"no video")
    del paths["00003"]
    longer = ShotTable([*table.ids[:3], *table.ids[3:]], table.start_s, [2.0, 4.0, 60.0, *table.end_s[3:]])
    cache = write_cache(collection / "cache", paths, longer, CacheSettings(fps=1, size=16))
    assert cache.ids == table.ids[:3] and len(cache.offsets) == 4
    assert cache.manifest["counts"] | {"bytes": 0} == {"ok": 2, "partial": 1, "failed": 6, "frames": 6, "bytes": 0}
    reasons = {shot: (status, reason) for shot, status, reason in cache.problems}
    assert set(reasons) == set(table.ids[2:])
    assert reasons["shot00001_3"][0] == "partial" and "parts; part 1: " in reasons["shot00001_3"][1]
    assert "the video ends at 6.0 s" in reasons["shot00001_3"][1]
    assert reasons["shot00003_1"] == ("failed", "no video file has this id (00003)")
    with pytest.raises(UnknownIdError, match="no video file has this id"):
        cache.index(["shot00003_1"])
    assert cache.decode(2, [1]).std() > 5  # a picture of coloured noise, not a black one


def test_nothing_but_failures_make_no_cache(collection: Path) -> None:
    with pytest.raises(StoreError, match="all 9 shots failed"):
        write_cache(collection / "cache", {}, parts_of(collection)[1])
    assert not (collection / "cache/manifest.json").exists()


def test_shards_do_not_depend_on_processes(collection: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_cache_writer, "JOB_FRAMES", 1)
    paths, table = parts_of(collection)
    one = write_cache(collection / "one", paths, table)
    two = write_cache(collection / "two", paths, table, workers=2)
    assert one.manifest["files"] == two.manifest["files"]
    assert {name for name in one.manifest["files"] if "/" in name} == {f"shards/00000{n}.jpegs" for n in range(3)}
    monkeypatch.setattr(frame_cache_writer, "JOB_FRAMES", 7)
    third = write_cache(collection / "three", paths, table)
    assert len(jobs_of(table, SMALL)) == 2
    for position in range(9):  # where one shard ends makes no difference
        assert np.array_equal(one.decode(position, [1, 0]), third.decode(position, [1, 0]))


def test_shards_that_are_there_are_kept(collection: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_cache_writer, "JOB_FRAMES", 1)
    paths, table = parts_of(collection)
    folder = collection / "cache"
    manifest = Manifest("frame-cache", SMALL.config)
    FrameCacheWriter(folder, manifest, table, SMALL)
    frame_cache_writer.write_shard(folder, 1, VideoFolder(paths, SMALL.sampling), table.of_video("00002"), SMALL)
    before = (folder / "shards/000001.jpegs").stat().st_mtime_ns
    (folder / "shards/000002.jpegs").write_bytes(b"a shard without a part is not complete")
    cache = write_cache(folder, paths, table)
    assert (folder / "shards/000001.jpegs").stat().st_mtime_ns == before
    assert cache.decode(8, [0]).shape == (1, 3, 16, 16) and not (folder / "unfinished").exists()
    assert cache.manifest["files"] == write_cache(collection / "whole", paths, table).manifest["files"]


def test_shards_of_other_settings_are_refused(collection: Path) -> None:
    _, table = parts_of(collection)
    FrameCacheWriter(collection / "cache", Manifest("frame-cache", SMALL.config), table, SMALL)
    other = CacheSettings(size=24)
    with pytest.raises(ChangedInputsError, match="other inputs or settings"):
        FrameCacheWriter(collection / "cache", Manifest("frame-cache", other.config), table, other)


def test_a_damaged_cache_is_not_opened(collection: Path) -> None:
    write_cache(collection / "cache", *parts_of(collection))
    shard = collection / "cache/shards/000000.jpegs"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(bytes(data))
    with pytest.raises(StoreError, match="shards/000000.jpegs was changed"):
        FrameCache(collection / "cache")


def test_another_artefact_is_no_cache(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"type": "feature-store", "fingerprint": "x"}')
    with pytest.raises(StoreError, match="not a frame cache"):
        FrameCache(tmp_path)


def test_more_shards_than_are_open_at_once(collection: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_cache_writer, "JOB_FRAMES", 1)
    whole = write_cache(collection / "cache", *parts_of(collection))
    monkeypatch.setattr("avs.video.frame_cache.OPEN_SHARDS", 1)
    cache = FrameCache(collection / "cache")
    for position in (0, 8, 4, 0):
        assert np.array_equal(cache.decode(position, [0]), whole.decode(position, [0]))


def test_a_cache_goes_to_another_process(collection: Path) -> None:
    cache = write_cache(collection / "cache", *parts_of(collection))
    again = pickle.loads(pickle.dumps(cache))
    assert np.array_equal(again.decode(3, [0, 1]), cache.decode(3, [0, 1]))


def test_the_estimate_is_near_the_size(collection: Path) -> None:
    paths, table = parts_of(collection)
    paths["00002"].write_bytes(b"no video")
    cache = write_cache(collection / "cache", paths, table)
    estimate = estimated_bytes(table, paths, SMALL)
    assert estimate is not None and 0.8 < estimate / 18 / (cache.manifest["counts"]["bytes"] / 12) < 1.25
    assert estimated_bytes(table, {}, SMALL) is None


def test_all_bad_settings_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        CacheSettings(fps=0.0, size=0, quality=96)
    for word in ("fps: ", "size: ", "quality: ", "3 problems"):
        assert word in str(caught.value)
