"""`avs rerank --method judge`: a vision-language model is shown the frames of the best candidates of each list."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from avs.core.artifacts import require_path
from avs.core.errors import AvsError, ConfigError, Problems, UnknownIdError
from avs.core.frames import ShotFrames
from avs.core.progress import Reporter
from avs.core.ranking import RankedList
from avs.core.shots import ShotTable, read_shot_table
from avs.features.encoders import resolve_device
from avs.features.family import quiet_transformers
from avs.features.weights import fingerprint_weights, locate, weight_files
from avs.rerank.blend import top
from avs.rerank.judge import FramesOf, Judge, judge_candidates
from avs.rerank.judge_cache import Candidate, JudgeCache
from avs.rerank.vlm_judge import PROMPT, VlmJudge
from avs.video.find import find_videos
from avs.video.fingerprints import fingerprint_videos
from avs.video.folder import VideoFolder
from avs.video.sampling import Sampling

FRAMES, BATCH_SIZE = 4, 8
NEEDED = {"vlm": "NAME or FOLDER", "videos": "DIR", "shots": "TABLE", "cache": "FILE"}


@dataclass(slots=True)
class Judging:
    """Who judges, what is looked at, and where the answers are kept.

    Attributes:
        folder: of the video files.
        source: they, and which frames of a shot are shown.
        shots: the shot table.
        cache: file of answers; made when it does not exist.
    """

    judge: Judge
    folder: Path
    source: VideoFolder
    shots: ShotTable
    cache: Path
    batch_size: int = BATCH_SIZE
    _hashed: dict[str, str] = field(default_factory=dict)

    def identity(self) -> dict[str, Any]:
        """What tells its answers from another's, but for the pictures."""
        return {"fingerprint": self.judge.fingerprint, "frames": self.source.sampling.frames}

    def pictures_fingerprint(self, shots: Sequence[str], reporter: Reporter) -> str:
        """`sha256:...` of which pictures of `shots` are looked at."""
        listing = repr(sorted(self.pictures(shots, reporter).items()))
        return f"sha256:{hashlib.sha256(listing.encode()).hexdigest()}"

    def pictures(self, shots: Sequence[str], reporter: Reporter) -> dict[str, str]:
        """Shot -> what tells which pictures of it are looked at: a hash of its video, and their times.

        Raises:
            UnknownIdError: shots that the table lacks, or whose video the folder lacks; all of them.
        """
        problems = Problems(f"candidates that cannot be looked at in {self.folder}")
        for shot in shots:
            if shot not in self.shots:
                problems.add(shot, "not in the shot table")
            elif (video := self.shots.get(shot).video) not in self.source.paths:
                problems.add(shot, f'no file of video "{video}"')
        problems.raise_if_any(UnknownIdError, next_step="give shot table and videos of the list's collection")
        rows = {shot: self.shots.get(shot) for shot in shots}
        lacking = {row.video: self.source.paths[row.video] for row in rows.values() if row.video not in self._hashed}
        if lacking:
            self._hashed |= {
                file.video: file.fingerprint for file in fingerprint_videos(lacking, self.folder, reporter)
            }
        times = self.source.sampling.times
        return {
            shot: f"{self._hashed[row.video]} {times(row.start_s, row.end_s).round(6).tolist()}"
            for shot, row in rows.items()
        }


