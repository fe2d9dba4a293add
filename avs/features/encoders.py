"""The encoders that extraction and search call: normalisation, batches, devices and unit length around a family."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from avs.core.device import require_device
from avs.core.errors import ConfigError, DataError
from avs.core.ids import some
from avs.core.spec import EmbedderSpec
from avs.features.compiled import CompiledTower, compile_now
from avs.features.family import Family
from avs.features.preprocess import Preprocessing

log = logging.getLogger(__name__)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Encoder:
    """A family on its device: what encoders of images and of clips share, such as encoding texts.

    Args:
        spec: what decides its numbers.
        preprocessing: how frames become its images.
        family: its family, loaded.
        tokenizer: the checkpoint's tokenizer; None without a text tower.
        max_tokens: longest text it takes.
        device: where the family is moved.
        dtype: dtype of the pixels it takes.
    """

    def __init__(
        self,
        spec: EmbedderSpec,
        preprocessing: Preprocessing,
        family: Family,
        tokenizer: Any,
        *,
        max_tokens: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.spec, self.preprocessing, self.max_tokens = spec, preprocessing, max_tokens
        self.device, self._dtype = device, dtype
        self._family, self._tokenizer = family, tokenizer
        self._tower: Callable[..., Tensor] = family.clips if family.clip_frames else family.images
        family.module.to(device)
        mean = torch.tensor(preprocessing.mean, device=device).reshape(1, 3, 1, 1)
        std = torch.tensor(preprocessing.std, device=device).reshape(1, 3, 1, 1)
        self._scale, self._shift = 1 / (255 * std), mean / std

    def compile(self, rows: int) -> None:
        """Compile the tower of images or clips, for batches of `rows` of them; vectors change by rounding.

        Raises:
            ConfigError: it cannot be compiled here.
        """
        frames, size = self._family.clip_frames, self.preprocessing.geometry.size
        images = torch.zeros((rows, *([frames] if frames else []), 3, size, size), dtype=torch.uint8)
        masks = [torch.ones(rows, frames, dtype=torch.bool)] if frames else []

        def first_batch() -> None:
            self._tower = CompiledTower(self._tower, rows)
            self.device_vectors(images, *masks)

        compile_now(first_batch, name=self.spec.name)

    @torch.inference_mode()
    def device_vectors(self, *arrays: Tensor) -> Tensor:
        """What encode_images or encode_clips returns of the same arrays, on the device."""
        images, *masks = arrays
        vectors = self._vectors(self._pixels(images), *(mask.to(self.device) for mask in masks))
        return _scaled(vectors, self.spec.normalised)

    def _vectors(self, *arrays: Tensor) -> Tensor:
        """(B, ...) vectors of pixels, and of masks for clips, as the tower gives them."""
        return self._tower(*arrays)

    def preprocess(self, frames: np.ndarray) -> Tensor:
        """(F, 3, S, S) uint8 images of (F, H, W, 3) uint8 RGB frames: resized and cropped, not normalised."""
        return torch.from_numpy(self.preprocessing.geometry.apply(frames))

    def _pixels(self, images: Tensor) -> Tensor:
        """(..., 3, S, S) normalised pixels of uint8 images, on the device."""
        return (images.to(self.device, non_blocking=True).float() * self._scale - self._shift).to(self._dtype)

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str], *, batch_size: int = 64, unit_length: bool = True) -> np.ndarray:
        """(T, D) float32 vectors of texts, scaled to length 1 unless `unit_length` is false.

        A text with more tokens than the tower takes is cut at its end, and a warning names it.

        Raises:
            ConfigError: the encoder has no text tower.
            DataError: a text is empty.
        """
        if self._tokenizer is None:
            raise ConfigError(f"{self.spec.name} has no text tower, so it cannot encode texts")
        cleaned = [self._family.clean(text) for text in texts]
        empty = [repr(text) for text, clean in zip(texts, cleaned, strict=True) if not clean.strip()]
        if empty:
            raise DataError(f"{len(empty)} of {len(texts)} texts are empty", got=some(empty))
        self._warn_of_cuts(texts, cleaned)
        batches = (self._encode_batch(cleaned[i : i + batch_size]) for i in range(0, len(cleaned), batch_size))
        vectors = [_scaled(batch, unit_length).cpu().numpy() for batch in batches]
        return np.concatenate([np.empty((0, self.spec.dim), dtype=np.float32), *vectors])

    def _encode_batch(self, texts: Sequence[str]) -> Tensor:
        tokens = self._tokenizer(
            list(texts),
            padding="max_length" if self._family.pads_texts else True,
            truncation=True,
            max_length=self.max_tokens,
            return_attention_mask=True,
            return_tensors="pt",
        )
        return self._family.texts(tokens["input_ids"].to(self.device), tokens["attention_mask"].to(self.device))

    def _warn_of_cuts(self, texts: Sequence[str], cleaned: Sequence[str]) -> None:
        if not cleaned:
            return
        lengths = [len(ids) for ids in self._tokenizer(list(cleaned), truncation=False, verbose=False)["input_ids"]]
        for text, length in zip(texts, lengths, strict=True):
            if length > self.max_tokens:
                log.warning(
                    'text cut by %d tokens: %s takes %d, this has %d: "%s"',
                    length - self.max_tokens,
                    self.spec.name,
                    self.max_tokens,
                    length,
                    text if len(text) <= 80 else text[:77] + "...",
                )


class ImageEncoder(Encoder):
    """Images, and texts where the family has a text tower; see `avs.features.embedder.ImageEmbedder`."""

    def encode_images(self, images: Tensor) -> np.ndarray:
        """(B, D) float32 vectors of (B, 3, S, S) uint8 images; (B, Q, D) with pooling "queries".

        They have length 1 if the spec says so; otherwise they are as the tower gives them. Of (B, 5, 3, S, S) corners
        and centres, a vector is the mean over them and their mirror images, before it is scaled.
        """
        vectors: np.ndarray = self.device_vectors(images).cpu().numpy()
        return vectors

    def _vectors(self, *arrays: Tensor) -> Tensor:
        """(B, D) vectors of (B, 3, S, S) pixels; of (B, 5, 3, S, S) crops, means over them and their mirror images."""
        (pixels,) = arrays
        if pixels.ndim == 4:
            return self._tower(pixels)
        crops = [crop for five in (pixels, pixels.flip(-1)) for crop in five.unbind(dim=1)]
        total = torch.zeros((), device=pixels.device)
        for crop in crops:
            total = total + self._tower(crop.contiguous()).float()
        return total / len(crops)


class ClipEncoder(Encoder):
    """Clips, and texts where the family has a text tower; see `avs.features.embedder.ClipEmbedder`."""

    @property
    def clip_frames(self) -> int:
        """Number of frames in a clip."""
        return self._family.clip_frames

    def encode_clips(self, clips: Tensor, mask: Tensor) -> np.ndarray:
        """(B, D) float32 unit-length vectors of (B, F, 3, S, S) uint8 clips; `mask` (B, F) is false for padding."""
        vectors: np.ndarray = self.device_vectors(clips, mask).cpu().numpy()
        return vectors


def _scaled(vectors: Tensor, unit_length: bool) -> Tensor:
    """Float32 vectors on their device, of length 1 or as they are."""
    return normalize(vectors.float(), dim=-1) if unit_length else vectors.float()


def resolve_device(device: str, dtype: str) -> tuple[torch.device, torch.dtype]:
    """The torch device and dtype of these names, when this machine has them.

    Raises:
        ConfigError: unknown device or dtype, or float16 on a CPU.
        MissingDependencyError: a CUDA device that this machine does not have.
    """
    if dtype not in DTYPES:
        raise ConfigError(f'unknown compute dtype "{dtype}"', wanted=", ".join(DTYPES))
    resolved = torch.device(require_device(device, cuda_devices=torch.cuda.device_count))
    if resolved.type == "cpu" and dtype == "float16":
        raise ConfigError(
            "float16 is not computed on a CPU",
            got="--compute-dtype float16 --device cpu",
            wanted="float32, or bfloat16 where the CPU has instructions for it",
        )
    return resolved, DTYPES[dtype]
