"""The teachers of a training: checkpoints whose scores a model learns from, read and checked before anything slow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from avs.core.artifacts import read_manifest
from avs.core.captions import CaptionSet
from avs.core.errors import Attempts, AvsError, ConfigError, Problems
from avs.core.ids import some
from avs.core.spec import EmbedderSpec
from avs.models.architectures import architectures
from avs.train.checkpoint import Checkpoint, read_checkpoint
from avs.video.find import video_id
from avs.video.sampling import NO_LIMIT

CAPTIONS = " captions"  # end of the names under which a training records the fingerprints of captions
VALIDATION = "validation "  # start of those that it is validated on
NEXT = "name a model of `avs train-xclip` that was trained on the same kind of input, and on other videos"
ALLOW = "allow it with --other-frames, `other_frames: true` in a recipe"


@dataclass(frozen=True, slots=True)
class Student:
    """What is known of a model that is to be taught, before it is made.

    Attributes:
        sizes: "max_words", "max_frames" and "image_size" -> its value; one that is not known is not there.
        reads_videos: whether it reads pixels, and not the frames of a store.
        specs: its video features; empty where it reads pixels, or where they are not known.
        tokens: fingerprints of its text features; None: not known.
        sampling: which frames of a shot it sees, as Checkpoint.sampling; {}: not known.
        tested_on: captions that it is validated on; None: it is validated on none, or they are not known.
        other_frames: whether a teacher may have been trained on frames that were sampled otherwise.
    """

    sizes: Mapping[str, int]
    reads_videos: bool
    specs: Mapping[str, EmbedderSpec] = field(default_factory=dict)
    tokens: Sequence[str] | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    tested_on: CaptionSet | None = None
    other_frames: bool = False


def read_teachers(
    folders: Sequence[Path], architecture: str, options: Mapping[str, Any] | None, attempts: Attempts
) -> list[Checkpoint]:
    """The checkpoints of teachers, without those that cannot be read; `attempts` collects what is wrong.

    Args:
        options: of the model that is to be taught; None: they are wrong, so whether they ask for teachers is not known.
    """
    if options is not None or not can_be_taught(architecture):
        attempts.attempt(partial(_require_wanted, folders, architecture, options or {}))
    found = [attempts.attempt(partial(read_checkpoint, folder)) for folder in folders]
    read = [checkpoint for checkpoint in found if checkpoint is not None]
    attempts.attempt(partial(_require_different, read))
    return read


def can_be_taught(architecture: str) -> bool:
    """Whether models of an architecture learn from teachers, if their options do not say otherwise."""
    return architectures.get(architecture).taught({})


def _require_wanted(folders: Sequence[Path], architecture: str, options: Mapping[str, Any]) -> None:
    taught = architectures.get(architecture).taught(options)
    if taught and not folders:
        raise ConfigError(
            f"{architecture} learns from a teacher, and there is none",
            next_step="give --teacher CHECKPOINT, or `teachers: [CHECKPOINT]` in the recipe",
        )
    if folders and not taught:
        raise ConfigError(
            f"{architecture} with these options learns from no teacher",
            got=", ".join(map(str, folders)),
            next_step="leave the teachers out",
        )


def _require_different(teachers: Sequence[Checkpoint]) -> None:
    if len({one.fingerprint for one in teachers}) < len(teachers):
        raise ConfigError("a teacher is named twice", got=", ".join(str(one.folder) for one in teachers))


def require_fit(teachers: Sequence[Checkpoint], student: Student) -> list[str]:
    """Check that teachers can teach a student.

    Returns:
        A line for each thing that differs and is allowed, or that no record tells.

    Raises:
        ConfigError: some cannot; everything that is wrong with each is named.
    """
    problems, remarks = Problems("teachers that cannot teach this model"), list[str]()
    for teacher in teachers:
        wrong, notes = _given_away(teacher, student.tested_on)
        if architectures.get(teacher.architecture).teaches:
            wrong += [*_other_sizes(teacher, student), *_other_inputs(teacher, student)]
            frames = _other_frames(teacher, student)
            if frames and student.other_frames:
                notes.append(f"warning: {frames}")
            elif frames:
                wrong.append(f"{frames}; {ALLOW}")
            elif bool(teacher.sampling) != bool(student.sampling):
                notes.append("whether it was trained on frames sampled as the student's is not known: no record")
        else:
            wrong.append(f"got {teacher.architecture}; wanted a model that scores frames, such as xclip")
        if wrong:
            problems.add(str(teacher.folder), "; ".join(wrong))
        remarks += [f"teacher {teacher.folder}: {note}" for note in notes]
    problems.raise_if_any(ConfigError, next_step=NEXT)
    return remarks


def _other_sizes(teacher: Checkpoint, student: Student) -> list[str]:
    """Sizes that a teacher does not have in common with a student."""
    pixels = _reads_videos(teacher) and student.reads_videos
    own = {**teacher.config, "image_size": teacher.config["backbone"]["vision_config"]["image_size"]}
    return [
        f"{name}: got {own[name]}; wanted {size}, as the student has"
        for name, size in student.sizes.items()
        if own[name] != size and (pixels or name != "image_size")
    ]


def _reads_videos(teacher: Checkpoint) -> bool:
    ((_, dim),) = teacher.config["video_frames"].items()
    return not dim


def _other_inputs(teacher: Checkpoint, student: Student) -> list[str]:
    """Tokens and frames that a teacher does not have in common with a student."""
    wrong = []
    if _reads_videos(teacher) != student.reads_videos:
        kinds = {False: "frames of a store", True: "pixels"}
        wrong.append(f"reads {kinds[_reads_videos(teacher)]}; wanted {kinds[student.reads_videos]}, as the student")
    elif not student.reads_videos and student.specs:
        for spec, own in zip(student.specs.values(), teacher.video_features.values(), strict=True):
            try:
                spec.require_same(own, where=str(teacher.folder))
            except AvsError as error:
                wrong.append(f"reads frames of another encoder: got {error.got}; wanted {error.wanted}")
    theirs = [one.get("fingerprint") for one in teacher.text_features]
    if student.tokens is not None and list(student.tokens) != theirs:
        wrong.append("its tokenizer is not that of the student")
    return wrong


def _other_frames(teacher: Checkpoint, student: Student) -> str:
    """What differs in the frames that a teacher was trained on and those that it would see; "" if nothing is known to.

    A teacher sees the frames of the student, and another rate or choice gives it other relevance and other scores.
    """
    theirs, own = _sampled(teacher.sampling), _sampled(student.sampling)
    if not theirs or not own:
        return ""
    differing = [key for key in own if theirs.get(key) != own[key]]
    got, wanted = (", ".join(f"{key} {frames.get(key)}" for key in differing) for frames in (theirs, own))
    told = f"was trained on frames sampled otherwise: got {got}; wanted {wanted}, as the student sees"
    return told if differing else ""


def _sampled(sampling: Mapping[str, Any]) -> dict[str, object]:
    """What decides which frames of a shot are seen, in words; how many places there are is one of the sizes."""
    if not sampling:
        return {}
    interval_s, limit = sampling.get("interval_s"), sampling.get("frames") or NO_LIMIT
    choice = sampling.get("choice") or {}
    return {
        "grid": sampling.get("policy"),
        "fps": f"{1 / interval_s:g}" if interval_s else None,
        "most frames of the grid": "no limit" if limit >= NO_LIMIT else limit,
        "policy": choice.get("policy", "linspace"),
        "order": choice.get("order", "normal"),
    }


def _given_away(teacher: Checkpoint, tested_on: CaptionSet | None) -> tuple[list[str], list[str]]:
    """What is wrong if a teacher was trained on what a student is validated on; and what cannot be known of that."""
    if tested_on is None:
        return [], []
    if teacher.trained_on is not None:
        known = {name for video in teacher.trained_on for name in _names(video)}
        shared = [video for video in tested_on.videos if known.intersection(_names(video))]
        of = f"{len(shared)} of the {len(tested_on.videos)} videos that this model is validated on ({some(shared)})"
        return ([f"was trained on {of}; it would give them away"] if shared else []), []
    if tested_on.fingerprint in _captions_of(teacher):
        return ["was trained on the captions that this model is validated on; it would give them away"], []
    return [], [
        "whether it was trained on videos that this model is validated on is not known: an older avs trained it, or it "
        "was imported"
    ]


def _names(video: str) -> tuple[str, str]:
    """What collections call a video: its name, and that of a shot which is the whole video."""
    return video, f"shot{video_id(video)}_1"


def _captions_of(teacher: Checkpoint) -> set[str]:
    """Fingerprints of the captions that a teacher was trained on."""
    inputs: Mapping[str, str] = read_manifest(teacher.folder)["inputs"]
    return {
        fingerprint
        for name, fingerprint in inputs.items()
        if name.endswith(CAPTIONS) and not name.removesuffix(CAPTIONS).startswith(VALIDATION)
    }
