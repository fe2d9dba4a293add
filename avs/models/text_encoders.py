"""Text encoders that are trained with the model: word embeddings under a GRU or biGRU, averaged over the words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from avs.models.batch import Batch, Sequences


@dataclass(frozen=True, slots=True)
class Tokens:
    """A recurrent encoder of words.

    Attributes:
        words: size of the vocabulary.
        embedding: dimension of a word.
        hidden: dimension of the GRU's state, in each direction.
        bidirectional: biGRU, whose two directions are concatenated.
    """

    words: int
    embedding: int = 500
    hidden: int = 1024
    bidirectional: bool = False

    @property
    def dim(self) -> int:
        """Length of a text's vector."""
        return self.hidden * (2 if self.bidirectional else 1)


class GruEncoder(nn.Module):
    """Words to the mean of the GRU's outputs over them.

    Sentences are packed, so that padding changes nothing; in the authors' code the backward direction starts in it.
    Word embeddings start uniform in [-0.1, 0.1], or are set from word2vec with `set_words`.
    """

    def __init__(self, config: Tokens) -> None:
        super().__init__()
        self.embedding = nn.Embedding(config.words, config.embedding)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.gru = nn.GRU(config.embedding, config.hidden, batch_first=True, bidirectional=config.bidirectional)
        self.dim = config.dim

    def set_words(self, rows: Tensor, vectors: Tensor) -> None:
        """Start the embeddings of the words at (R,) `rows` from (R, embedding) `vectors`."""
        with torch.no_grad():
            self.embedding.weight[rows] = vectors

    def outputs(self, tokens: Sequences) -> Tensor:
        """(B, L, dim) of (B, L) words, zero after each sentence's end."""
        embedded = self.embedding(tokens.values)
        packed = pack_padded_sequence(embedded, tokens.lengths.cpu(), batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.gru(packed)[0], batch_first=True, total_length=tokens.values.shape[1])[0]

    def forward(self, tokens: Sequences) -> Tensor:
        """(B, dim) of (B, L) words."""
        return self.outputs(tokens).sum(1) / tokens.lengths[:, None]


def make_token_encoders(configs: Mapping[str, Tokens]) -> nn.ModuleList:
    """An encoder for each of the named configs, in their order."""
    return nn.ModuleList(GruEncoder(config) for config in configs.values())


def encode_tokens(encoders: Iterable[nn.Module], names: Iterable[str], texts: Batch) -> dict[str, Tensor]:
    """Name -> (B, dim)."""
    return {name: encoder(texts.sequences[name]) for name, encoder in zip(names, encoders, strict=True)}
