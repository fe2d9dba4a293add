"""The models of LAVIS: what a `--model` name stands for there, and the files of its weights.

`--weights` is the file that LAVIS would download, or its folder. The folder also has what LAVIS would fetch beside it:
`bert-base-uncased/` for the words of BLIP and BLIP-2, and the file of the ViT for BLIP-2.

Weights of one's own lie in a folder with `lavis.yaml`, under the name of a family (`--model blip --weights FOLDER`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from avs.core.artifacts import require_path
from avs.core.config import load_config
from avs.core.errors import ConfigError, Problems, did_you_mean, typed
from avs.features.preprocess import Geometry, Preprocessing

OWN = "lavis.yaml"  # in a folder of weights of one's own
BERT, VOCABULARY, BERT_CONFIG = "bert-base-uncased", "vocab.txt", "config.json"
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
ACTIVATIONS = {"clip": "quick_gelu", "blip": "gelu", "blip2": "gelu"}
STORAGE = "https://storage.googleapis.com/sfr-vision-language-research"
OPENAI = "https://openaipublic.azureedge.net/clip/models"
BERT_SOURCE = "hf download google-bert/bert-base-uncased vocab.txt config.json --local-dir"


@dataclass(frozen=True, slots=True)
class LavisModel:
    """A model of LAVIS.

    Attributes:
        family: whose poolings, texts and preprocessing it has: "clip", "blip" or "blip2".
        name, kind: in LAVIS, as load_model takes them.
        files: of its weights, with the prefix that the names in each have in the model.
        sources: where the files were published.
        dim, image_size: of its vectors, and of the images it takes.
        changes: of LAVIS's own config.
        vit: sizes of a smaller ViT in place of ViT-g.
        sha256: of a file that is an archive of TorchScript: no other one is opened.
    """

    family: str
    name: str
    kind: str
    files: tuple[tuple[str, str], ...]
    sources: tuple[str, ...]
    dim: int
    image_size: int
    changes: dict[str, Any] = field(default_factory=dict)
    vit: dict[str, Any] = field(default_factory=dict)
    sha256: str = ""

    @property
    def preprocessing(self) -> Preprocessing:
        """Of its images: CLIP's are cropped; those of BLIP and BLIP-2 are resized to a square."""
        edge = self.image_size if self.family == "clip" else None
        return Preprocessing(Geometry(self.image_size, edge, "bicubic"), CLIP_MEAN, CLIP_STD)


def _clip(kind: str, dim: int, image_size: int, sha256: str, file: str = "") -> LavisModel:
    file = file or f"{kind}.pt"
    source = f"{OPENAI}/{sha256}/{file}"
    return LavisModel("clip", "clip_feature_extractor", kind, ((file, ""),), (source,), dim, image_size, sha256=sha256)


def _blip(name: str, kind: str, file: str, image_size: int) -> LavisModel:
    return LavisModel("blip", name, kind, ((file, ""),), (f"{STORAGE}/BLIP/models/{file}",), 256, image_size)


def _blip2(kind: str, files: Sequence[str], image_size: int) -> LavisModel:
    prefixed = tuple((file, "visual_encoder." if number else "") for number, file in enumerate(files))
    sources = tuple(f"{STORAGE}/LAVIS/models/BLIP2/{file}" for file in files)
    return LavisModel("blip2", "blip2_feature_extractor", kind, prefixed, sources, 256, image_size)


PUBLISHED = {
    "clip-vit-b32": _clip("ViT-B-32", 512, 224, "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"),
    "clip-vit-b16": _clip("ViT-B-16", 512, 224, "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f"),
    "clip-vit-l14": _clip("ViT-L-14", 768, 224, "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"),
    "clip-vit-l14-336": _clip(
        "ViT-L-14-336",
        768,
        336,
        "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02",
        "ViT-L-14-336px.pt",
    ),
    "blip-base-capfilt": _blip("blip_feature_extractor", "base", "model_base_capfilt_large.pth", 224),
    "blip-itm-base-coco": _blip("blip_image_text_matching", "base", "model_base_retrieval_coco.pth", 384),
    "blip-itm-large-coco": _blip("blip_image_text_matching", "large", "model_large_retrieval_coco.pth", 384),
    "blip2-itm-vit-g": _blip2("pretrain", ("blip2_pretrained.pth", "eva_vit_g.pth"), 224),
    "blip2-itm-vit-g-coco": _blip2("coco", ("blip2_finetune_coco.pth",), 364),
    "blip2-itm-vit-l": _blip2("pretrain_vitL", ("blip2_pretrained_vitL.pth", "clip_vit_L.pth"), 224),
}
"""Name in the catalog -> the model of LAVIS with these published weights."""

NAMES = {"clip": "clip_feature_extractor", "blip": "blip_feature_extractor", "blip2": "blip2_feature_extractor"}
KINDS = {"clip": "ViT-B-32", "blip": "base", "blip2": "pretrain"}


