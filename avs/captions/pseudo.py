"""Pseudo captions: of the captions that a captioner gives the frames of a shot, those that describe the shot best.

As V3C1-PC was made (Li et al., RUCMM at TRECVID 2022, and github.com/ruc-aimc-lab/v3c1-pc): a caption for each sampled
frame, duplicates removed, the rest ranked by their CLIP similarity to the video, and the best three kept. The authors
do not say what CLIP's vector of a video is. Here it is the mean of its frames' unit vectors.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def tidy_caption(text: str) -> str:
    """A caption in single spaces; "" if it has no letter and no digit, which is no caption."""
    return " ".join(text.split()) if any(map(str.isalnum, text)) else ""


def distinct_captions(captions: Sequence[str]) -> list[str]:
    """Captions that differ in more than upper and lower case, each as it comes first; without empty ones."""
    first: dict[str, str] = {}
    for caption in captions:
        if caption:
            first.setdefault(caption.casefold(), caption)
    return list(first.values())


def best_captions(captions: Sequence[str], texts: np.ndarray, frames: np.ndarray, *, keep: int) -> list[str]:
    """The `keep` captions that are most similar to a shot, the best first; of equal ones, the earlier first.

    Args:
        captions: N distinct ones.
        texts: (N, D) their unit vectors.
        frames: (F, D) unit vectors of the shot's frames.
    """
    similarity = texts @ frames.mean(axis=0)  # the mean's length changes no order
    return [captions[place] for place in np.argsort(-similarity, kind="stable")[:keep].tolist()]
