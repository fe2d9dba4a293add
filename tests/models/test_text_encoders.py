"""Text encoders: what padding must not change, and the mean over words."""

from __future__ import annotations

import pytest
import torch

from avs.models.architectures import Tokens
from avs.models.batch import Batch, Sequences
from avs.models.text_encoders import GruEncoder, TokenEncoders

WORDS = Tokens(words=30, embedding=5, hidden=4)
BOTH_WAYS = Tokens(words=30, embedding=5, hidden=4, bidirectional=True)
SENTENCES = [[3, 4, 5], [7], [1, 2, 3, 4, 5, 6, 7], [9, 9]]


def encoder(config: Tokens) -> GruEncoder:
    torch.manual_seed(0)
    return GruEncoder(config).double()


def padded(sentences: list[list[int]], *, to: int = 0, filler: int = 0) -> Sequences:
    length = max(to, *map(len, sentences)) if len(sentences) > 1 else max(to, len(sentences[0]))
    rows = [row + [filler] * (length - len(row)) for row in sentences]
    return Sequences(torch.tensor(rows), torch.tensor([len(row) for row in sentences]))


@pytest.mark.parametrize("config", [WORDS, BOTH_WAYS])
def test_padding_and_batch_mates_change_nothing(config: Tokens) -> None:
    model = encoder(config)
    together = model(padded(SENTENCES))
    alone = torch.cat([model(padded([sentence])) for sentence in SENTENCES])
    assert together.shape == (4, model.dim)
    assert torch.allclose(together, alone, atol=1e-12)
    assert torch.allclose(together, model(padded(SENTENCES, to=20, filler=29)), atol=1e-12)
    order = [2, 0, 3, 1]
    assert torch.allclose(model(padded([SENTENCES[i] for i in order])), together[order], atol=1e-12)


@pytest.mark.parametrize("config", [WORDS, BOTH_WAYS])
def test_the_mean_of_the_grus_outputs(config: Tokens) -> None:
    model = encoder(config)
    found = model(padded(SENTENCES))
    for row, sentence in enumerate(SENTENCES):
        outputs = model.gru(model.embedding(torch.tensor([sentence])))[0][0]
        assert torch.allclose(found[row], outputs.mean(0), atol=1e-12)
    outputs = model.outputs(padded(SENTENCES, to=9))
    assert outputs.shape == (4, 9, model.dim)
    assert not outputs[0, 3:].any()


def test_one_word_is_one_step() -> None:
    model = encoder(WORDS)
    assert torch.allclose(model(padded([[7]])), model.gru(model.embedding(torch.tensor([[7]])))[1][0])


def test_word_order_matters() -> None:
    model = encoder(WORDS)
    assert (model(padded([[3, 4, 5]])) - model(padded([[5, 4, 3]]))).abs().max() > 1e-4


def test_embeddings_start_small_or_from_given_vectors() -> None:
    model = encoder(WORDS)
    assert model.embedding.weight.abs().max() <= 0.1
    before, vectors = model.embedding.weight.detach().clone(), torch.arange(10.0).view(2, 5).double()
    model.set_words(torch.tensor([4, 2]), vectors)
    assert torch.equal(model.embedding.weight[[4, 2]], vectors)
    others = [row for row in range(30) if row not in (2, 4)]
    assert torch.equal(model.embedding.weight[others], before[others])
    assert model.embedding.weight.requires_grad


def test_encoders_by_name() -> None:
    configs = {"gru": WORDS, "bigru": BOTH_WAYS}
    encoders = TokenEncoders(configs)
    batch = Batch(sequences={"bigru": padded([[1, 2]]), "gru": padded([[3]])})
    found = encoders(batch)
    assert {name: vectors.shape for name, vectors in found.items()} == {"gru": (1, 4), "bigru": (1, 8)}
    assert torch.equal(found["gru"], encoders[0](padded([[3]])))


def test_gradient_reaches_the_words_that_are_read_and_no_others() -> None:
    model = encoder(BOTH_WAYS)
    model(padded([[3, 4], [5]], to=6, filler=8)).sum().backward()
    touched = model.embedding.weight.grad.abs().sum(1).nonzero().flatten().tolist()
    assert touched == [3, 4, 5]