class OwnWeights(BaseModel):
    """`lavis.yaml` beside weights of one's own.

    Attributes:
        weights: file of the state dict, as LAVIS writes it: the tensors, or `{"model": tensors}`.
        kind: of the model in LAVIS, whose config is taken; "": the family's first.
        dim, image_size: of its vectors, and of the images it takes.
        vit_weights: file of the ViT, where the state dict lacks it; "": it has it.
        changes: of LAVIS's config of the model, such as {"med_config_path": "med.json"}, a file in the folder.
        vit: sizes of another ViT in place of ViT-g, such as {"embed_dim": 64, "depth": 2, "num_heads": 4}.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: str
    dim: int
    image_size: int
    kind: str = ""
    vit_weights: str = ""
    changes: dict[str, str | int | float | bool] = {}
    vit: dict[str, int | float] = {}


@dataclass(frozen=True, slots=True)
class LavisCheckpoint:
    """A model of LAVIS and the files of its weights, which are there.

    Attributes:
        folder: of the weights.
        files: paths of the state dicts, with the prefix that the names in each have in the model.
        location: what `--weights` said, as a path that holds from any folder.
        settings: files beside the weights that decide the vectors too; those of weights of one's own have them.
    """

    model: LavisModel
    folder: Path
    files: tuple[tuple[Path, str], ...]
    location: Path
    settings: tuple[Path, ...] = ()

    def revision(self) -> str:
        """sha256 of the file of the weights; of several files and settings, sha256 of their sha256s.

        Raises:
            ConfigError: an archive of TorchScript that is not the published one.
        """
        paths = [*(path for path, _ in self.files), *self.settings]
        digests = []
        for path in paths:
            with open(path, "rb") as file:
                digests.append(hashlib.file_digest(file, "sha256").hexdigest())
        if self.model.sha256 and digests != [self.model.sha256]:
            raise ConfigError(
                "the file is not the one that was published",
                where=paths[0],
                got=f"sha256 {digests[0]}",
                wanted=f"sha256 {self.model.sha256}",
                next_step=f"get {self.model.sources[0]}; weights of your own need --model {self.model.family} and a "
                f"folder with {OWN}",
            )
        return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()

    def opening(self, device: str) -> dict[str, Any]:
        """The message that has the worker load it."""
        model = self.model
        return {
            "type": "load",
            "family": model.family,
            "name": model.name,
            "kind": model.kind,
            "changes": model.changes,
            "vit": model.vit,
            "files": [[str(path.resolve()), prefix] for path, prefix in self.files],
            "folder": str(self.folder.resolve()),
            "torchscript": bool(model.sha256),
            "image_size": model.image_size,
            "device": device,
        }


def require_lavis_model(model: str) -> None:
    """Check that LAVIS has a model of a name.

    Raises:
        ConfigError: it has not.
    """
    known = (*PUBLISHED, *NAMES)
    if model not in known:
        raise ConfigError(
            f'LAVIS has no model "{model}"{did_you_mean(model, known)}',
            wanted=", ".join(known),
            next_step="leave --backend out, so that transformers reads it",
        )


def open_lavis_checkpoint(model: str, weights: str | Path | None) -> LavisCheckpoint:
    """The files of a model's weights.

    Args:
        model: a name of PUBLISHED, or a family for weights of one's own.
        weights: the file of the weights, or its folder.

    Raises:
        ConfigError: LAVIS has no such model, or files are missing; all of them at once.
    """
    require_lavis_model(model)
    if weights is None:
        raise ConfigError(f'the model "{model}" of LAVIS needs weights', next_step=how_to_get_weights(model))
    path = require_path(Path(weights).expanduser(), what="file or folder of weights for LAVIS")
    folder = path if path.is_dir() else path.parent
    described = _own(model, folder) if model in NAMES else PUBLISHED[model]
    names = [name for name, _ in described.files]
    if path.is_file() and model not in NAMES:
        names[0] = path.name  # whatever the user calls it
    problems = Problems(f"weights of {model} for LAVIS")
    for name in names:
        if not (folder / name).is_file():
            problems.add(folder, f"no {name}")
    if described.family != "clip":
        for name in (VOCABULARY, BERT_CONFIG):
            if not (folder / BERT / name).is_file():
                problems.add(folder, f"no {BERT}/{name}")
    bert = described.changes.get("med_config_path")
    if bert is not None and not (folder / bert).is_file():
        problems.add(folder, f"no {bert}")
    problems.raise_if_any(ConfigError, next_step=how_to_get_weights(model))
    settings = (folder / OWN, *((folder / bert,) if bert else ())) if model in NAMES else ()
    files = tuple((folder / name, prefix) for name, (_, prefix) in zip(names, described.files, strict=True))
    return LavisCheckpoint(described, folder, files, path.resolve(), settings)


def _own(model: str, folder: Path) -> LavisModel:
    """The model of the family `model` that lavis.yaml in a folder describes."""
    own = load_config(require_path(folder / OWN, what="description of weights of your own"), OwnWeights)
    files = [(own.weights, "")] + ([(own.vit_weights, "visual_encoder.")] if own.vit_weights else [])
    kind = own.kind or KINDS[model]
    return LavisModel(
        model, NAMES[model], kind, tuple(files), (), own.dim, own.image_size, dict(own.changes), dict(own.vit)
    )


def how_to_get_weights(model: str) -> str:
    """What to do for the files of a model."""
    if model in NAMES:
        return f"write {OWN} beside the weights (docs/lavis.md), then --model {model} --weights FOLDER"
    described = PUBLISHED[model]
    steps = [f"get {' and '.join(described.sources)} into FOLDER"]
    if described.family != "clip":
        steps.append(f"{BERT_SOURCE} FOLDER/{BERT}")
    return "; ".join([*steps, f"then --weights {typed('FOLDER')}"])
