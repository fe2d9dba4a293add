"""The mini collection on disk: videos, master shots, and topics with judgments (test) or captions (train)."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import numpy as np

from avs.core.artifacts import Manifest, atomic_write, is_up_to_date, write_manifest
from avs.core.errors import ConfigError
from avs.core.ids import format_shot_id
from avs.core.progress import Reporter
from avs.demo.captions import caption
from avs.demo.judgments import full_judgments, pooled_judgments, write_qrels
from avs.demo.planting import BLOCK, near_miss, plan_block, scene_for
from avs.demo.render import FPS, frame_count, write_video
from avs.demo.scenes import Scene, sample_scene
from avs.demo.topics import MINI_TOPICS

Split = Literal["test", "train"]
STREAMS: dict[str, int] = {"test": 1, "train": 2}  # first word of the seed of everything random in a split
FIRST_VIDEO: dict[str, int] = {"test": 1, "train": 50001}
SHOTS_PER_VIDEO = (10, 30)
CAPTIONS_PER_SHOT = 5
VERSION = 1  # goes up when the same seed gives another collection


@dataclass(frozen=True, slots=True)
class CollectionPaths:
    """Where the parts of a collection lie; those that its split does not have are None.

    Attributes:
        videos: folder of `<video>.mp4`.
        msb: folder of `<video>.tsv`, V3C's master shot tables.
        valid_shots: `<video> <number of its last shot>` a line.
        topics, narratives: `NNN  text` a line.
        qrels: a judged pool in strata; qrels_full: every shot judged.
        topic_tags: JSON, topic -> tags such as "motion".
        captions: `<shot>#<k> sentence` a line.
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
    """Where `generate_collection` writes to."""
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


def sample_collection(*, shots: int = 600, seed: int = 0, split: Split = "test") -> dict[str, tuple[Scene, ...]]:
    """Video id -> the scenes of its shots, in order. More shots of the same seed begin with the same ones.

    Test scenes show every topic once in BLOCK shots, among near misses and others; train scenes are random.

    Raises:
        ConfigError: there would be no shot, or more than the video ids of a split allow.
    """
    if not 1 <= shots <= 400_000:
        raise ConfigError("the size of a mini collection", got=f"{shots} shots", wanted="1..400000")
    stream, videos = STREAMS[split], {}
    made = 0
    roles: list[tuple[str, int]] = []
    while made < shots:
        number = FIRST_VIDEO[split] + len(videos)
        size = int(np.random.default_rng([stream, seed, number]).integers(*SHOTS_PER_VIDEO, endpoint=True))
        scenes = []
        for shot in range(1, min(size, shots - made) + 1):
            if made % BLOCK == 0:
                roles = plan_block(len(MINI_TOPICS), np.random.default_rng([stream, seed, made // BLOCK, 0, 0]))
            role, topic = roles[made % BLOCK] if split == "test" else ("any", -1)
            scenes.append(_scene(role, topic, np.random.default_rng([stream, seed, number, shot])))
            made += 1
        videos[f"{number:05d}"] = tuple(scenes)
    return videos


def _scene(role: str, topic: int, rng: np.random.Generator) -> Scene:
    if role == "any":
        return sample_scene(rng)
    make = scene_for if role == "topic" else near_miss
    return make(MINI_TOPICS[topic].pattern, rng)


def generate_collection(
    folder: Path,
    *,
    shots: int = 600,
    seed: int = 0,
    split: Split = "test",
    workers: int = 2,
    reporter: Reporter | None = None,
    force: bool = False,
) -> CollectionPaths:
    """Write a mini collection; the same arguments give the same videos, tables, topics and judgments.

    A folder that holds this very collection is left as it is; an interrupted one is made again.

    Args:
        shots: how many; the last video ends with the last of them.
        split: "test" has topics and judgments; "train" has captions. They share no video and no random number.
        workers: processes that render.

    Raises:
        ChangedInputsError: the folder holds another collection, and `force` is off.
    """
    folder, start = Path(folder), time.monotonic()
    paths = collection_paths(folder, split=split)
    config = {"shots": shots, "seed": seed, "split": split, "version": VERSION}
    if is_up_to_date(folder, Manifest("mini-collection", config), force=force):
        return paths
    (folder / "manifest.json").unlink(missing_ok=True)
    videos = sample_collection(shots=shots, seed=seed, split=split)
    _write_videos(paths.videos, videos, workers=workers, reporter=reporter or Reporter())
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
    return paths


def scenes_by_shot(videos: Mapping[str, Sequence[Scene]]) -> dict[str, Scene]:
    """Shot id -> scene, in the order of the videos."""
    return {format_shot_id(video, i): scene for video, scenes in videos.items() for i, scene in enumerate(scenes, 1)}


def _write_videos(folder: Path, videos: Mapping[str, tuple[Scene, ...]], *, workers: int, reporter: Reporter) -> None:
    """Render in processes of their own; each frame is decided by its scene alone, so their number changes nothing."""
    shots = sum(len(scenes) for scenes in videos.values())
    with (
        reporter.stage("render", shots, "shots") as stage,
        ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool,
    ):
        jobs = {pool.submit(write_video, folder / f"{v}.mp4", scenes): len(scenes) for v, scenes in videos.items()}
        for job in as_completed(jobs):
            job.result()
            stage.advance(jobs[job])


def _write_shots(paths: CollectionPaths, videos: Mapping[str, tuple[Scene, ...]]) -> None:
    """Master shot tables as V3C has them: `endframe` is the last frame of the shot, `endtime` when it is shown."""
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
