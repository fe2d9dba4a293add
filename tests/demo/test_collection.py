"""The mini collection on disk: reproducible, consistent with itself, and split without overlap."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from avs.core.errors import ChangedInputsError, ConfigError
from avs.demo.collection import (
    CAPTIONS_PER_SHOT,
    CollectionPaths,
    generate_collection,
    sample_collection,
    scenes_by_shot,
)
from avs.demo.planting import BLOCK
from avs.demo.render import FPS, HEIGHT, WIDTH, frame_count, frames_of
from avs.demo.topics import MINI_TOPICS

SHOTS, SEED = 24, 5


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> CollectionPaths:
    return generate_collection(tmp_path_factory.mktemp("mini") / "c", shots=SHOTS, seed=SEED, workers=0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> CollectionPaths:
    return generate_collection(tmp_path_factory.mktemp("mini") / "t", shots=3, seed=SEED, split="train", workers=1)


def files(folder: Path) -> dict[str, bytes]:
    contents = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    return {name: data for name, data in contents.items() if name != "manifest.json"}


def test_same_seed_same_bytes(collection: CollectionPaths, tmp_path: Path) -> None:
    again = generate_collection(tmp_path / "again", shots=SHOTS, seed=SEED, workers=2)
    assert files(again.folder) == files(collection.folder)


def test_another_seed_another_collection() -> None:
    assert sample_collection(shots=5, seed=1) != sample_collection(shots=5, seed=2)


def test_a_larger_collection_begins_with_the_smaller_one() -> None:
    small = list(scenes_by_shot(sample_collection(shots=30, seed=3)).items())
    large = list(scenes_by_shot(sample_collection(shots=70, seed=3)).items())
    assert large[: len(small)] == small


def test_splits_share_no_video_and_no_scene() -> None:
    test = sample_collection(shots=60, seed=4)
    train = sample_collection(shots=60, seed=4, split="train")
    assert not test.keys() & train.keys()
    looks = [{scene.look for scenes in split.values() for scene in scenes} for split in (test, train)]
    assert not looks[0] & looks[1]


def test_size_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match="0 shots"):
        sample_collection(shots=0)


def test_layout_of_the_test_split(collection: CollectionPaths) -> None:
    videos = sample_collection(shots=SHOTS, seed=SEED)
    assert sorted(p.stem for p in collection.videos.iterdir()) == sorted(videos)
    assert collection.valid_shots.read_text().split("\n")[:-1] == [f"{v} {len(s)}" for v, s in videos.items()]
    assert collection.topics is not None and collection.narratives is not None and collection.topic_tags is not None
    lines = collection.topics.read_text().splitlines()
    assert lines[0] == "901  a red car moving from left to right"
    assert [line.split("  ", 1)[0] for line in lines] == [str(n) for n in range(901, 931)]
    assert [line[:3] for line in collection.narratives.read_text().splitlines()] == [line[:3] for line in lines]
    tags = json.loads(collection.topic_tags.read_text())
    assert {"motion", "count", "relation", "negation"} <= {tag for of_topic in tags.values() for tag in of_topic}
    assert collection.captions is None


def test_master_shots_cover_exactly_the_decoded_frames(collection: CollectionPaths) -> None:
    import av

    video = sorted(collection.videos.iterdir())[0]
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.codec_context.name) == (WIDTH, HEIGHT, "h264")
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    rows = [line.split("\t") for line in (collection.msb / f"{video.stem}.tsv").read_text().splitlines()]
    assert rows[0] == ["startframe", "starttime", "endframe", "endtime"]
    spans = [(int(first), int(last)) for first, _, last, _ in rows[1:]]
    assert spans[0][0] == 0 and spans[-1][1] == len(frames) - 1
    assert all(after[0] == before[1] + 1 for before, after in zip(spans, spans[1:], strict=False))
    assert all(float(row[1]) == pytest.approx(int(row[0]) / float(FPS)) for row in rows[1:])
    scenes = sample_collection(shots=SHOTS, seed=SEED)[video.stem]
    for (first, last), scene in zip(spans, scenes, strict=True):
        drawn = list(frames_of(scene))
        assert len(drawn) == frame_count(scene) == last - first + 1
        for index in (0, len(drawn) - 1):  # what is decoded at a shot's ends is what was drawn there
            difference = np.abs(frames[first + index].astype(int) - drawn[index])
            assert difference.mean() < 12


def test_train_split_has_captions_in_ruc_form(trained: CollectionPaths) -> None:
    assert trained.captions is not None and trained.topics is None and trained.qrels is None
    shots = list(scenes_by_shot(sample_collection(shots=3, seed=SEED, split="train")))
    names = [line.split(" ", 1)[0] for line in trained.captions.read_text().splitlines()]
    assert names == [f"{shot}#{k}" for shot in shots for k in range(CAPTIONS_PER_SHOT)]


def test_a_finished_collection_is_left_alone_and_another_is_not_overwritten(trained: CollectionPaths) -> None:
    before = {p: p.stat().st_mtime_ns for p in trained.folder.rglob("*")}
    generate_collection(trained.folder, shots=3, seed=SEED, split="train", workers=1)
    assert {p: p.stat().st_mtime_ns for p in trained.folder.rglob("*")} == before
    with pytest.raises(ChangedInputsError, match="config.seed"):
        generate_collection(trained.folder, shots=3, seed=SEED + 1, split="train", workers=1)


def test_force_leaves_nothing_of_the_collection_before(tmp_path: Path) -> None:
    for shots, force in ((60, False), (3, True)):
        paths = generate_collection(tmp_path / "c", shots=shots, seed=SEED, workers=0, force=force)
    again = generate_collection(tmp_path / "again", shots=3, seed=SEED, workers=0)
    assert files(paths.folder) == files(again.folder)


def test_every_topic_is_planted_once_a_block() -> None:
    scenes = scenes_by_shot(sample_collection(shots=BLOCK, seed=6))
    for topic in MINI_TOPICS:
        assert sum(topic.pattern.matches(scene) for scene in scenes.values()) >= 1, topic.text


def test_videos_may_have_other_numbers_and_then_show_other_scenes() -> None:
    usual, other = sample_collection(shots=SHOTS), sample_collection(shots=SHOTS, first_video=7476)
    assert [*usual][0] == "00001" and [*other][0] == "07476"
    assert not set(scenes_by_shot(usual).values()) & set(scenes_by_shot(other).values())
    assert sample_collection(shots=SHOTS, first_video=1) == usual
    with pytest.raises(ConfigError, match="has no such size"):
        sample_collection(shots=100, first_video=99_990)
