"""The video branch of Video-LLaMA (Zhang et al., EMNLP 2023 demos) up to its video queries, without a language model.

Each frame goes through BLIP-2's EVA ViT-g, without the last of its 40 blocks, and BLIP-2's Q-Former, which are
transformers' classes. A learned vector for the place of the frame is added to its queries. Then a second Q-Former, of
two layers that both look at the frames, asks the queries of all frames (`encode_videoQformer_visual` of the authors).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Blip2QFormerConfig, Blip2QFormerModel, Blip2VisionConfig, Blip2VisionModel

LN_VISION_EPSILON = 1e-5  # of the authors' layer after the ViT; transformers takes that of its blocks, 1e-6


class VideoLlama(nn.Module):
    """Frames to the means of video queries. Names are those of transformers' BLIP-2 and of the authors' video branch.

    Args:
        vision: options of Blip2VisionConfig.
        qformer, video_qformer: options of Blip2QFormerConfig.
        queries, video_queries: number of queries of each Q-Former.
        max_frames: number of frames of a clip that have a place.
    """

    def __init__(
        self,
        *,
        vision: Mapping[str, Any],
        qformer: Mapping[str, Any],
        video_qformer: Mapping[str, Any],
        queries: int,
        video_queries: int,
        max_frames: int,
    ) -> None:
        super().__init__()
        self.vision_model = Blip2VisionModel(Blip2VisionConfig(**vision))
        self.vision_model.post_layernorm.eps = LN_VISION_EPSILON
        self.qformer = Blip2QFormerModel(Blip2QFormerConfig(**qformer))
        self.dim: int = self.qformer.config.hidden_size
        self.query_tokens = nn.Parameter(torch.zeros(1, queries, self.dim))
        self.video_frame_position_embedding = nn.Embedding(max_frames, self.dim)
        self.video_qformer = Blip2QFormerModel(Blip2QFormerConfig(**video_qformer))
        self.video_query_tokens = nn.Parameter(torch.zeros(1, video_queries, self.dim))

    def forward(self, clips: Tensor, mask: Tensor) -> Tensor:
        """(B, D) means of the video queries of (B, F, 3, S, S) normalised clips.

        Args:
            mask: (B, F) bool, true for frames. The others are not looked at, as if the clip were shorter.
        """
        seen = self.frames(clips[mask])  # (N, Q, D)
        found = seen.new_zeros(*mask.shape, *seen.shape[1:])  # (B, F, Q, D)
        found[mask] = seen
        places = torch.arange(mask.shape[1], device=mask.device)
        found = found + self.video_frame_position_embedding(places)[:, None]
        output = self.video_qformer(
            query_embeds=self.video_query_tokens.expand(len(clips), -1, -1),
            encoder_hidden_states=found.flatten(1, 2),
            encoder_attention_mask=mask.long().repeat_interleave(found.shape[2], dim=1),
        )
        means: Tensor = output.last_hidden_state.mean(dim=1)
        return means

    def frames(self, pixels: Tensor) -> Tensor:
        """(N, Q, D) query vectors of (N, 3, S, S) normalised frames."""
        tokens = self.vision_model(pixel_values=pixels).last_hidden_state  # (N, 1 + patches, V)
        queries = self.query_tokens.expand(len(tokens), -1, -1)
        seen: Tensor = self.qformer(query_embeds=queries, encoder_hidden_states=tokens).last_hidden_state
        return seen
