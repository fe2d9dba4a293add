"""What brings the weights of others' code into our models: their tensors, taken by name, and what they become."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from avs.core.errors import FormatError, Problems
from avs.core.registry import Registry


@dataclass(frozen=True, slots=True)
class TextInput:
    """A text feature that foreign weights read.

    Attributes:
        name: of the feature in our model.
        kind: "bow", "word2vec", "gru", "bigru", "encoder" or "clip-tokens".
        dim: length of its vector; of gru, bigru and clip-tokens the number of words.
        embedding, hidden: of gru and bigru: dimension of a word, and of the state in each direction.
        length: of clip-tokens: the most tokens of a text.
    """

    name: str
    kind: str
    dim: int
    embedding: int = 0
    hidden: int = 0
    length: int = 0


@dataclass(frozen=True, slots=True)
class Imported:
    """Foreign weights in our terms.

    Attributes:
        options: options of the architecture that the weights, or the authors' code, decide.
        video, video_frames: name -> dimension of the video-level and frame-level features; 0: the model reads the
            pixels of frames, which are called after the folder of the checkpoint.
        text: the text features; those that are words come last.
        weights: name in our model -> tensor.
        left_out: what of the file has no effect, and why, for the user.
    """

    options: Mapping[str, Any]
    video: Mapping[str, int]
    video_frames: Mapping[str, int]
    text: tuple[TextInput, ...]
    weights: Mapping[str, Tensor]
    left_out: tuple[str, ...] = ()


@dataclass(slots=True)
class ForeignWeights:
    """A state dict whose tensors are taken one by one, so that none is forgotten and none is invented.

    Attributes:
        tensors: name -> tensor, as in the file.
        used: names that were taken or left out on purpose.
        missing: names that were wanted and are not there.
    """

    tensors: Mapping[str, Tensor]
    used: set[str] = field(default_factory=set)
    missing: list[str] = field(default_factory=list)

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def take(self, name: str) -> Tensor:
        """The tensor of that name; an empty one when it is missing, of which `finish` tells."""
        self.used.add(name)
        if name not in self.tensors:
            self.missing.append(name)
            return torch.empty(0, 0)
        return self.tensors[name]

    def leave_out(self, prefix: str) -> int:
        """Leave out the tensors whose names start so. Returns how many there are."""
        names = [name for name in self.tensors if name.startswith(prefix)]
        self.used.update(names)
        return len(names)

    def finish(self, source: str) -> None:
        """Check that every tensor was taken or left out on purpose, and that none was missing.

        Raises:
            FormatError: names all that do not match on either side.
        """
        problems = Problems(f"not the weights of {source}")
        for name in dict.fromkeys(self.missing):
            problems.add(name, "is wanted and missing")
        for name, tensor in self.tensors.items():
            if name not in self.used:
                problems.add(name, f"has no place in the model (shape {list(tensor.shape)})")
            elif tensor.is_floating_point() and not tensor.isfinite().all():
                problems.add(name, "has values that are not finite")
        problems.raise_if_any(FormatError)


@dataclass(frozen=True, slots=True)
class Importer:
    """How weights that others wrote become those of an architecture.

    Attributes:
        convert: takes them; the user's names of features, theirs -> ours; and options that they do not show.
        to_tensors: Python that, run beside the authors' code, keeps the tensors of their checkpoint alone.
        fps: frames a second that the authors' scripts read; None: they differ, and the user must say it.
    """

    convert: Callable[[ForeignWeights, Mapping[str, str], Mapping[str, Any]], Imported]
    to_tensors: str
    fps: float | None = 1.0


importers: Registry[Importer] = Registry("architecture to import")
