"""Pseudo captions of the shots of videos: frames are captioned, and the captions that fit a shot best are kept.

The work is cut into units of a few batches of frames, each of shots of one video. What a unit gives does not depend on
the others, and is journalled; so a run that was killed goes on and ends with the same bytes.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from avs.captions.pseudo import best_captions, distinct_captions, tidy_caption
from avs.captions.ruc import write_captions
from avs.core.artifacts import (
    Manifest,
    atomic_write,
    installed_versions,
    is_up_to_date,
    read_manifest,
    require_writable,
    write_artefact,
    write_manifest,
)
from avs.core.captions import Caption, CaptionSet
from avs.core.errors import Attempts, ChangedInputsError, ConfigError, DataError, StoreError, typed
from avs.core.failures import require_few_failures
from avs.core.frames import ShotFrames
from avs.core.journal import Journal
from avs.core.lock import LOCK, require_no_writer, sole_writer
from avs.core.progress import Reporter, Stage
from avs.core.shots import Shot, ShotTable
from avs.core.store import Status
from avs.features.captioner import Captioner, CaptionerCheckpoint, Decoding, open_captioner
from avs.features.catalog import get_entry, read_catalog
from avs.features.embedder import family_of, has_text_side, load_embedder, read_spec
from avs.features.encoders import ImageEncoder, resolve_device
from avs.pipeline.frame_cache import ShotVideos, find_shot_videos
from avs.video.find import VideoIds
from avs.video.fingerprints import videos_table, write_videos
from avs.video.folder import VideoFolder
from avs.video.sampling import KEY_FRAMES, MAX_FRAMES, Sampling

if TYPE_CHECKING:
    from torch import Tensor

    from avs.core.spec import EmbedderSpec

PSEUDO_CAPTIONS_TYPE = "pseudo-captions"
JUDGE, KEEP = "clip-vit-b32", 3
UNIT_BATCHES = 4  # a unit ends with the shot that fills so many batches: what a kill costs, against half-empty batches
JOURNAL = "journal"
NO_CAPTION = "the captioner wrote no word"


@dataclass(frozen=True, slots=True)
class CaptioningSettings:
    """What decides pseudo captions, beside videos, shots and weights.

    Attributes:
        model, weights: the captioner; as for open_captioner.
        judge, judge_weights: the encoder that chooses among captions; as for load_embedder.
        sampling: which frames of a shot are captioned.
        keep: number of captions that are kept of a shot.
        decoding: how the captioner searches for a sentence.
        compute_dtype: of both models.
        batch_size: number of frames captioned together; it decides rounding, so a resumed run needs the same.

    Raises:
        ConfigError: a number is less than 1.
    """

    model: str
    weights: str | None = None
    judge: str = JUDGE
    judge_weights: str | None = None
    sampling: Sampling = field(default_factory=Sampling)
    keep: int = KEEP
    decoding: Decoding = field(default_factory=Decoding)
    compute_dtype: str = "float32"
    batch_size: int = 32

    def __post_init__(self) -> None:
        for name, value in (("--keep", self.keep), ("--batch-size", self.batch_size)):
            if value < 1:
                raise ConfigError(f"{name} must be at least 1", got=value)


@dataclass(frozen=True, slots=True)
class CaptionedShot:
    """The pseudo captions of one shot.

    Attributes:
        shot: its id.
        captions: the best first; none if the status is "failed".
        status, reason: as of ShotFrames; also "failed" if no frame has a caption.
        frames: number of frames that were captioned.
        empty: number of those about which the captioner wrote no word.
        distinct: number of captions that differ.
    """

    shot: str
    captions: Sequence[str]
    status: Status
    reason: str
    frames: int
    empty: int
    distinct: int


@dataclass(frozen=True, slots=True)
class CaptionUnit:
    """Shots of one video that are captioned and journalled together; `number` counts from 0."""

    number: int
    video: str
    shots: Sequence[Shot]


def caption_shots(
    settings: CaptioningSettings,
    videos: Path,
    shots: Path,
    output: Path,
    *,
    video_ids: VideoIds = "stem",
    device: str = "cpu",
    max_failed: float = 0.05,
    force: bool = False,
    reporter: Reporter,
) -> dict[str, Any]:
    """Write the caption file `output`, its manifest, the table of its videos, and a list of the shots with problems.

    Args:
        videos: folder of video files.
        shots: shot table.
        video_ids: how ids are made of file names.
        device: where both models compute.
        max_failed: share of shots that may have no caption.
        force: replace an output, or captions under way, of other inputs or settings.

    Returns:
        A summary: path, seconds, counts, the file of problems if there are any; or path and "up_to_date".

    Raises:
        ChangedInputsError: `output`, or what is under way for it, has other inputs or settings, and `force` is off.
        StoreError: another process is writing `output`.
        TooManyFailuresError: more shots failed than may; the file has the captions of the others.
        DataError: no shot has a caption; no file is written.
        AvsError: settings, weights or files that cannot be used.
    """
    start = perf_counter()
    if output.is_dir():
        raise ConfigError(
            "-o is a folder; captions are one file", where=output, next_step=f"-o {typed(output / 'captions.txt')}"
        )
    require_writable(output)
    work = work_folder(output)
    require_no_writer(work)
    models = _open_models(settings, device)
    source = find_shot_videos(videos, shots, video_ids=video_ids, reporter=reporter)
    manifest = _manifest(settings, models, source)
    if is_up_to_date(output, manifest, force=force, reporter=reporter):
        summary: dict[str, Any] = {"path": str(output), "up_to_date": True}
    else:
        with sole_writer(work):
            _require_held(work)
            journal = _open_journal(work, manifest, force=force, reporter=reporter)
            done = _caption_all(models, source, journal, reporter)
            summary = _write(done, output, manifest, source, seconds=perf_counter() - start, reporter=reporter)
            _remove(work)
    _require_few_failures(output, max_failed)
    return summary


def work_folder(output: Path) -> Path:
    """The folder that keeps what is captioned until the output is written."""
    return output.with_name(f".{output.name}.under-way")


def _require_held(work: Path) -> None:
    """Check that the lock is not one that another process has removed, as it does when it has finished.

    Raises:
        StoreError: it is.
    """
    if not (work / LOCK).is_file():
        raise StoreError("another process has finished here just now", where=work, next_step="run the command again")


def _remove(work: Path) -> None:
    """Remove what was under way, the lock last: who takes it then finds nothing to go on with."""
    for name in (JOURNAL, "manifest.json"):
        (work / name).unlink(missing_ok=True)
    shutil.rmtree(work, ignore_errors=True)


def problems_path(output: Path) -> Path:
    """The list of shots with problems, beside the output: shot, status (partial, failed), reason."""
    return output.with_name(f"{output.stem}.problems.tsv")


@dataclass(frozen=True)
class CaptioningModels:
    """A captioner and a judge, whose weights are loaded when they are asked for."""

    checkpoint: CaptionerCheckpoint
    judge_spec: EmbedderSpec
    settings: CaptioningSettings
    device: str

    @cached_property
    def captioner(self) -> Captioner:
        return self.checkpoint.load(self.settings.decoding, device=self.device, dtype=self.settings.compute_dtype)

    @cached_property
    def judge(self) -> ImageEncoder:
        judge = load_embedder(
            self.settings.judge,
            weights=self.settings.judge_weights,
            device=self.device,
            dtype=self.settings.compute_dtype,
        )
        assert isinstance(judge, ImageEncoder)  # _open_judge refuses others
        return judge


def _open_models(settings: CaptioningSettings, device: str) -> CaptioningModels:
    """Both models, after all checks that need no loaded weights; what is wrong with both is told at once."""
    resolve_device(device, settings.compute_dtype)
    attempts = Attempts("the models cannot be used")
    checkpoint = attempts.attempt(lambda: open_captioner(settings.model, settings.weights))
    spec = attempts.attempt(lambda: _open_judge(settings.judge, settings.judge_weights))
    attempts.raise_if_any()
    assert checkpoint is not None and spec is not None
    return CaptioningModels(checkpoint, spec, settings, device)


def _open_judge(judge: str, weights: str | None) -> EmbedderSpec:
    """The spec of an encoder of single images and of texts.

    Raises:
        ConfigError: it is another kind of encoder.
    """
    if weights is None and judge in read_catalog() and get_entry(judge).weights is None:
        raise ConfigError(
            f'the judge "{judge}" needs weights', next_step=f"--judge {judge} --judge-weights FOLDER_OR_HUB_NAME"
        )
    spec = read_spec(judge, weights=weights)
    if spec.trained or not has_text_side(spec) or family_of(judge).clip_frames:
        raise ConfigError(
            "the judge must encode both single images and texts", got=f"--judge {judge}", wanted=f"such as {JUDGE}"
        )
    return spec


def _manifest(settings: CaptioningSettings, models: CaptioningModels, source: ShotVideos) -> Manifest:
    config = {
        "captioner": settings.model,
        "judge": settings.judge,
        "sampling": asdict(settings.sampling),
        "keep": settings.keep,
        **asdict(settings.decoding),
        "compute_dtype": settings.compute_dtype,
        "batch_size": settings.batch_size,
    }
    weights = {"captioner": models.checkpoint.fingerprint, "judge": f"sha256:{models.judge_spec.revision}"}
    return Manifest(PSEUDO_CAPTIONS_TYPE, config, {**source.inputs, **weights}, paths=source.places)


def _open_journal(work: Path, manifest: Manifest, *, force: bool, reporter: Reporter) -> Journal:
    """The journal of what is under way; `force` discards one of other inputs, settings or versions.

    Raises:
        ChangedInputsError: it is of others, and `force` is off.
    """
    path = work / JOURNAL
    try:
        begun = is_up_to_date(work, manifest, force=False)
        if begun:
            _require_same_versions(work)
    except ChangedInputsError:
        if not force:
            raise
        begun = False
    if not begun:
        path.unlink(missing_ok=True)
        write_manifest(work, manifest)
    journal = Journal(path)
    if journal.damaged:
        reporter.say(f"{path}: {len(journal.damaged)} damaged lines; their shots are captioned again")
    if journal.records:
        reporter.say(f"resuming: {sum(len(record['shots']) for record in journal.records)} shots are captioned")
    return journal


def _require_same_versions(work: Path) -> None:
    """Check that what is under way was begun with these versions, since others may write other captions."""
    there, here = read_manifest(work)["versions"], installed_versions()
    differing = [name for name in {**there, **here} if there.get(name) != here.get(name)]
    if differing:
        raise ChangedInputsError(
            "the captions under way were begun with other versions",
            where=work,
            got=", ".join(f"{name} {here.get(name)}" for name in differing),
            wanted=", ".join(f"{name} {there.get(name)}" for name in differing),
            next_step="install those versions, choose another -o, or start over with --force",
        )


def cut_units(table: ShotTable, sampling: Sampling, *, least: int) -> list[CaptionUnit]:
    """All shots, video by video, in units that end with the shot that brings `least` frames together."""
    units: list[CaptionUnit] = []
    for video in table.video_ids:
        held: list[Shot] = []
        frames = 0
        for shot in table.of_video(video):
            held.append(shot)
            frames += _most_frames(sampling, shot)
            if frames >= least:
                units.append(CaptionUnit(len(units), video, held))
                held, frames = [], 0
        if held:
            units.append(CaptionUnit(len(units), video, held))
    return units


def _most_frames(sampling: Sampling, shot: Shot) -> int:
    """Number of frames that are wanted of a shot, or the most where the file decides."""
    if sampling.policy == KEY_FRAMES:
        return sampling.frames or MAX_FRAMES
    try:
        return len(sampling.times(shot.start_s, shot.end_s))
    except DataError:  # it ends later than any video does, and fails when it is read
        return 1


def _caption_all(
    models: CaptioningModels, source: ShotVideos, journal: Journal, reporter: Reporter
) -> list[CaptionedShot]:
    """All shots in the order of the table, from the journal or captioned now."""
    settings = models.settings
    units = cut_units(source.table, settings.sampling, least=UNIT_BATCHES * settings.batch_size)
    done = {record["unit"]: [CaptionedShot(**shot) for shot in record["shots"]] for record in journal.records}
    with reporter.stage(f"caption {settings.model}", len(source.table), "shots") as stage:
        for captioned in done.values():
            _advance(stage, captioned)
        pending = [unit for unit in units if unit.number not in done]
        for video, of_video in groupby(pending, key=lambda unit: unit.video):
            for unit, captioned in _caption_video(video, list(of_video), models, source.paths):
                journal.append({"unit": unit.number, "shots": [asdict(shot) for shot in captioned]})
                done[unit.number] = captioned
                _advance(stage, captioned)
    return [shot for unit in units for shot in done[unit.number]]


def _advance(stage: Stage, captioned: Sequence[CaptionedShot]) -> None:
    stage.advance(len(captioned), failed=sum(shot.status == "failed" for shot in captioned))


def _caption_video(
    video: str, units: Sequence[CaptionUnit], models: CaptioningModels, paths: Mapping[str, Path]
) -> Iterator[tuple[CaptionUnit, list[CaptionedShot]]]:
    """The units of one video with their captions, in one pass over its file."""
    settings = models.settings
    frames = VideoFolder(paths, settings.sampling).read(video, [shot for unit in units for shot in unit.shots])
    for unit in units:
        seen = [_look(next(frames), models) for _ in unit.shots]
        yield unit, caption_unit(seen, models.captioner, models.judge, settings.keep, settings.batch_size)


@dataclass(frozen=True, slots=True)
class SeenShot:
    """A shot as both models see it.

    Attributes:
        shot, status, reason: as of ShotFrames.
        to_caption, to_judge: (F, 3, S, S) uint8 images of its frames.
    """

    shot: str
    status: Status
    reason: str
    to_caption: np.ndarray
    to_judge: np.ndarray


def _look(frames: ShotFrames, models: CaptioningModels) -> SeenShot:
    """The frames of a shot, made small at once: a unit of full frames may not fit in memory."""
    to_caption, to_judge = (
        model.preprocessing.geometry.apply(frames.data) for model in (models.captioner, models.judge)
    )
    return SeenShot(frames.shot, frames.status, frames.reason, to_caption, to_judge)


def caption_unit(
    seen: Sequence[SeenShot], captioner: Captioner, judge: ImageEncoder, keep: int, batch_size: int
) -> list[CaptionedShot]:
    """The best captions of each of some shots, whose frames are captioned and compared in common batches."""
    written = [
        tidy_caption(text)
        for batch in _batches([shot.to_caption for shot in seen], batch_size)
        for text in captioner.captions(batch)
    ]
    vectors = [judge.encode_images(batch) for batch in _batches([shot.to_judge for shot in seen], batch_size)]
    ends = np.cumsum([len(shot.to_caption) for shot in seen])[:-1]
    of_shots = [list(captions) for captions in np.split(np.array(written, dtype=object), ends)]
    frames_of_shots = np.split(np.concatenate(vectors), ends) if vectors else [np.empty((0, 0))] * len(seen)
    distinct = [distinct_captions(captions) for captions in of_shots]
    texts = list(dict.fromkeys(caption for captions in distinct for caption in captions))
    rows = dict(zip(texts, judge.encode_texts(texts, batch_size=batch_size), strict=True))
    done = []
    for shot, captions, different, frames in zip(seen, of_shots, distinct, frames_of_shots, strict=True):
        silent = len(captions) > 0 and not different
        vectors_of = np.array([rows[text] for text in different])
        best = best_captions(different, vectors_of, frames, keep=keep) if different else []
        done.append(
            CaptionedShot(
                shot.shot,
                best,
                "failed" if silent else shot.status,
                NO_CAPTION if silent else shot.reason,
                frames=len(captions),
                empty=captions.count(""),
                distinct=len(different),
            )
        )
    return done


def _batches(images: Sequence[np.ndarray], batch_size: int) -> Iterator[Tensor]:
    """The images of all shots, in batches that do not end where shots do."""
    import torch

    together = torch.from_numpy(np.concatenate(images))
    yield from (together[i : i + batch_size] for i in range(0, len(together), batch_size))


def _write(
    done: Sequence[CaptionedShot],
    output: Path,
    manifest: Manifest,
    source: ShotVideos,
    *,
    seconds: float,
    reporter: Reporter,
) -> dict[str, Any]:
    """Write the files of the output; the captions come last and complete it."""
    problems = problems_path(output)
    _write_problems(done, problems)
    counts = _counts(done)
    if not counts["captions"]:
        raise DataError(
            "no shot has a caption; no file was written",
            where=output,
            got=f"{done[0].shot}: {done[0].reason}",
            next_step=f"look into {typed(problems)}",
        )
    captions = CaptionSet(
        output.stem,
        (Caption(f"{shot.shot}#{k}", shot.shot, text) for shot in done for k, text in enumerate(shot.captions)),
    )
    write_videos(source.files, videos_table(output))
    write_artefact(
        output, replace(manifest, counts=counts, seconds=seconds), lambda path: write_captions(captions, path)
    )
    reporter.say(
        f"wrote {output}: {counts['captions']} captions of {counts['ok'] + counts['partial']} of {len(done)} shots, of "
        f"{counts['frames']} frames, {counts['duplicates']} of whose captions were duplicates, in {seconds:.1f} s"
    )
    summary = {"path": str(output), "seconds": round(seconds, 3), **counts}
    return summary | ({"problems": str(problems)} if problems.exists() else {})


def _counts(done: Sequence[CaptionedShot]) -> dict[str, int]:
    """Shots by status, and what became of the captions of all frames."""
    statuses = Counter(shot.status for shot in done)
    frames, empty, distinct = (sum(getattr(shot, name) for shot in done) for name in ("frames", "empty", "distinct"))
    kept = sum(len(shot.captions) for shot in done)
    return {
        **{status: statuses[status] for status in get_args(Status)},
        "captions": kept,
        "frames": frames,
        "frames_without_caption": empty,
        "duplicates": frames - empty - distinct,
        "not_kept": distinct - kept,
    }


def _write_problems(done: Sequence[CaptionedShot], path: Path) -> None:
    """Write the shots that are not ok, or remove the list of an earlier run."""
    lines = [f"{shot.shot}\t{shot.status}\t{shot.reason}\n" for shot in done if shot.status != "ok"]
    if not lines:
        path.unlink(missing_ok=True)
        return
    with atomic_write(path) as file:
        file.writelines(lines)


def _require_few_failures(output: Path, max_failed: float) -> None:
    """Refuse captions that lack too many shots, also when they were made by an earlier run."""
    counts: Mapping[str, int] = read_manifest(output)["counts"]
    path = problems_path(output)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    rows = [line.split("\t", 2) for line in lines]
    require_few_failures(
        {shot: reason for shot, status, reason in rows if status == "failed"},
        sum(counts[status] for status in get_args(Status)),
        max_failed,
        what="shots have no caption and are left out",
        where=path,
        next_step="remove or repair those videos, or allow them with --max-failed",
    )
