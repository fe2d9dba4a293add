"""LAFF and LAFF-ml as their authors' code keeps them: the entry "model" of its `model_best.pth.tar`.

Its names, for a video feature F, a text encoder T and a head j:

    vis_net.VisMutiTransformNet.F.fc1, .bn1              the transform of F; vis_net.F in LAFF-ml
    vis_net.attention_layer.attention_layer.j            the attention of head j; vis_net.vis_attention_layer in LAFF-ml
    vis_net.frame_attention.F.0                          the frame level of LAFF-ml
    txt_net.encoder.rnn_encoder.we, .rnn                 words and their GRU
    txt_net.transform_layer.T_encoder_transform.fc1, .bn1
    txt_net.attention_layer.attention_layer.j

Three things in the file have no effect there and are left out: a layer normalisation beside the attention, the bias of
the attention (it cancels in the softmax), and CLIP (its text vectors come ready made).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from avs.core.errors import ConfigError
from avs.models.importers.importer import ForeignWeights, Imported, Importer, TextInput, importers
from avs.models.retrieval import Side

LINEAR = ("weight", "bias")
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
KINDS = {"bow": "bow", "w2v": "word2vec", "CLIP": "encoder", "rnn": "gru"}  # theirs -> ours; words come last
TO_TENSORS = """
import torch
checkpoint = torch.load("model_best.pth.tar", map_location="cpu", weights_only=False)
torch.save(checkpoint["model"], "laff.pt")
for name, words in (("bow", checkpoint["config"].t2v_bow.vocab), ("gru", checkpoint["config"].t2v_idx.vocab)):
    open(f"{name}.txt", "w").write("".join(f"{words[i]}\\n" for i in range(len(words))))
"""


@dataclass(frozen=True, slots=True)
class _Side:
    """One side in the file.

    Attributes:
        ours: "video" or "text".
        transforms: where the transform of each feature is.
        attention: where the attention is.
    """

    theirs: ForeignWeights
    ours: Side
    transforms: Sequence[str]
    attention: str

    @property
    def heads(self) -> int:
        """Number of attention heads."""
        return len(
            _found(self.theirs, re.escape(self.attention) + r"attention_layer\.(\d+)\.embedding_common\.0\.weight")
        )

    def is_tiled(self, place: int) -> bool:
        """Whether the feature there has no linear map."""
        return f"{self.transforms[place]}.fc1.weight" not in self.theirs

    def dim(self, place: int) -> int:
        """The dimension of the feature there."""
        if self.is_tiled(place):
            return len(self.theirs.take(f"{self.transforms[place]}.bn1.weight")) // max(self.heads, 1)
        return self.theirs.take(f"{self.transforms[place]}.fc1.weight").shape[1]

    @property
    def has_norms(self) -> bool:
        """Whether batch normalisation follows a linear map."""
        return any(
            f"{prefix}.bn1.weight" in self.theirs for i, prefix in enumerate(self.transforms) if not self.is_tiled(i)
        )

    @property
    def average_weight(self) -> float:
        """The share r of the mean that the file keeps, used or not; the largest of the heads'."""
        names = [f"{self.attention}attention_layer.{head}.global_emb_weight_net.weight" for head in range(self.heads)]
        return max((self.theirs.take(name).max().item() for name in names if name in self.theirs), default=0.0)

    def weights(self, *, batch_norm: bool) -> Iterator[tuple[str, Tensor]]:
        """Name in our model -> tensor."""
        for place, prefix in enumerate(self.transforms):
            ours = f"{self.ours}.transforms.{place}"
            if not self.is_tiled(place):
                yield from ((f"{ours}.linear.{one}", self.theirs.take(f"{prefix}.fc1.{one}")) for one in LINEAR)
            if batch_norm or self.is_tiled(place):
                yield from ((f"{ours}.norm.{one}", self.theirs.take(f"{prefix}.bn1.{one}")) for one in NORM)
        heads = [f"{self.attention}attention_layer.{head}." for head in range(max(self.heads, 1))]
        yield f"{self.ours}.attention", torch.cat([self.theirs.take(f"{h}embedding_common.0.weight") for h in heads])
        for head in heads:  # the bias cancels in the softmax
            self.theirs.leave_out(f"{head}embedding_common.0.bias")
        self.theirs.leave_out(f"{self.attention}layer_norm.")


