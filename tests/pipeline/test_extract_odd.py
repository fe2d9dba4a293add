"""A folder that mixes sound videos with odd ones: one row a shot, the same whoever decodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from avs.cli.main import main
from avs.core.shots import ShotTable, read_shot_table, write_shot_table
from avs.core.store import FeatureStore
from avs.demo.collection import generate_collection
from avs.video.find import find_videos

FILES = ("vectors.npy", "ids.txt", "problems.tsv", "videos.tsv", "offsets.npy", "pts_s.npy")
STARTS_S = (0.0, 2.0, 9.0)  # of the shots of real videos, of 2 s; many end before the last one
INVALID = "Invalid data found when processing input"
STATUSES = {  # of the shots of videos that are known well
    "flower-mp4": ["ok", "ok", "failed: 0/4 frames, the video ends at 5.0 s"],
    "empty-webm": ["failed: the file is empty"] * 3,
    "corrupted-mp4": [
        "ok", "partial: 3/4 frames, decode error at 3.2 s", "failed: 0/4 frames, the video ends at 5.0 s"
    ],
    "with-attached-pic-mp4": [f"failed: not a video that FFmpeg can open ({INVALID})"] * 3,
    "gone-mp4": ["failed: no video file has this id (gone-mp4)"] * 3,
}  # fmt: skip


@pytest.fixture
def mixed(tmp_path: Path, shared: Callable[[str], Path]) -> Path:
    """A folder with videos/ and shots.tsv: 30 mini shots, and three of every real file and of one that is gone."""
    mini = generate_collection(tmp_path / "mini", shots=30, workers=0)
    (tmp_path / "videos").mkdir()
    for path in mini.videos.iterdir():
        (tmp_path / "videos" / path.name).symlink_to(path)
    words = ["--videos", mini.videos, "--video-ids", "name", "--detect", "-o", tmp_path / "mini.tsv", "--workers", 0]
    assert main(["shots", *map(str, words)]) == 0
    of_mini = read_shot_table(tmp_path / "mini.tsv")
    for kind in ("clips", "odd"):
        for path in shared(f"videos/{kind}").iterdir():
            suffix = ".mp4" if path.suffix == ".mp3" else path.suffix  # sound with a picture, by the name of a video
            if suffix != ".json":
                (tmp_path / "videos" / f"{path.stem}{suffix}").symlink_to(path)
    real = [video for video in find_videos(tmp_path / "videos", ids="name") if video not in of_mini.video_ids]
    more = [(f"shot{v}_{n}", s, s + 2) for v in (*real, "gone-mp4") for n, s in enumerate(STARTS_S, 1)]
    own = [(shot.id, shot.start_s, shot.end_s) for shot in of_mini]
    write_shot_table(ShotTable(*map(list, zip(*own, *more, strict=True))), tmp_path / "shots.tsv")
    return tmp_path


def test_every_shot_is_a_row_with_the_same_status_whatever_the_workers(mixed: Path) -> None:
    words = ["--videos", mixed / "videos", "--video-ids", "name", "--shots", mixed / "shots.tsv", "--batch-size", 8]
    words += ["--model", "mini-clip", "--level", "shot", "--level", "frame", "--quiet"]
    for workers in ("0", "2", "4"):
        assert main(["extract-features", *map(str, words), "-o", str(mixed / workers), "--workers", workers]) == 1
    assert main(["extract-features", *map(str, words), "-o", str(mixed / "0"), "--max-failed", "0.5"]) == 0
    table = read_shot_table(mixed / "shots.tsv")
    for level in ("shot", "frame"):
        store = FeatureStore(mixed / "0/mini-clip" / level)
        found = {shot: "ok" for shot in table.ids}
        found |= {problem.shot: f"{problem.status}: {problem.reason}" for problem in store.problems}
        assert list(found) == list(table.ids)
        assert {video: [found[shot.id] for shot in table.of_video(video)] for video in STATUSES} == STATUSES
        counts = Counter(said.partition(":")[0] for said in found.values())
        assert counts == {status: store.manifest["counts"][status] for status in ("ok", "partial", "failed")}
        assert store.ids == tuple(shot for shot in table.ids if not found[shot].startswith("failed"))
        np.testing.assert_allclose(np.linalg.norm(store.vectors.astype(np.float32), axis=1), 1, atol=2e-3)
        assert main(["info", str(store.folder), "--verify", "--quiet"]) == 0
        for workers in ("2", "4"):
            for name in FILES if level == "frame" else FILES[:4]:
                there = mixed / workers / "mini-clip" / level / name
                assert there.read_bytes() == (store.folder / name).read_bytes(), (workers, name)
