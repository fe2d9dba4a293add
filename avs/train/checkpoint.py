"""Checkpoints: a folder with a model's weights and everything needed to search with it.

model.safetensors   the weights
checkpoint.json     architecture, config, the features of both sides with their specs and vocabularies, the validation
                    set, attention per feature
backbone/           of a model that builds on a pretrained one: that one, as trained, with its tokenizer and processor
trained_on.txt      of a model on the frames of videos: the ids of those that it was trained on, one per line
manifest.json       inputs and settings of the training, hashes of the files; written last
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from avs.core.artifacts import Manifest, atomic_write, complete_folder, read_manifest, require_path
from avs.core.contents import content_fingerprint, require_unchanged
from avs.core.errors import FormatError, SpecMismatchError
from avs.core.spec import EmbedderSpec
from avs.core.text_files import read_text
from avs.models.architectures import make_config, make_model
from avs.models.retrieval import RetrievalModel
from avs.train.weights import load_weights, read_weights, write_weights

TRAINED_ON = "trained_on.txt"
BACKBONE = "backbone"  # folder of the pretrained network that the model builds on, as trained
CHECKPOINT_TYPE = "checkpoint"
TRAINING_TYPE = "training"
AGAIN = "train the model again with --force"


@dataclass(frozen=True)
class Checkpoint:
    """A trained model, without its weights.

    Attributes:
        architecture: name of the architecture.
        config: options and inputs of the model, as plain values.
        video_features: name -> spec of the stores it reads.
        text_features: JSON from which each text feature is made again, vocabularies included.
        epoch: epoch of the weights; for an average, the last one.
        measures: validation of these weights.
        validation: what selected this epoch: name, and fingerprints of captions or of topics and judgments.
        selected_on: ids of the captioned videos that selected it.
        sampling: which frames of a shot the model reads, for models that read frames: `policy`, `interval_s` and
            `frames` of the grid in time (avs.video.sampling.Sampling), and under `choice` the `frames`, `policy` and
            `order` of what a test takes of the grid (avs.train.frame_choice.FrameChoice).
        attention: side -> feature -> mean attention; empty for a model without attention.
        folder: folder of the checkpoint.
    """

    architecture: str
    config: Mapping[str, Any]
    video_features: Mapping[str, EmbedderSpec]
    text_features: Sequence[Mapping[str, Any]]
    epoch: int
    measures: Mapping[str, float]
    validation: Mapping[str, str]
    selected_on: Sequence[str] = ()
    sampling: Mapping[str, Any] = field(default_factory=dict)
    attention: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    folder: Path = field(default=Path(), compare=False)

    @cached_property
    def fingerprint(self) -> str:
        """Fingerprint of everything that made the checkpoint, and of its files."""
        return content_fingerprint(read_manifest(self.folder))

    @cached_property
    def trained_on(self) -> frozenset[str] | None:
        """Ids of the videos whose captions it was trained on, before and after any start; None: nobody knows."""
        path = self.folder / TRAINED_ON
        return frozenset(read_text(path).split("\n")[:-1]) if path.is_file() else None

    def load_model(self, device: str = "cpu") -> RetrievalModel:
        """The model with its weights, in eval mode.

        Raises:
            FormatError: the weights cannot be read, are not those of this model, or are not finite.
        """
        model = make_model(self.architecture, make_config(self.architecture, self.config))
        file = self.folder / "model.safetensors"
        load_weights(model, read_weights(file), where=file, next_step=f"put the file back, or {AGAIN}")
        return model.to(device).eval()

    def require_specs(self, specs: Mapping[str, EmbedderSpec], *, where: str) -> None:
        """Check that stores were made by the encoders this model was trained on.

        Raises:
            SpecMismatchError: a feature is missing, or another encoder made it; all of them at once.
        """
        missing = [name for name in self.video_features if name not in specs]
        problems = [f"{name}: no store given" for name in missing]
        for name, spec in self.video_features.items():
            if name in specs:
                try:
                    spec.require_same(specs[name], where=where)
                except SpecMismatchError as error:
                    problems.append(f"{name}: {error.got}, wanted {error.wanted}")
        if problems:
            raise SpecMismatchError(
                f"the stores do not fit the checkpoint {self.folder}",
                where=where,
                got="; ".join(problems),
                wanted=", ".join(self.video_features),
                next_step="give one --store for each feature, made by the model the checkpoint was trained with",
            )


def write_checkpoint(
    checkpoint: Checkpoint,
    weights: Mapping[str, Tensor],
    manifest: Manifest,
    *,
    trained_on: Collection[str] | None = None,
) -> None:
    """Write a checkpoint to its folder.

    Args:
        trained_on: ids of the videos that it was trained on; None: they are not recorded.
    """
    folder = checkpoint.folder
    (folder / TRAINED_ON).unlink(missing_ok=True)
    if trained_on is not None:
        with atomic_write(folder / TRAINED_ON) as file:
            file.writelines(f"{video}\n" for video in sorted(set(trained_on)))
    write_weights(folder / "model.safetensors", weights)
    plain = {key: value for key, value in asdict(checkpoint).items() if key != "folder"}
    with atomic_write(folder / "checkpoint.json") as file:
        json.dump(plain, file, indent=1)
        file.write("\n")
    complete_folder(folder, manifest, folders=[BACKBONE] if (folder / BACKBONE).is_dir() else [])


def read_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint in a folder; for the folder of a training, its best checkpoint.

    Raises:
        FormatError: there is no checkpoint, it is not complete, or its files are not as they were written.
    """
    folder = require_path(Path(path), what="checkpoint")
    if (folder / "best").is_dir():
        folder = folder / "best"
    if not (folder / "checkpoint.json").is_file():
        raise FormatError(
            "not a checkpoint",
            where=folder,
            wanted="a folder with checkpoint.json, as the train verbs write it",
            next_step="if its training was interrupted, run the same command again",
        )
    require_unchanged(folder, read_manifest(folder), next_step=AGAIN)
    try:
        data = json.loads((folder / "checkpoint.json").read_text(encoding="utf-8"))
        data["video_features"] = {name: EmbedderSpec.from_json(spec) for name, spec in data["video_features"].items()}
        if not all({"kind", "name"} <= set(feature) for feature in data["text_features"]):
            raise ValueError("a text feature without kind or name")
        return Checkpoint(**data, folder=folder)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FormatError(
            "not a checkpoint of this avs",
            where=folder / "checkpoint.json",
            got=f"{type(error).__name__}: {error}",
            next_step="put the file back, train the model again, or use the avs that its manifest.json names",
        ) from error
