"""Captioners: models of transformers that write a sentence about an image, by beam search or greedily.

They are opened like encoders: a checkpoint folder or a name on the Hub, its own preprocessing, and a fingerprint of all
that decides what it writes. Nothing is drawn at random.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from avs.core.config import load_config
from avs.core.errors import ConfigError, did_you_mean
from avs.features.family import load_module, quiet_transformers
from avs.features.preprocess import Preprocessing, read_preprocessing
from avs.features.weights import fingerprint_weights, locate, read_json, require_tokenizer

if TYPE_CHECKING:
    from torch import Tensor

CATALOG = Path(__file__).with_name("captioners.yaml")
DECISIVE_SUFFIXES = (".json", ".txt", ".model")  # of the files that say how pictures are prepared and words are spelt
BEAMS, MAX_TOKENS = 3, 20  # those of the caption demo of BLIP's authors


@dataclass(frozen=True, slots=True)
class CaptionerFamily:
    """Checkpoints that one class of transformers reads.

    Attributes:
        model_type: in their config.json.
        class_name: the class.
        shortest_edge: whether a bare `"size": 224` in an old processor config means the shorter edge.
    """

    model_type: str
    class_name: str
    shortest_edge: bool = False


FAMILIES = {
    "blip": CaptionerFamily("blip", "BlipForConditionalGeneration"),
    "blip2": CaptionerFamily("blip-2", "Blip2ForConditionalGeneration"),
    "git": CaptionerFamily("git", "GitForCausalLM", shortest_edge=True),
}


class CaptionerEntry(BaseModel):
    """One captioner of captioners.yaml: its family, its weights on the Hub, and a line for people."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: str
    weights: str | None = None
    revision: str = "main"
    notes: str = ""


class CaptionerCatalog(BaseModel):
    """All captioners by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: dict[str, CaptionerEntry]


@cache
def read_captioners() -> dict[str, CaptionerEntry]:
    """The captioners of captioners.yaml by name, and one for every family under its own name, which needs weights."""
    own = {name: CaptionerEntry(family=name, notes="Weights of your own.") for name in FAMILIES}
    return {**load_config(CATALOG, CaptionerCatalog).models, **own}


@dataclass(frozen=True, slots=True)
class Decoding:
    """How a sentence is searched for.

    Attributes:
        beams: beams of the search; 1: greedy.
        max_tokens: longest sentence, in tokens of the captioner.

    Raises:
        ConfigError: one of them is less than 1.
    """

    beams: int = BEAMS
    max_tokens: int = MAX_TOKENS

    def __post_init__(self) -> None:
        for name, value in (("--beams", self.beams), ("--max-tokens", self.max_tokens)):
            if value < 1:
                raise ConfigError(f"{name} must be at least 1", got=value)


@dataclass(frozen=True, slots=True)
class CaptionerCheckpoint:
    """A captioner whose weights are not loaded.

    Attributes:
        name: in the catalog.
        folder: of the checkpoint.
        family: what reads it.
        preprocessing: of its images.
        fingerprint: sha256 of the weights and of the files that say how pictures are prepared and words are spelt.
    """

    name: str
    folder: Path
    family: CaptionerFamily
    preprocessing: Preprocessing
    fingerprint: str

    def load(self, decoding: Decoding, *, device: str = "cpu", dtype: str = "float32") -> Captioner:
        """The captioner, ready to write.

        Raises:
            AvsError: the weights cannot be read, or lack a part.
            ConfigError: unknown device or dtype.
            MissingDependencyError: a CUDA device that this machine does not have.
        """
        import transformers

        from avs.features.encoders import resolve_device

        resolved, computed_in = resolve_device(device, dtype)
        module = load_module(getattr(transformers, self.family.class_name), self.folder, computed_in).to(resolved)
        tokenizers: Any = transformers.AutoTokenizer
        with quiet_transformers():
            tokenizer = tokenizers.from_pretrained(self.folder, local_files_only=True)
        return Captioner(module, tokenizer, self.preprocessing, decoding)


def open_captioner(model: str, weights: str | None = None) -> CaptionerCheckpoint:
    """The captioner `model`, after all checks that need no loaded weights.

    Args:
        model: a name of captioners.yaml; or a family, such as "blip", with `weights`.
        weights: a checkpoint folder, or `org/name[@revision]` on the Hub; None: what the catalog says.

    Raises:
        ConfigError: unknown captioner, one without weights, or weights of another family.
        AvsError: there is no checkpoint, or it has no tokenizer or no preprocessing.
        MissingDependencyError: the Hub cannot be reached.
    """
    captioners = read_captioners()
    if model not in captioners:
        raise ConfigError(
            f'unknown captioner "{model}"{did_you_mean(model, captioners)}',
            wanted=", ".join(captioners),
            next_step=f"for other weights of a family: --model {' or '.join(FAMILIES)} --weights FOLDER_OR_HUB_NAME",
        )
    entry = captioners[model]
    location = weights or entry.weights
    if location is None:
        raise ConfigError(
            f'the captioner "{model}" needs weights', next_step=f"--model {model} --weights FOLDER_OR_HUB_NAME"
        )
    family, folder = FAMILIES[entry.family], locate(location, revision=entry.revision)
    model_type = read_json(folder / "config.json").get("model_type")
    if model_type != family.model_type:
        raise ConfigError(
            f"the checkpoint is of another family than {model}",
            where=folder / "config.json",
            got=f"model_type {model_type}",
            wanted=f"model_type {family.model_type}, a checkpoint of {family.class_name}",
        )
    require_tokenizer(folder)
    preprocessing = read_preprocessing(folder, shortest_edge=family.shortest_edge)
    return CaptionerCheckpoint(model, folder, family, preprocessing, _fingerprint(folder))


def _fingerprint(folder: Path) -> str:
    digest = hashlib.sha256(fingerprint_weights(folder).encode())
    for path in sorted(folder.iterdir()):
        if path.suffix in DECISIVE_SUFFIXES and path.is_file():
            digest.update(f"\n{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}".encode())
    return f"sha256:{digest.hexdigest()}"


class Captioner:
    """Writes a sentence about each of some images.

    Args:
        module: of transformers, on its device and in its dtype.
        tokenizer: that spells its tokens.
        preprocessing: of its images.
        decoding: how sentences are searched for.
    """

    def __init__(self, module: Any, tokenizer: Any, preprocessing: Preprocessing, decoding: Decoding) -> None:
        self.preprocessing, self.decoding = preprocessing, decoding
        self._module, self._tokenizer = module, tokenizer

    def captions(self, images: Tensor) -> list[str]:
        """B sentences about (B, 3, S, S) uint8 images, as the tokenizer spells them; "" where there is no word."""
        sentences: Sequence[str] = self._tokenizer.batch_decode(self.token_ids(images), skip_special_tokens=True)
        return list(sentences)

    def token_ids(self, images: Tensor) -> Tensor:
        """(B, L) ids of (B, 3, S, S) uint8 images, from the token that begins a sentence where the model gives it."""
        import torch

        mean, std = (torch.tensor(row).reshape(1, 3, 1, 1) for row in (self.preprocessing.mean, self.preprocessing.std))
        pixels = ((images.float() / 255 - mean) / std).to(self._module.device, self._module.dtype)
        with torch.inference_mode(), quiet_transformers():
            ids: Tensor = self._module.generate(
                pixel_values=pixels,
                do_sample=False,
                num_beams=self.decoding.beams,
                max_new_tokens=self.decoding.max_tokens,
            )
        return ids.cpu()
