"""The teachers of a training: checkpoints whose scores a model learns from, opened and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from avs.core.artifacts import read_manifest
from avs.core.errors import AvsError, ConfigError, Problems
from avs.core.spec import EmbedderSpec
from avs.features.text import TextFeature
from avs.models.architectures import architectures
from avs.train.checkpoint import Checkpoint, read_checkpoint
from avs.train.teaching import Teacher

CAPTIONS = " captions"  # end of the names under which a training records the fingerprints of captions
VALIDATION = "validation "  # start of those that it is validated on
NEXT = "name a model of `avs train-xclip` that was trained on the same kind of input"


def read_teachers(folders: Sequence[Path], architecture: str, options: Mapping[str, Any]) -> list[Checkpoint]:
    """The checkpoints of the teachers of a model with some options.

    Raises:
        ConfigError: a model that learns from teachers has none, or another one has some; one is named twice.
        AvsError: as read_checkpoint.
    """
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
    found = [read_checkpoint(folder) for folder in folders]
    if len({one.fingerprint for one in found}) < len(found):
        raise ConfigError("a teacher is named twice", got=", ".join(map(str, folders)))
    return found


def load_teachers(
    checkpoints: Sequence[Checkpoint],
    config: Any,
    features: Sequence[TextFeature],
    specs: Mapping[str, EmbedderSpec],
    tested_on: str | None,
    device: str,
) -> list[Teacher]:
    """The models of teachers, if they can teach a model of a config.

    Args:
        config: of the student.
        features: its text features.
        specs: its video features; empty where it reads pixels.
        tested_on: fingerprint of the captions that it is validated on; None: it is validated on none.

    Raises:
        ConfigError: some cannot; everything that is wrong with each is named.
    """
    problems, models = Problems("teachers that cannot teach this model"), []
    for checkpoint in checkpoints:
        model: Any = checkpoint.load_model(device)
        wrong = []
        if not (hasattr(model, "logits") and hasattr(model, "frame_relevance")):
            wrong = [f"got {checkpoint.architecture}; wanted a model that scores frames, such as xclip"]
        else:
            wrong += _other_sizes(checkpoint, config)
            wrong += _other_inputs(checkpoint, config, features, specs)
        if tested_on is not None and tested_on in _trained_on(checkpoint):
            wrong.append("was trained on the captions that this model is validated on; it would give them away")
        if wrong:
            problems.add(str(checkpoint.folder), "; ".join(wrong))
        models.append(model)
    problems.raise_if_any(ConfigError, next_step=NEXT)
    return models


def _other_sizes(teacher: Checkpoint, config: Any) -> list[str]:
    """Sizes that a teacher does not have in common with the config of a student."""
    return [
        f"{name}: got {teacher.config[name]}; wanted {getattr(config, name)}, as the student has"
        for name in ("max_words", "max_frames")
        if teacher.config[name] != getattr(config, name)
    ]


def _other_inputs(
    teacher: Checkpoint, config: Any, features: Sequence[TextFeature], specs: Mapping[str, EmbedderSpec]
) -> list[str]:
    """Tokens and frames that a teacher does not have in common with a student."""
    wrong = []
    ((_, dim),) = teacher.config["video_frames"].items()
    size = teacher.config["backbone"]["vision_config"]["image_size"]
    if bool(dim) != bool(specs):
        kinds = {True: "frames of a store", False: "pixels"}
        wrong.append(f"reads {kinds[bool(dim)]}; wanted {kinds[bool(specs)]}, as the student")
    elif not specs and size != config.image_size:
        wrong.append(f"image_size: got {size}; wanted {config.image_size}, as the student has")
    for spec, own in zip(specs.values(), teacher.video_features.values(), strict=True) if dim and specs else ():
        try:
            spec.require_same(own, where=str(teacher.folder))
        except AvsError as error:
            wrong.append(f"reads frames of another encoder: got {error.got}; wanted {error.wanted}")
    mine, theirs = [one.to_json() for one in features], list(teacher.text_features)
    if [one.get("fingerprint") for one in mine] != [one.get("fingerprint") for one in theirs]:
        wrong.append("its tokenizer is not that of the student")
    return wrong


def _trained_on(teacher: Checkpoint) -> set[str]:
    """Fingerprints of the captions that a teacher was trained on."""
    inputs: Mapping[str, str] = read_manifest(teacher.folder)["inputs"]
    return {
        fingerprint
        for name, fingerprint in inputs.items()
        if name.endswith(CAPTIONS) and not name.removesuffix(CAPTIONS).startswith(VALIDATION)
    }
