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

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from avs.core.errors import DataError

SIMILARITIES_AT_ONCE = 2**20  # of a word and a frame: what is made of them should stay in a processor's cache
SIMILARITIES_KEPT = 2**26  # for the backward pass: 0.3 GB


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
        """(T, B) similarities of rows, a block of pairs at a time, short texts first: a block has no word more than it
        needs.

        Where a training step has too many to keep, each block is computed again in the backward pass.

        Raises:
            DataError: rows of another number of words or frames.
        """
        pairs = max(SIMILARITIES_AT_ONCE // (self.words * self.frames), 1)
        width = min(max(len(videos), 1), pairs)
        height = max(pairs // width, 1)
        again = len(texts) * len(videos) * self.words * self.frames > SIMILARITIES_KEPT and torch.is_grad_enabled()
        rows, order = [], self.split_texts(texts)[2].sum(dim=1).argsort(stable=True)
        for part in torch.split(texts[order], height):
            blocks = torch.split(videos, width)
            scores = [
                checkpoint(self._block, part, block, use_reentrant=False) if again else self._block(part, block)
                for block in blocks
            ]
            rows.append(torch.cat(scores, dim=1))
        return torch.cat(rows)[order.argsort()]

    def grains(self, texts: Tensor, videos: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """s_vs, s_vw, s_sf and s_fw of rows, (T, B) each, all pairs at once.

        Videos are the last dimension of whatever is large. So a softmax over words or frames runs along many pairs at
        once; over a last dimension of a few words it takes several times as long.
        """
        sentence, words, real_words = _without_pads(*self.split_texts(texts))
        video, frames, real_frames = _without_pads(*self.split_videos(videos))
        words, real_words = words.transpose(0, 1), real_words.T[..., None]  # (W, T, D) and (W, T, 1)
        frames, real_frames = frames.permute(1, 2, 0), real_frames.T[:, None]  # (F, D, B), no copy, and (F, 1, B)
        whole = sentence @ self.sentence_to_video @ video.T
        with_words = self._attend(words @ video.T, self.words_for_video, real_words, dim=0)
        with_frames = self._attend(_of_frames(sentence, frames), self.frames_for_sentence, real_frames, dim=0)
        fine = _of_frames((words @ self.word_to_frame).flatten(0, 1), frames)
        fine = fine.view(len(frames), *words.shape[:2], len(videos))  # A, (F, W, T, B)
        by_frame = self._attend(fine, self.words_for_frame, real_words, dim=1)  # r, (F, T, B)
        by_word = self._attend(fine, self.frames_for_word, real_frames[:, None], dim=0)  # c, (W, T, B)
        finest = self._attend(by_frame, self.frames_of_video, real_frames, dim=0)
        finest = finest + self._attend(by_word, self.words_of_sentence, real_words, dim=0)
        return whole, with_words, with_frames, finest / 2

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

    def _attend(self, values: Tensor, mixing: Tensor, mask: Tensor, *, dim: int) -> Tensor:
        """Similarities without dimension `dim`; they are zero where the mask is false, which broadcasts with them."""
        count = values.shape[dim]
        attended: Tensor = _Attention.apply(values, mixing[:count, :count], mask, self.temperature, dim)  # type: ignore[no-untyped-call]
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
        real = mask > 0
        # zero already, but for the gradient: that of a pad would depend on the block that it is in
        return whole, parts.reshape(len(parts), count, self.dim).masked_fill(~real[..., None], 0.0), real


class _Attention(torch.autograd.Function):
    """attend(a; M) along a dimension. Its weights are computed again in the backward pass, so only a is kept.

    With P = softmax(a / temperature), u = M a and s = P u:  ds/da = M^T P + P (u - s) / temperature,  ds/dM = P a^T.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, mixing: Tensor, mask: Tensor, temperature: float, dim: int) -> Tensor:
        ctx.save_for_backward(values, mixing, mask)
        ctx.temperature, ctx.dim = temperature, dim
        return (_weights(values, mask, temperature, dim).mul_(_mixed(mixing, values, dim))).sum(dim)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        values, mixing, mask = ctx.saved_tensors
        dim, gradient = ctx.dim, gradient.unsqueeze(ctx.dim)
        weights = _weights(values, mask, ctx.temperature, dim)
        taught = _mixed(mixing, values, dim)
        taught -= (weights * taught).sum(dim, keepdim=True)
        weights *= gradient  # both terms of ds/da have P, times the gradient of s
        of_mixing = (_parts(weights, dim) @ _parts(values, dim).mT).sum(0)
        of_values = taught.mul_(weights).div_(ctx.temperature) + _mixed(mixing.T, weights, dim)
        return of_values, of_mixing, None, None, None


def _weights(values: Tensor, mask: Tensor, temperature: float, dim: int) -> Tensor:
    # not -inf: where nothing is real, the weights must not become NaN
    return (values / temperature).masked_fill_(~mask, torch.finfo(values.dtype).min).softmax(dim)


def _mixed(mixing: Tensor, values: Tensor, dim: int) -> Tensor:
    """(N, N) times values along a dimension of N."""
    parts = _parts(values, dim)
    return torch.bmm(mixing.expand(len(parts), -1, -1), parts).view_as(values)  # torch.matmul would copy twice


def _parts(values: Tensor, dim: int) -> Tensor:
    """(L, N, M) with the N of a dimension in the middle."""
    return values.reshape(values.shape[:dim].numel(), values.shape[dim], -1)


def _of_frames(rows: Tensor, frames: Tensor) -> Tensor:
    """(F, R, B) products of (R, D) rows and (F, D, B) frames, which are not copied."""
    return torch.bmm(rows.expand(len(frames), -1, -1), frames)


def _without_pads(whole: Tensor, parts: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same without the last parts, as long as none of them is real; one part is left."""
    last = mask.any(dim=0).nonzero()
    count = int(last.max()) + 1 if len(last) else 1
    return whole, parts[:, :count], mask[:, :count]


def _identity(size: int) -> nn.Parameter:
    return nn.Parameter(torch.eye(size))


def _rows(whole: Tensor, parts: Tensor, mask: Tensor, count: int) -> Tensor:
    """(B, D + N * D + N) rows of (B, D) vectors, (B, L, D) vectors of parts and their (B, L) bool mask."""
    pad = count - parts.shape[1]
    padded = F.pad(parts.masked_fill(~mask[..., None], 0.0), (0, 0, 0, pad))
    return torch.cat([whole, padded.flatten(1), F.pad(mask.to(whole.dtype), (0, pad))], dim=1)
