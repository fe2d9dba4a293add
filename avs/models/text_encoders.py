"""Text encoders that are trained with the model: word embeddings and a GRU or biGRU, averaged over the words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from avs.models.architectures import Tokens
from avs.models.batch import Batch, Sequences


class GruEncoder(nn.Module):
    """The mean of a GRU's outputs over the words of a text.

    Sentences are packed, as in the authors' code, so padding changes nothing. Word embeddings start uniform in
    [-0.1, 0.1], or from word2vec with `set_words`.
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
        """(B, dim) vectors of (B, L) words."""
        return self.outputs(tokens).sum(1) / tokens.lengths[:, None]


class TokenEncoders(nn.ModuleList):
    """An encoder for each of the named configs, in their order."""

    def __init__(self, configs: Mapping[str, Tokens]) -> None:
        super().__init__(GruEncoder(config) for config in configs.values())
        self.names = tuple(configs)

    def encoders(self) -> dict[str, GruEncoder]:
        """Name -> encoder."""
        return dict(zip(self.names, cast("Iterator[GruEncoder]", iter(self)), strict=True))

    def forward(self, texts: Batch) -> dict[str, Tensor]:
        """Name -> (B, dim)."""
        return {name: encoder(texts.sequences[name]) for name, encoder in self.encoders().items()}