def convert(theirs: ForeignWeights, names: Mapping[str, str], stated: Mapping[str, Any]) -> Imported:
    """The weights of a LAFF in our terms.

    Args:
        names: video feature, or "CLIP", -> name in our model; a feature that is not there keeps its name.
        stated: options of LaffConfig that the weights do not show.

    Raises:
        FormatError: tensors that are missing, left over or not finite, as in any other kind of model.
        ConfigError: the weights do not show whether the mean of the features has a share.
    """
    multi_level = any(name.startswith("vis_net.frame_attention.") for name in theirs.tensors)
    prefix = "vis_net." if multi_level else "vis_net.VisMutiTransformNet."
    frames = _found(theirs, r"vis_net\.frame_attention\.(.+)\.0\.embedding_common\.0\.weight")
    features = [name for name in _found(theirs, re.escape(prefix) + r"(.+)\.(?:fc1|bn1)\.weight") if name not in frames]
    found = _found(theirs, r"txt_net\.transform_layer\.(.+)_encoder_transform\.(?:fc1|bn1)\.weight")
    kinds = [kind for kind in KINDS if kind in found]
    attention = "vis_net.vis_attention_layer." if multi_level else "vis_net.attention_layer."
    video = _Side(theirs, "video", [prefix + name for name in (*features, *frames)], attention)
    transforms = [f"txt_net.transform_layer.{kind}_encoder_transform" for kind in kinds]
    text = _Side(theirs, "text", transforms, "txt_net.attention_layer.")
    named = [names.get(name, name) for name in features] + [names.get(name, name) + "/frame" for name in frames]
    dims = {name: video.dim(place) for place, name in enumerate(named)}
    texts = tuple(_text_input(theirs, kind, names, text.dim(place)) for place, kind in enumerate(kinds))
    batch_norm = video.has_norms or text.has_norms
    weights = dict(video.weights(batch_norm=batch_norm)) | dict(text.weights(batch_norm=batch_norm))
    weights |= dict(_words(theirs)) if "rnn" in kinds else {}
    weights |= dict(_frame_level(theirs, frames))
    left_out = theirs.leave_out("txt_net.encoder.CLIP_encoder.")
    averages = {"video": video.average_weight, "text": text.average_weight}
    theirs.finish("a LAFF by its authors")
    weights |= _average(stated.get("with_ave"), averages)
    tiled = [name for place, name in enumerate(named) if video.is_tiled(place)]
    tiled += [one.name for place, one in enumerate(texts) if text.is_tiled(place)]
    head_dim = weights["video.attention"].shape[1]
    return Imported(
        options={"heads": video.heads, "head_dim": head_dim, "batch_norm": batch_norm, "no_transform": tiled},
        video={name: dims[name] for name in named[: len(features)]},
        video_frames={name: dims[name] for name in named[len(features) :]},
        text=texts,
        weights=weights,
        left_out=(f"{left_out} tensors of CLIP itself: its text vectors come from --text-encoder",) if left_out else (),
    )


def _average(with_ave: bool | None, shares: Mapping[str, float]) -> dict[str, Tensor]:
    """The share of the mean on both sides, where the model adds it."""
    if with_ave:
        return {f"{side}.average_weight": torch.tensor(share) for side, share in shares.items()}
    if with_ave is None and any(shares.values()):
        raise ConfigError(
            "the weights do not show whether the mean of the features was added (with_ave)",
            got=f"its share would be {max(shares.values()):g}",
            next_step="say how the model was trained: --option with_ave=false, as the released scripts, or =true",
        )
    return {}


def _found(theirs: ForeignWeights, pattern: str) -> list[str]:
    """The group of the pattern in every name that it fits, each once, in the order of the file."""
    matches = (re.fullmatch(pattern, name) for name in theirs.tensors)
    return list(dict.fromkeys(match[1] for match in matches if match))


def _text_input(theirs: ForeignWeights, kind: str, names: Mapping[str, str], dim: int) -> TextInput:
    if kind != "rnn":
        return TextInput(names.get(kind, KINDS[kind]), KINDS[kind], dim)
    words = theirs.take("txt_net.encoder.rnn_encoder.we.weight")
    hidden = theirs.take("txt_net.encoder.rnn_encoder.rnn.weight_hh_l0").shape[1]
    ours = "bigru" if "txt_net.encoder.rnn_encoder.rnn.weight_hh_l0_reverse" in theirs else "gru"
    return TextInput(ours, ours, len(words), words.shape[1], hidden)


def _words(theirs: ForeignWeights) -> Iterator[tuple[str, Tensor]]:
    yield "tokens.0.embedding.weight", theirs.take("txt_net.encoder.rnn_encoder.we.weight")
    both = any(name.endswith("_reverse") for name in theirs.tensors)
    for direction in ("", "_reverse") if both else ("",):
        for one in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
            yield f"tokens.0.gru.{one}{direction}", theirs.take(f"txt_net.encoder.rnn_encoder.rnn.{one}{direction}")


def _frame_level(theirs: ForeignWeights, frames: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
    for place, name in enumerate(frames):
        prefix = f"vis_net.frame_attention.{name}.0."
        yield from (
            (f"frames.{place}.attention.{one}", theirs.take(f"{prefix}embedding_common.0.{one}")) for one in LINEAR
        )
        theirs.leave_out(f"{prefix}global_emb_weight_net.")  # the released scripts add no mean over frames


importers.register("laff")(Importer(convert=convert, to_tensors=TO_TENSORS.strip()))