def judging_for(method: str, given: Mapping[str, Any], *, store: Path | None, device: str) -> Judging | None:
    """What `--method judge` needs, of the options `given`: vlm, revision, videos, shots, cache, frames, batch-size,
    prompt, dtype; None for another method.

    Raises:
        ConfigError: options of a judge for another method, or --store for a judge; options that are missing.
        AvsError: no such model, its weights are a pickle, or no such file.
    """
    if method != "judge":
        if given:
            options = ", ".join(f"--{name}" for name in given)
            raise ConfigError(f"{options}: not for --method {method}", next_step="leave it out")
        return None
    if store is not None:
        raise ConfigError("--store: not for --method judge", next_step="leave it out: a judge looks at the videos")
    missing = [f"--{name} {value}" for name, value in NEEDED.items() if name not in given]
    if missing:
        raise ConfigError(f"--method judge needs {', '.join(missing)}")
    if given.get("batch-size", 1) < 1:
        raise ConfigError("--batch-size must be at least 1", got=given["batch-size"])
    table = read_shot_table(require_path(given["shots"], what="shot table"))
    sampling = Sampling("uniform", frames=given.get("frames", FRAMES))
    source = VideoFolder(find_videos(given["videos"]), sampling)
    how = {name: given[name] for name in ("prompt", "dtype") if name in given}
    judge = load_judge(given["vlm"], revision=given.get("revision"), device=device, **how)
    return Judging(judge, given["videos"], source, table, given["cache"], given.get("batch-size", BATCH_SIZE))


def load_judge(
    vlm: str,
    *,
    revision: str | None = None,
    prompt: str = PROMPT,
    device: str = "cpu",
    dtype: str = "float32",
) -> VlmJudge:
    """The judge of a vision-language model: a name on the Hub, or a folder; loaded with the first question.

    Raises:
        AvsError: no such model; its weights are a pickle.
        ConfigError: a prompt, device or dtype that will not do; a revision of a folder.
        MissingDependencyError: a CUDA device that is not there; weights on the Hub, which cannot be reached.
    """
    resolve_device(device, dtype)
    if revision is not None and Path(vlm).expanduser().exists():
        raise ConfigError("--revision: a folder has none", got=vlm, next_step="leave it out")
    folder = locate(vlm, revision=revision or "main")
    pickled = [path.name for path in weight_files(folder) if path.suffix != ".safetensors"]
    if pickled:
        raise AvsError(
            "the weights are a pickle, which may run code when it is loaded",
            where=folder,
            got=pickled[0],
            wanted="model.safetensors",
            next_step="take a revision or a copy of the model with safetensors weights",
        )
    return VlmJudge(folder, weights=fingerprint_weights(folder), prompt=prompt, device=device, dtype=dtype)


def judge_evidence(
    lists: Sequence[RankedList], topics: Sequence[str], *, depth: int, judging: Judging, reporter: Reporter
) -> list[np.ndarray]:
    """(K,) probability that the judge says yes, for the K = `depth` best candidates of each list.

    Args:
        topics: text of the topic of each list.

    Raises:
        UnknownIdError, VideoError, DataError, FormatError: as Judging.pictures, judge_candidates and JudgeCache.
    """
    best = [top(one, depth)[0] for one in lists]
    pictures = judging.pictures(list(dict.fromkeys(shot for some in best for shot in some)), reporter)
    asked = [Candidate(text, shot, pictures[shot]) for text, some in zip(topics, best, strict=True) for shot in some]
    cache = JudgeCache(judging.cache, judging.judge.fingerprint)
    known = sum(cache.get(one) is not None for one in asked)
    reporter.say(f"{len(asked)} questions, {known} of them answered in {judging.cache}")
    with quiet_transformers():
        yes = judge_candidates(
            asked,
            judging.judge,
            frames_of=frames_of(judging.source, judging.shots),
            cache=cache,
            batch_size=judging.batch_size,
            reporter=reporter,
        )
    return np.split(yes, np.cumsum([len(some) for some in best])[:-1])


def frames_of(source: VideoFolder, table: ShotTable) -> FramesOf:
    """The frames of the shots asked for, video by video in the table's order, one pass over each file."""

    def read(shots: Sequence[str]) -> Iterator[ShotFrames]:
        wanted = set(shots)
        asked = {table.get(shot).video for shot in shots}
        for video in (video for video in table.video_ids if video in asked):
            yield from source.read(video, [shot for shot in table.of_video(video) if shot.id in wanted])

    return read
