"""The pretrained CLIP that a model is trained on: found by its name, opened, and kept in the model's checkpoint."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from avs.core.errors import ConfigError
from avs.core.spec import EmbedderSpec
from avs.features.catalog import get_entry, read_catalog
from avs.features.embedder import read_spec
from avs.features.family import load_module, quiet_transformers, read_config
from avs.features.text import TextFeature
from avs.features.text.clip_tokens import ClipTokens
from avs.features.weights import locate
from avs.models.architectures import architectures
from avs.models.clip_backbone import plain_config
from avs.models.retrieval import RetrievalModel
from avs.train.checkpoint import BACKBONE

FAMILY = "clip"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt")
PROCESSOR = ("preprocessor_config.json", "processor_config.json")


@dataclass(frozen=True, slots=True)
class Backbone:
    """A CLIP.

    Attributes:
        folder: of its weights.
        spec: of its vectors.
    """

    folder: Path
    spec: EmbedderSpec

    def options(self) -> dict[str, Any]:
        """Options of the model's config that follow from it."""
        return {
            "backbone": plain_config(read_config(self.folder)),
            "image_mean": self.spec.mean,
            "image_std": self.spec.std,
        }

    def tokens(self, architecture: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """The text feature of its tokenizer, as long as the model's options say."""
        defaults = {each.name: each.default for each in fields(architectures.get(architecture).config)}
        words = options.get("max_words", defaults["max_words"])
        return {"kind": "clip-tokens", "tokenizer": self.folder, "max_words": words}

    def start(self, model: RetrievalModel) -> None:
        """Give a model its weights."""
        import torch
        from transformers import CLIPModel

        model.start_from(load_module(CLIPModel, self.folder, torch.float32))


def open_backbone(name: object) -> Backbone:
    """The CLIP of a name of the catalog, or of a folder.

    Raises:
        ConfigError: there is no name, or it is no CLIP.
        AvsError: there are no such weights.
    """
    if not isinstance(name, str):
        raise ConfigError(
            "no backbone", got=name, next_step="name a CLIP: --backbone clip-vit-b32, or a folder of weights"
        )
    known = name in read_catalog()
    model, weights = (name, None) if known else (FAMILY, name)
    entry = get_entry(model)
    if entry.family != FAMILY:
        raise ConfigError(f"the backbone is no CLIP: {name}", got=f"family {entry.family}", wanted=f"family {FAMILY}")
    folder = catalog_folder(name, option="--backbone") if known else locate(name)
    return Backbone(folder, read_spec(model, weights=weights))


def catalog_folder(name: str, *, option: str) -> Path:
    """The folder with the weights, tokenizer and processor of a name of the catalog.

    Args:
        option: that named it, for the message.

    Raises:
        ConfigError: the name is a family's, whose weights the user names.
        AvsError: there are no such weights.
    """
    entry = get_entry(name)
    if entry.weights is None:
        raise ConfigError(f"{option} {name} has no weights of its own", next_step=f"name a folder: {option} FOLDER")
    return locate(entry.weights, revision=entry.revision)


def save_backbone(
    model: RetrievalModel, source: Path, folder: Path, *, files: Sequence[str] = (*TOKENIZER, *PROCESSOR)
) -> None:
    """Keep the trained CLIP, its tokenizer and its processor in a checkpoint, as `save_pretrained` does.

    Args:
        source: folder with the tokenizer and the processor.
        folder: of the checkpoint.
        files: those of `source` to keep, where they are there.
    """
    target = folder / BACKBONE
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    with quiet_transformers():
        model.save_backbone(target)
    for name in files:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def require_own_tokens(backbone: Backbone, features: Sequence[TextFeature]) -> None:
    """Check that token ids are those of the backbone's tokenizer.

    Raises:
        ConfigError: another tokenizer made them, whose numbers mean other words.
    """
    for feature in features:
        if isinstance(feature, ClipTokens) and feature.folder != backbone.folder:
            own = ClipTokens(feature.name, backbone.folder, max_words=feature.max_words)
            if own.to_json()["fingerprint"] != feature.to_json()["fingerprint"]:
                raise ConfigError(
                    "the tokenizer is not that of the backbone",
                    got=feature.folder,
                    wanted=str(backbone.folder),
                    next_step="leave `text` out of the recipe, or name the folder of the backbone",
                )


def own_frames_spec(checkpoint: Path, name: str) -> EmbedderSpec:
    """The spec of frames by the backbone of a checkpoint, as its tower gives them.

    Args:
        checkpoint: folder in which save_backbone has written.
        name: of the model.
    """
    spec = read_spec(FAMILY, weights=checkpoint / BACKBONE)
    return replace(spec, name=name, normalised=False)


def feature_paths(checkpoint: Path, features: Sequence[Mapping[str, Any]]) -> dict[str, Path]:
    """Name of a text feature -> where the checkpoint keeps what it is made of."""
    return {str(one["name"]): checkpoint / BACKBONE for one in features if one["kind"] == "clip-tokens"}
