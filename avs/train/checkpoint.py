"""Checkpoints: a folder with a model's weights and everything needed to search with it.

model.safetensors   the weights
checkpoint.json     architecture, config, the features of both sides with their specs and vocabularies, what the
                    model was validated on, attention per feature
manifest.json       what made it; written last
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from avs.core.artifacts import Manifest, atomic_write, read_manifest, require_path, write_manifest
from avs.core.errors import FormatError, SpecMismatchError
from avs.core.spec import EmbedderSpec
from avs.models.architectures import make_config, make_model
from avs.train.weights import read_weights, write_weights

CHECKPOINT_TYPE = "checkpoint"
TRAINING_TYPE = "training"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A trained model, without its weights.

    Attributes:
        architecture: name of the model.
        config: its options and inputs, as plain values.
        video_features: name -> spec of the stores it reads.
        text_features: what brings each text feature back, vocabularies included.
        epoch: whose weights these are; of an average, the last.
        measures: validation of that epoch (of an average, its own).
        validation: what decided on this epoch: name, fingerprint of captions or of topics and judgments.
        selected_on: the captioned videos that did.
        attention: side -> feature -> mean attention, of models that have it.
        folder: where it lies.
    """

    architecture: str
    config: Mapping[str, Any]
    video_features: Mapping[str, EmbedderSpec]
    text_features: Sequence[Mapping[str, Any]]
    epoch: int
    measures: Mapping[str, float]
    validation: Mapping[str, str]
    selected_on: Sequence[str] = ()
    attention: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    folder: Path = field(default=Path(), compare=False)

    @property
    def fingerprint(self) -> str:
        """Of what made it, weights included."""
        found: str = read_manifest(self.folder)["fingerprint"]
        return found

    def load_model(self, device: str = "cpu") -> nn.Module:
        """The model with its weights, in eval mode."""
        model = make_model(self.architecture, make_config(self.architecture, self.config))
        model.load_state_dict(read_weights(self.folder / "model.safetensors"))
        return model.to(device).eval()

    def require_specs(self, found: Mapping[str, EmbedderSpec], *, where: str) -> None:
        """Check that stores were made by the encoders this model was trained on.

        Raises:
            SpecMismatchError: a feature is missing, or another encoder made it; all of them at once.
        """
        missing = [name for name in self.video_features if name not in found]
        problems = [f"{name}: no store given" for name in missing]
        for name, spec in self.video_features.items():
            if name in found:
                try:
                    spec.require_same(found[name], where=where)
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


def write_checkpoint(checkpoint: Checkpoint, weights: Mapping[str, Tensor], manifest: Manifest) -> None:
    """Write a checkpoint to its folder; complete when this returns."""
    folder = checkpoint.folder
    write_weights(folder / "model.safetensors", weights)
    plain = {key: value for key, value in asdict(checkpoint).items() if key != "folder"}
    with atomic_write(folder / "checkpoint.json") as file:
        json.dump(plain, file, indent=1)
        file.write("\n")
    write_manifest(folder, manifest)


def read_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint in a folder; of a training's folder, its best.

    Raises:
        FormatError: there is none, or it is not complete.
    """
    folder = require_path(Path(path), what="checkpoint")
    if (folder / "best").is_dir():
        folder = folder / "best"
    if not (folder / "checkpoint.json").is_file():
        raise FormatError(
            "not a checkpoint",
            where=folder,
            wanted="a folder with checkpoint.json, as `avs train-laff` writes it",
            next_step="if its training was interrupted, run the same command again",
        )
    read_manifest(folder)
    try:
        data = json.loads((folder / "checkpoint.json").read_text(encoding="utf-8"))
        data["video_features"] = {name: EmbedderSpec.from_json(spec) for name, spec in data["video_features"].items()}
        return Checkpoint(**data, folder=folder)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FormatError(
            "not a checkpoint of this avs",
            where=folder / "checkpoint.json",
            got=str(error),
            next_step="train the model again, or use the avs that its manifest.json names",
        ) from error
