"""`avs rerank --method judge`: a vision-language model looks at the frames of the best candidates of each list."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avs.core.artifacts import require_path, require_writable
from avs.core.errors import AvsError, ConfigError, Problems, UnknownIdError
from avs.core.frames import ShotFrames
from avs.core.progress import Reporter
from avs.core.shots import ShotTable, read_shot_table
from avs.features.encoders import resolve_device
from avs.features.weights import fingerprint_weights, locate, weight_files
from avs.reranking.material import Judge
from avs.reranking.vlm_judge import PROMPT, VlmJudge
from avs.video.find import find_videos
from avs.video.fingerprints import fingerprint_videos
from avs.video.folder import VideoFolder
from avs.video.sampling import Sampling

FRAMES, BATCH_SIZE = 4, 8
JUDGE_OPTIONS = {
    "vlm": "MODEL", "videos": "DIR", "shots": "TABLE", "cache": "FILE",
    "revision": "", "frames": "", "batch_size": "", "prompt": "", "dtype": "",
}  # fmt: skip
"""Option of a judge -> the form of its value, if the option is required."""


@dataclass(slots=True)
class VideoJudging:
    """A judge, the pictures it looks at, and the file that keeps its answers. A `material.Judging`.

    Attributes:
        judge: who answers.
        folder: folder of the video files.
        source: the video files, and which frames of a shot are shown.
        shots: the shot table.
        cache: file of answers; it is made if it does not exist.
        batch_size: number of questions that are answered together.
    """

    judge: Judge
    folder: Path
    source: VideoFolder
    shots: ShotTable
    cache: Path
    batch_size: int = BATCH_SIZE
    _hashed: dict[str, str] = field(default_factory=dict)

    def identity(self) -> dict[str, Any]:
        """What the answers depend on, except for the pictures."""
        frames = len(self.source.sampling.times(0.0, 1.0))  # of any shot, since they are spread uniformly
        return {"fingerprint": self.judge.fingerprint, "frames": frames}

    def pictures_fingerprint(self, shots: Sequence[str], reporter: Reporter) -> str:
        """`sha256:...` of the pictures of `shots` that are looked at."""
        listing = repr(sorted(self.pictures(shots, reporter).items()))
        return f"sha256:{hashlib.sha256(listing.encode()).hexdigest()}"

    def pictures(self, shots: Sequence[str], reporter: Reporter) -> dict[str, str]:
        """Shot -> a text that identifies the pictures of it: a hash of its video, and the times of the frames.

        Raises:
            UnknownIdError: the table lacks shots, or the folder lacks their videos; names all of them.
        """
        problems = Problems(f"candidates without pictures in {self.folder}")
        for shot in shots:
            if shot not in self.shots:
                problems.add(shot, "not in the shot table")
            elif (video := self.shots.get(shot).video) not in self.source.paths:
                problems.add(shot, f'no file of video "{video}"')
        problems.raise_if_any(UnknownIdError, next_step="give the shot table and the videos of the list's collection")
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

    def frames_of(self, shots: Sequence[str]) -> Iterator[ShotFrames]:
        """The frames of the shots, video by video in the table's order; each file is read once."""
        wanted = set(shots)
        videos = {self.shots.get(shot).video for shot in shots}
        for video in (video for video in self.shots.video_ids if video in videos):
            yield from self.source.read(video, [shot for shot in self.shots.of_video(video) if shot.id in wanted])


def open_judging(values: Mapping[str, Any], *, device: str) -> VideoJudging:
    """The judge that the options describe, with the pictures it looks at.

    Args:
        values: option -> value, of JUDGE_OPTIONS.
        device: where the model computes.

    Raises:
        ConfigError: an option is missing, or out of range; the cache cannot be written.
        AvsError: there is no such model or file, or the weights are a pickle.
    """
    missing = [f"--{name} {form}" for name, form in JUDGE_OPTIONS.items() if form and name not in values]
    if missing:
        raise ConfigError(f"--method judge needs {', '.join(missing)}")
    if values.get("batch_size", 1) < 1:
        raise ConfigError("--batch-size must be at least 1", got=values["batch_size"])
    require_writable(values["cache"])
    table = read_shot_table(require_path(values["shots"], what="shot table"))
    sampling = Sampling("uniform", frames=values.get("frames", FRAMES))
    source = VideoFolder(find_videos(values["videos"]), sampling)
    settings = {name: values[name] for name in ("prompt", "dtype") if name in values}
    judge = load_judge(values["vlm"], revision=values.get("revision"), device=device, **settings)
    return VideoJudging(judge, values["videos"], source, table, values["cache"], values.get("batch_size", BATCH_SIZE))


def load_judge(
    vlm: str,
    *,
    revision: str | None = None,
    prompt: str = PROMPT,
    device: str = "cpu",
    dtype: str = "float32",
) -> VlmJudge:
    """The judge of a vision-language model. The model is loaded when the first question is asked.

    Args:
        vlm: a name on the Hub, or a folder.
        revision: revision on the Hub; default main.
        prompt: the question, in which {topic} is replaced.
        device: such as "cpu" or "cuda:0".
        dtype: float32, bfloat16 or float16.

    Raises:
        AvsError: there is no such model, or its weights are a pickle.
        ConfigError: the prompt, device or dtype is invalid, or a folder is given a revision.
        MissingDependencyError: there is no such CUDA device, or the Hub cannot be reached.
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
            next_step="use a revision or a copy of the model with safetensors weights",
        )
    return VlmJudge(folder, weights=fingerprint_weights(folder), prompt=prompt, device=device, dtype=dtype)
