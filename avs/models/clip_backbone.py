"""CLIP as the backbone of a video model: frames and token ids to vectors of one space.

    2d: a patch of frame t is E x_t                                CLIP's own projection
    3d: a patch of frame t is E_0 x_(t-1) + E_1 x_t + E_2 x_(t+1)   E_1 starts at E, E_0 and E_2 at 0 (CLIP4Clip)

Before the first and after the last frame of a video there are zeros, of normalised pixels.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from avs.core.errors import DataError
from avs.models.architectures.clip_video import Patches

MOST_LOG_SCALE = math.log(100)
FRAMES_IN_A_ROW = 3  # that a 3d patch covers
OLD_EOS = 2  # configs of OpenAI's checkpoints say so; transformers then takes the largest id as the end token

ALWAYS_TRAINED = (
    "logit_scale",
    "text_model.final_layer_norm.",
    "text_projection.",
    "vision_model.post_layernorm.",
    "visual_projection.",
)
PATCHES = "vision_model.embeddings.patch_embedding."


class ClipBackbone(nn.Module):
    """A CLIPModel of transformers whose vision tower reads videos.

    Args:
        config: CLIPConfig.to_dict(); the weights are fresh, from torch's random state, and float32.
        mean, std: of red, green and blue in [0, 1].
        patches: see above.
        gradient_checkpointing: compute activations again in the backward pass.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        mean: Sequence[float],
        std: Sequence[float],
        patches: Patches = "2d",
        gradient_checkpointing: bool = False,
    ) -> None:
        from transformers import CLIPConfig, CLIPModel

        super().__init__()
        self.patches = patches
        # transformers makes only the towers, not the projections, in a dtype that the config names; hence float().
        self.clip = cast(Any, CLIPModel(CLIPConfig.from_dict(dict(config)))).float()
        self.dim: int = self.clip.config.projection_dim
        self.image_size: int = self.clip.config.vision_config.image_size
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)
        if patches == "3d":
            embeddings = self.clip.vision_model.embeddings
            embeddings.patch_embedding = _over_time(embeddings.patch_embedding)
        if gradient_checkpointing:
            renamed = getattr(self.clip, "activation_checkpointing_enable", None)  # in transformers 5.23
            (renamed or self.clip.gradient_checkpointing_enable)({"use_reentrant": False})

    def start_from(self, clip: nn.Module) -> None:
        """Take the weights of a CLIP of the same config; 3d patches start at its own, in the centre frame."""
        weights = dict(clip.state_dict())
        patch = weights[PATCHES + "weight"]
        if self.patches == "3d" and patch.dim() == 4:
            weights[PATCHES + "weight"] = _centre_frame(patch)
        self.clip.load_state_dict(weights)

    def freeze(self, blocks: int) -> None:
        """Freeze the embeddings and the first `blocks` blocks of both towers; -1 freezes nothing.

        The last layer norms, the projections and the logit scale are always trained, and so are 3d patches, which are
        new. In the authors' code 3d patches lift the freeze of everything, by mistake.
        """
        trained = (*ALWAYS_TRAINED, PATCHES) if self.patches == "3d" else ALWAYS_TRAINED
        for name, parameter in self.clip.named_parameters():
            block = re.search(r"\.encoder\.layers\.(\d+)\.", name)
            above = block is not None and int(block[1]) >= blocks
            parameter.requires_grad_(blocks < 0 or above or name.startswith(trained))

    def freeze_vision(self) -> None:
        """Freeze the whole vision tower, which vectors in place of frames leave out."""
        for part in (self.clip.vision_model, self.clip.visual_projection):
            part.requires_grad_(False)

    @property
    def logit_scale(self) -> Tensor:
        """Scalar, what cosines are multiplied by in the loss: the exponential of the parameter."""
        scale: Tensor = self.clip.logit_scale.exp()
        return scale

    @torch.no_grad()
    def after_step(self) -> None:
        """After a step of the optimiser: keep the logit scale at 100 or below."""
        self.clip.logit_scale.clamp_(max=MOST_LOG_SCALE)

    def frames(self, values: Tensor, mask: Tensor) -> Tensor:
        """(B, F, D) projected vectors of frames, zero where `mask` is false.

        Args:
            values: (B, F, 3, S, S) uint8 pixels, of which only the real frames run through the tower; or (B, F, D)
                float vectors that the frozen tower made before.
            mask: (B, F) bool, true for a real frame.

        Raises:
            DataError: neither of them.
        """
        dtype = self.clip.visual_projection.weight.dtype
        if values.is_floating_point() and values.dim() == 3 and values.shape[2] == self.dim:
            return values.to(dtype).masked_fill(~mask[..., None], 0.0)
        if values.dtype != torch.uint8 or values.shape[2:] != (3, self.image_size, self.image_size):
            raise DataError(
                "frames that this CLIP cannot read",
                got=f"{str(values.dtype).removeprefix('torch.')} of shape {tuple(values.shape)}",
                wanted=f"uint8 pixels (B, F, 3, {self.image_size}, {self.image_size}) or float vectors "
                f"(B, F, {self.dim})",
                next_step="use frames of the backbone's image size, or a frame-level store of this backbone",
            )
        patches = self._patches(values, mask)
        vectors = self._tower(patches).to(dtype) if len(patches) else self.mean.new_zeros(0, self.dim, dtype=dtype)
        return vectors.new_zeros(*mask.shape, self.dim).index_put((mask,), vectors)

    def blank_frame(self) -> Tensor:
        """(D,) projected vector of a picture whose normalised pixels are 0, with which authors' code pads videos."""
        vision = self.clip.vision_model.config
        grid = vision.image_size // vision.patch_size
        patches = self.clip.visual_projection.weight.new_zeros(1, vision.hidden_size, grid, grid)
        return self._tower(patches)[0].to(patches.dtype)

    def texts(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """(B, D) projected vectors at the end tokens.

        Args:
            tokens: (B, W) int64 ids.
            mask: (B, W) bool, true within a text.

        Raises:
            DataError: a text has no end token. (transformers would take the vector of the first token.)
        """
        places = self.ends(tokens, mask)
        return self._projected(self._states(tokens, mask)[torch.arange(len(tokens), device=places.device), places])

    def words(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(B, W, D) projected vectors of all tokens, of which those where `mask` is false must not matter, and `texts`.

        Args, Raises: as for `texts`.
        """
        places, words = self.ends(tokens, mask), self._projected(self._states(tokens, mask))
        return words, words[torch.arange(len(tokens), device=places.device), places]

    def ends(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """(B,) int64 places of the end tokens.

        Raises:
            DataError: a text has none.
        """
        end = self.clip.config.text_config.eos_token_id
        if end == OLD_EOS:
            largest: Tensor = tokens.masked_fill(~mask, -1).argmax(dim=1)
            return largest
        found = (tokens == end) & mask
        if not bool(found.any(dim=1).all()):
            raise DataError(
                f"{int((~found.any(dim=1)).sum())} of {len(tokens)} texts have no end token",
                wanted=f"token {end} in each text",
                next_step="tokenise them with the backbone's own tokenizer, and cut them before the end token",
            )
        places: Tensor = found.int().argmax(dim=1)
        return places

    def _states(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """(B, W, width) states of the text tower."""
        states: Tensor = self.clip.text_model(input_ids=tokens.masked_fill(~mask, 0)).last_hidden_state
        return states

    def _projected(self, states: Tensor) -> Tensor:
        projection = self.clip.text_projection
        vectors: Tensor = projection(states)
        return vectors.to(projection.weight.dtype)

    def _patches(self, values: Tensor, mask: Tensor) -> Tensor:
        """(N, width, grid, grid) of the N real frames of (B, F, 3, S, S) uint8 pixels."""
        projection = self.clip.vision_model.embeddings.patch_embedding
        if self.patches == "2d":
            patches: Tensor = projection(self._normalised(values[mask]))
            return patches
        pixels = self._normalised(values).masked_fill(~mask[..., None, None, None], 0.0)
        patches = projection(pixels.transpose(1, 2))  # (B, width, F, grid, grid)
        return patches.transpose(1, 2)[mask]

    def _normalised(self, values: Tensor) -> Tensor:
        """(..., 3, S, S) in the dtype of the tower."""
        dtype = self.clip.visual_projection.weight.dtype
        mean, std = self.mean.to(values.device, dtype), self.std.to(values.device, dtype)
        return (values.to(dtype) / 255 - mean) / std

    def _tower(self, patches: Tensor) -> Tensor:
        """(N, D) projected vectors of (N, width, grid, grid) patches, as CLIPModel.get_image_features computes them."""
        vision = self.clip.vision_model
        start = vision.embeddings.class_embedding.expand(len(patches), 1, -1)
        tokens = torch.cat([start, patches.flatten(2).transpose(1, 2)], dim=1)
        tokens = vision.pre_layrnorm(tokens + vision.embeddings.position_embedding.weight)
        states = vision.encoder(inputs_embeds=tokens).last_hidden_state
        vectors: Tensor = self.clip.visual_projection(vision.post_layernorm(states[:, 0]))
        return vectors


def plain_config(config: Any) -> dict[str, Any]:
    """The to_dict() of a CLIPConfig as JSON would hold it, from which ClipBackbone makes the same network."""
    plain: dict[str, Any] = json.loads(json.dumps(config.to_dict(), default=str))
    return plain


def _over_time(flat: nn.Conv2d) -> nn.Conv3d:
    """The 3d patch projection that starts at a 2d one."""
    (height, width) = flat.kernel_size
    made = nn.Conv3d(
        flat.in_channels,
        flat.out_channels,
        kernel_size=(FRAMES_IN_A_ROW, height, width),
        stride=(1, height, width),
        padding=(FRAMES_IN_A_ROW // 2, 0, 0),
        bias=False,
    )
    with torch.no_grad():
        made.weight.copy_(_centre_frame(flat.weight))
    return made


def _centre_frame(weight: Tensor) -> Tensor:
    """(out, in, 3, h, w) with a (out, in, h, w) projection in the middle and zeros at both sides."""
    spread = weight.new_zeros(*weight.shape[:2], FRAMES_IN_A_ROW, *weight.shape[2:])
    spread[:, :, FRAMES_IN_A_ROW // 2] = weight.detach()
    return spread
