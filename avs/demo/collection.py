"""The mini collection on disk: videos, master shots, and either topics with judgments (test) or captions (train)."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from avs.core.artifacts import Manifest, atomic_write, is_up_to_date, write_manifest
from avs.core.device import available_cores
from avs.core.errors import ConfigError
from avs.core.ids import format_shot_id
from avs.core.processes import in_processes
from avs.core.progress import Reporter
from avs.demo.captions import caption
from avs.demo.judgments import full_judgments, pooled_judgments, write_qrels
from avs.demo.planting import BLOCK, near_miss, plan_block, scene_for
from avs.demo.render import FPS, frame_count, write_video
from avs.demo.scenes import Scene, sample_scene
from avs.demo.topics import MINI_TOPICS

Split = Literal["test", "train"]
STREAMS: dict[str, int] = {"test": 1, "train": 2}  # first word of every seed of a split
FIRST_VIDEO: dict[str, int] = {"test": 1, "train": 50001}
LAST_VIDEO = 99_999  # ids have five digits
SHOTS_PER_VIDEO = (10, 30)
CAPTIONS_PER_SHOT = 5
UNFINISHED = "unfinished.json"  # says which collection the videos of an interrupted rendering belong to
VERSION = 1  # increase it when the same seed gives a different collection


@dataclass(frozen=True, slots=True)
class CollectionPaths:
    """The files and folders of a collection; None for those that its split does not have.

    Attributes:
        videos: folder of `<video>.mp4`.
        msb: folder of `<video>.tsv`, master shot tables as those of V3C.
        valid_shots: lines `<video> <number of its last shot>`.
        topics, narratives: lines `NNN  text`.
        qrels: judgments of a pool in strata.
        qrels_full: judgments of every shot.
        topic_tags: JSON, topic -> tags such as "motion".
        captions: lines `<shot>#<k> sentence`.
    """

    folder: Path
    videos: Path
    msb: Path
    valid_shots: Path
    topics: Path | None = None
    narratives: Path | None = None
    qrels: Path | None = None
    qrels_full: Path | None = None
    topic_tags: Path | None = None
    captions: Path | None = None


def collection_paths(folder: Path, *, split: Split = "test") -> CollectionPaths:
    """The paths that `generate_collection` writes to."""
    base = CollectionPaths(folder, folder / "videos", folder / "msb", folder / "mini.validShotTable")
    common = (base.folder, base.videos, base.msb, base.valid_shots)
    if split == "train":
        return CollectionPaths(*common, captions=folder / "captions" / "mini.caption.txt")
    return CollectionPaths(
        *common,
        topics=folder / "topics" / "mini.avs.topics.txt",
        narratives=folder / "topics" / "mini.narratives.txt",
        qrels=folder / "qrels" / "avs.qrels.mini",
        qrels_full=folder / "qrels" / "avs.qrels.mini.full",
        topic_tags=folder / "topics" / "mini.topics.json",
    )


def sample_collection(
    *, shots: int = 600, seed: int = 0, split: Split = "test", first_video: int | None = None
) -> dict[str, tuple[Scene, ...]]:
    """Video id -> the scenes of its shots, in order.

    A larger collection begins with the shots of the smaller one of the same seed. In the test split every BLOCK shots
    show each topic once, together with near misses and random scenes; in the train split all scenes are random.

    Args:
        first_video: number of the first video; None: that of the split. Other videos show other scenes.

    Raises:
        ConfigError: `shots` is below 1, or above what the video ids allow.
    """
    first = FIRST_VIDEO[split] if first_video is None else first_video
    most = min(400_000, SHOTS_PER_VIDEO[0] * (LAST_VIDEO - first))
    if not 1 <= shots <= most:
        raise ConfigError("a mini collection has no such size", got=f"{shots} shots", wanted=f"1 to {most} shots")
    stream = STREAMS[split]
    videos: dict[str, tuple[Scene, ...]] = {}
    count = 0
    roles: list[tuple[str, int]] = []
    while count < shots:
        number = first + len(videos)
        size = int(np.random.default_rng([stream, seed, number]).integers(*SHOTS_PER_VIDEO, endpoint=True))
        scenes = []
        for shot in range(1, min(size, shots - count) + 1):
            if count % BLOCK == 0:
                roles = plan_block(len(MINI_TOPICS), np.random.default_rng([stream, seed, count // BLOCK, 0, 0]))
            role, topic = roles[count % BLOCK] if split == "test" else ("any", -1)
            scenes.append(_scene(role, topic, np.random.default_rng([stream, seed, number, shot])))
            count += 1
        videos[f"{number:05d}"] = tuple(scenes)
    return videos


def _scene(role: str, topic: int, rng: np.random.Generator) -> Scene:
    if role == "any":
        return sample_scene(rng)
    sample = scene_for if role == "topic" else near_miss
    return sample(MINI_TOPICS[topic].pattern, rng)


def generate_collection(
    folder: Path,
    *,
    shots: int = 600,
    seed: int = 0,
    split: Split = "test",
    first_video: int | None = None,
    workers: int | None = None,
    reporter: Reporter | None = None,
    force: bool = False,
) -> CollectionPaths:
    """Write a mini collection; the same arguments give the same videos, tables, topics, judgments and captions.

    A folder that already holds this collection is left unchanged. After an interruption, finished videos are kept.

    Args:
        shots: number of shots; the last video ends with the last shot.
        split: "test" has topics and judgments, "train" has captions. They share no video and no random number.
        first_video: as for sample_collection.
        workers: number of processes that render; None: one per core; 0: this process alone.

    Raises:
        ChangedInputsError: the folder holds another collection, and `force` is off.
        ConfigError: there is no collection of that size.
    """
    folder, start = Path(folder), time.monotonic()
    paths = collection_paths(folder, split=split)
    config: dict[str, object] = {"shots": shots, "seed": seed, "split": split, "version": VERSION}
    if first_video is not None:
        config["first_video"] = first_video
    if is_up_to_date(folder, Manifest("mini-collection", config), force=force):
        return paths
    if (folder / "manifest.json").is_file():  # another collection, whose videos must not mix with these
        (folder / "manifest.json").unlink()
        for part in (paths.videos, paths.msb):
            shutil.rmtree(part, ignore_errors=True)
    videos = sample_collection(shots=shots, seed=seed, split=split, first_video=first_video)
    keep = _goes_on(folder / UNFINISHED, config)
    workers = available_cores() if workers is None else workers
    _write_videos(paths.videos, videos, keep=keep, workers=workers, reporter=reporter or Reporter())
    _write_shots(paths, videos)
    scenes = scenes_by_shot(videos)
    if paths.captions:
        _write_captions(paths.captions, scenes, seed=seed)
    if paths.topics and paths.narratives and paths.topic_tags:
        _write_topics(paths.topics, paths.narratives, paths.topic_tags)
    if paths.qrels and paths.qrels_full:
        full = full_judgments(scenes, MINI_TOPICS)
        write_qrels(full, paths.qrels_full)
        write_qrels(pooled_judgments(full, scenes, MINI_TOPICS, seed=seed), paths.qrels)
    counts = {"videos": len(videos), "shots": shots}
    seconds = round(time.monotonic() - start, 1)
    write_manifest(folder, Manifest("mini-collection", config, counts=counts, seconds=seconds))
    (folder / UNFINISHED).unlink()
    return paths


def _goes_on(mark: Path, config: Mapping[str, object]) -> bool:
    """Whether the folder of `mark` holds an interrupted rendering of this collection; from now on it does."""
    collection = json.dumps(config)
    if mark.is_file() and mark.read_text(encoding="utf-8") == collection:
        return True
    with atomic_write(mark) as file:
        file.write(collection)
    return False


def scenes_by_shot(videos: Mapping[str, Sequence[Scene]]) -> dict[str, Scene]:
    """Shot id -> scene, in the order of the videos."""
    return {format_shot_id(video, i): scene for video, scenes in videos.items() for i, scene in enumerate(scenes, 1)}


def _write_videos(
    folder: Path, videos: Mapping[str, tuple[Scene, ...]], *, keep: bool, workers: int, reporter: Reporter
) -> None:
    """Render the videos, or with `keep` those that are not there yet.

    The scene alone decides each frame, so the number of processes changes nothing.
    """
    jobs = {video: (folder / f"{video}.mp4", scenes) for video, scenes in videos.items()}
    missing = {video: job for video, job in jobs.items() if not (keep and job[0].is_file())}
    with reporter.stage("render", sum(map(len, videos.values())), "shots") as stage:
        stage.advance(sum(len(scenes) for video, scenes in videos.items() if video not in missing))
        if workers == 0:
            for path, scenes in missing.values():
                write_video(path, scenes)
                stage.advance(len(scenes))
        elif missing:
            for video, _ in in_processes(write_video, missing, workers=workers):
                stage.advance(len(videos[video]))


def _write_shots(paths: CollectionPaths, videos: Mapping[str, tuple[Scene, ...]]) -> None:
    """Write the master shot tables. As in V3C, `endframe` is the last frame of the shot and `endtime` is its time."""
    for video, scenes in videos.items():
        rows, first = ["startframe\tstarttime\tendframe\tendtime\n"], 0
        for scene in scenes:
            last = first + frame_count(scene) - 1
            rows.append(f"{first}\t{float(first / FPS):.3f}\t{last}\t{float(last / FPS):.3f}\n")
            first = last + 1
        with atomic_write(paths.msb / f"{video}.tsv") as file:
            file.writelines(rows)
    with atomic_write(paths.valid_shots) as file:
        file.writelines(f"{video} {len(scenes)}\n" for video, scenes in videos.items())


def _write_topics(topics: Path, narratives: Path, tags: Path) -> None:
    with atomic_write(topics) as file:
        file.writelines(f"{t.id}  {t.text}\n" for t in MINI_TOPICS)
    with atomic_write(narratives) as file:
        file.writelines(f"{t.id}  {t.narrative}\n" for t in MINI_TOPICS)
    with atomic_write(tags) as file:
        json.dump({t.id: list(t.tags) for t in MINI_TOPICS}, file, indent=1)
        file.write("\n")


def _write_captions(path: Path, scenes: Mapping[str, Scene], *, seed: int) -> None:
    with atomic_write(path) as file:
        for shot, scene in scenes.items():
            rng = np.random.default_rng([STREAMS["train"], seed, scene.look, 1])
            file.writelines(f"{shot}#{k} {caption(scene, rng)}\n" for k in range(CAPTIONS_PER_SHOT))
