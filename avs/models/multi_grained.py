"""The similarity of X-CLIP (Ma et al., ACM MM 2022, arXiv 2207.07285): sentence and words against video and frames.

    t, w_1 .. w_W    unit vectors of a sentence and its words        v, x_1 .. x_F    of a video and its frames
    attend(a; M) = sum_i a_i [softmax(a / temperature) M]_i          attention over a similarity matrix, AOSM

    s_vs = t G v
    s_vw = attend(p; M_w),  p_i = w_i v
    s_sf = attend(q; M_f),  q_j = t x_j
    s_fw = (attend(r; N_f2) + attend(c; N_w2)) / 2                   of A_ij = w_i L x_j:
           r_j = attend(A_.j; N_w),  c_i = attend(A_i.; N_f)
    s = (s_vs + s_vw + s_sf + s_fw) / 4

All eight matrices start as the identity; those of words are W x W and those of frames F x F.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from avs.core.errors import DataError

SIMILARITIES_AT_ONCE = 2**23  # of a word and a frame; about 0.3 GB in training


class MultiGrainedSimilarity(nn.Module):
    """Similarities of flat rows.

    A row is a vector of the whole, then the vectors of its words or frames, then 1 for each of these that is real and 0
    for each that only fills up, whose vector is zero.

    Args:
        dim: D, of a vector.
        words, frames: W and F, of each row.
        temperature: see above.
    """

    def __init__(self, dim: int, *, words: int, frames: int, temperature: float) -> None:
        super().__init__()
        self.dim, self.words, self.frames, self.temperature = dim, words, frames, temperature
        self.sentence_to_video, self.word_to_frame = _identity(dim), _identity(dim)  # G, L
        self.words_for_video, self.frames_for_sentence = _identity(words), _identity(frames)  # M_w, M_f
        self.words_for_frame, self.frames_for_word = _identity(words), _identity(frames)  # N_w, N_f
        self.words_of_sentence, self.frames_of_video = _identity(words), _identity(frames)  # N_w2, N_f2

    def text_rows(self, sentences: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """(T, D + W * D + W) rows of (T, D) sentences, (T, L, D) words, L at most W, and their (T, L) bool mask."""
        return _rows(sentences, words, mask, self.words)

    def video_rows(self, videos: Tensor, frames: Tensor, mask: Tensor) -> Tensor:
        """(B, D + F * D + F) rows of (B, D) videos, (B, L, D) frames, L at most F, and their (B, L) bool mask."""
        return _rows(videos, frames, mask, self.frames)

    def forward(self, texts: Tensor, videos: Tensor) -> Tensor:
        """(T, B) similarities of rows, some pairs at a time.

        Where a training step has several blocks, each is computed again in the backward pass, so memory is bounded.

        Raises:
            DataError: rows of another number of words or frames.
        """
        pairs = max(SIMILARITIES_AT_ONCE // (self.words * self.frames), 1)
        width = min(max(len(videos), 1), pairs)
        height = max(pairs // width, 1)
        again = torch.is_grad_enabled() and len(texts) * len(videos) > pairs
        rows = []
        for part in torch.split(texts, height):
            blocks = torch.split(videos, width)
            scores = [
                checkpoint(self._block, part, block, use_reentrant=False) if again else self._block(part, block)
                for block in blocks
            ]
            rows.append(torch.cat(scores, dim=1))
        return torch.cat(rows)

    def grains(self, texts: Tensor, videos: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """s_vs, s_vw, s_sf and s_fw of rows, (T, B) each, all pairs at once."""
        sentence, words, real_words = self.split_texts(texts)
        video, frames, real_frames = self.split_videos(videos)
        of_words, of_frames = real_words[:, None], real_frames[None]  # (T, 1, W) and (1, B, F)
        whole = sentence @ self.sentence_to_video @ video.T
        with_words = (words @ video.T).transpose(1, 2)  # p, (T, B, W)
        with_frames = (sentence @ frames.flatten(0, 1).T).view(len(texts), len(videos), self.frames)  # q, (T, B, F)
        fine = (words @ self.word_to_frame) @ frames.flatten(0, 1).T
        fine = fine.view(len(texts), self.words, len(videos), self.frames)  # A, (T, W, B, F)
        by_frame = self._attend(fine.permute(0, 2, 3, 1), self.words_for_frame, of_words[:, :, None])  # r, (T, B, F)
        by_word = self._attend(fine, self.frames_for_word, of_frames[:, None]).transpose(1, 2)  # c, (T, B, W)
        finest = self._attend(by_frame, self.frames_of_video, of_frames)
        finest = finest + self._attend(by_word, self.words_of_sentence, of_words)
        return (
            whole,
            self._attend(with_words, self.words_for_video, of_words),
            self._attend(with_frames, self.frames_for_sentence, of_frames),
            finest / 2,
        )

    def split_texts(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(T, D) sentences, (T, W, D) words and their (T, W) bool mask.

        Raises:
            DataError: rows of another number of words.
        """
        return self._split(rows, self.words, "words")

    def split_videos(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, D) videos, (B, F, D) frames and their (B, F) bool mask.

        Raises:
            DataError: rows of another number of frames.
        """
        return self._split(rows, self.frames, "frames")

    def _block(self, texts: Tensor, videos: Tensor) -> Tensor:
        """(T, B) similarities of rows, in full precision: bfloat16 would leave them only two digits."""
        with torch.autocast(texts.device.type, enabled=False):
            whole, with_words, with_frames, finest = self.grains(texts, videos)
            return (whole + with_words + with_frames + finest) / 4

    def _attend(self, values: Tensor, mixing: Tensor, mask: Tensor) -> Tensor:
        """(...) of (..., N) similarities that are zero where the mask is false, which broadcasts with them."""
        # not -inf: where nothing is real, the weights must not become NaN
        logits = (values / self.temperature).masked_fill(~mask, torch.finfo(values.dtype).min)
        attended: Tensor = (values * (logits.softmax(dim=-1) @ mixing)).sum(dim=-1)
        return attended

    def _split(self, rows: Tensor, count: int, noun: str) -> tuple[Tensor, Tensor, Tensor]:
        wanted = self.dim * (1 + count) + count
        if rows.shape[1] != wanted:
            raise DataError(
                f"embeddings of another number of {noun}",
                got=f"rows of {rows.shape[1]} values",
                wanted=f"{wanted}: {count} {noun} of {self.dim} dimensions, as in training",
                next_step="embed them with this model",
            )
        whole, parts, mask = rows.to(self.word_to_frame.dtype).tensor_split([self.dim, self.dim * (1 + count)], dim=1)
        return whole, parts.reshape(len(parts), count, self.dim), mask > 0


def _identity(size: int) -> nn.Parameter:
    return nn.Parameter(torch.eye(size))


def _rows(whole: Tensor, parts: Tensor, mask: Tensor, count: int) -> Tensor:
    """(B, D + N * D + N) rows of (B, D) vectors, (B, L, D) vectors of parts and their (B, L) bool mask."""
    pad = count - parts.shape[1]
    padded = F.pad(parts.masked_fill(~mask[..., None], 0.0), (0, 0, 0, pad))
    return torch.cat([whole, padded.flatten(1), F.pad(mask.to(whole.dtype), (0, pad))], dim=1)
