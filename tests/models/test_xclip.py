"""X-CLIP as a whole: embeddings, the loss, what is trained, chunks, bfloat16, legacy, its options and errors."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from tiny_clips import DIM, MEAN, POSITIONS, STD, as_texts, as_videos, clip_pairs, make_clip, pixels, tokens, vectors
from torch import Tensor

from avs.core.errors import ConfigError, DataError
from avs.models.architectures import architectures
from avs.models.architectures.xclip import XClipConfig
from avs.models.batch import Batch, Sequences
from avs.models.losses import contrastive_loss
from avs.models.scorer import PackedModel
from avs.models.xclip import XClip
from avs.train.gradient_caching import backward_in_chunks

CLIP = make_clip()
FRAMES, WORDS = 6, 10
UNUSED = "k_proj.bias"  # a softmax ignores the bias of its keys, so the gradient is only rounding


def config_of(clip: Any = CLIP, **options: Any) -> XClipConfig:
    own = {"max_frames": FRAMES, "max_words": WORDS, "image_mean": MEAN, "image_std": STD, "freeze": -1, "layers": 2}
    return XClipConfig(json.loads(json.dumps(clip.config.to_dict())), **own | options)


def make(*, mixed: bool = True, **options: Any) -> XClip:
    """A model whose matrices are near the identity; not `mixed`: as it starts."""
    torch.manual_seed(2)
    model = XClip(config_of(**options))
    model.start_from(CLIP)
    if mixed:
        for matrix in model.similarity.parameters():
            matrix.data.add_(0.1 * torch.randn_like(matrix))
    return model.eval()


def embed(model: XClip, clips: Sequences | None = None, words: Sequences | None = None) -> tuple[Tensor, Tensor]:
    clips, words = clips or pixels(4, 1, 3), words or tokens(5, 3, 7)
    return model.embed_texts(as_texts(words)), model.embed_videos(as_videos(clips))


def test_a_row_holds_unit_vectors_and_which_of_them_are_real() -> None:
    model = make(head="seqTransf")
    texts, videos = embed(model)
    assert texts.shape == (3, DIM * (1 + WORDS) + WORDS) and videos.shape == (3, DIM * (1 + FRAMES) + FRAMES)
    for (whole, parts, mask), lengths in (
        (model.similarity.split_texts(texts), (5, 3, 7)),
        (model.similarity.split_videos(videos), (4, 1, 3)),
    ):
        assert mask.sum(dim=1).tolist() == list(lengths)
        assert all(bool(row[:length].all()) for row, length in zip(mask, lengths, strict=True))
        assert torch.allclose(whole.norm(dim=1), torch.ones(3))
        assert torch.allclose(parts.norm(dim=2), mask.float())


def test_the_parts_are_those_of_the_clip_and_the_head() -> None:
    model = make()
    words, clips = tokens(5, 3, 7), pixels(4, 1, 3)
    texts, videos = embed(model, clips, words)
    sentence, parts, _ = model.similarity.split_texts(texts)
    every, ends = model.backbone.words(words.values, words.mask)
    of_frames = model.backbone.frames(clips.values, clips.mask)
    whole, frames, _ = model.similarity.split_videos(videos)
    unit = torch.nn.functional.normalize
    assert torch.allclose(sentence, unit(ends, dim=1)) and torch.allclose(parts[0, :5], unit(every[0, :5], dim=1))
    assert torch.allclose(frames[2, :3], unit(of_frames[2, :3], dim=1))  # CLIP's own, not the head's outputs
    assert torch.allclose(whole, model.head.video_rows(of_frames, clips.mask))
    assert torch.allclose(sentence[1], parts[1, 2])  # the end token is a word too


def test_padding_changes_nothing() -> None:
    model = make()
    texts, videos = embed(model)
    for row, (length, words) in enumerate(((4, 5), (1, 3), (3, 7))):
        alone = Sequences(pixels(4, 1, 3).values[row : row + 1, :length], torch.tensor([length]))
        text = Sequences(tokens(5, 3, 7).values[row : row + 1, :words], torch.tensor([words]))
        one, other = embed(model, alone, text)
        torch.testing.assert_close(model.score(one, other)[0, 0], model.score(texts, videos)[row, row])


def test_the_loss_compares_similarities_times_the_logit_scale() -> None:
    model = make()
    texts, videos = embed(model)
    logits = model.backbone.logit_scale * model.score(texts, videos)
    assert torch.equal(model.logits(texts, videos), logits)
    assert torch.equal(model.loss(texts, videos, video_of=torch.arange(3)), contrastive_loss(logits))


def test_other_captions_of_a_video_are_no_negatives() -> None:
    model = make()
    texts, videos = embed(model)
    rows, video_of = videos[[0, 1, 0]], torch.tensor([5, 3, 5])
    logits = model.logits(texts, rows)
    wanted = contrastive_loss(logits, negatives=video_of[:, None] != video_of)
    assert torch.equal(model.loss(texts, rows, video_of=video_of), wanted)
    legacy = make(legacy=True)
    texts, videos = embed(legacy)
    wanted = contrastive_loss(legacy.logits(texts, videos[[0, 1, 0]]))
    assert torch.equal(legacy.loss(texts, videos[[0, 1, 0]], video_of=video_of), wanted)


def test_how_relevant_each_frame_is_to_its_own_text() -> None:
    model = make()
    texts, videos = embed(model)
    found, mask = model.frame_relevance(texts, videos)
    sentences, frames = texts[:, :DIM], videos[:, DIM : DIM * (1 + FRAMES)].unflatten(1, (FRAMES, DIM))
    assert mask.sum(dim=1).tolist() == [4, 1, 3] and torch.equal(found != 0, mask)
    for row in range(3):
        for place in range(FRAMES):
            assert found[row, place].item() == pytest.approx((sentences[row] @ frames[row, place]).item(), abs=1e-6)


def test_gradients_reach_what_is_trained_and_nothing_else() -> None:
    for freeze in (-1, 1):
        model = make(freeze=freeze).train()
        model.loss(*embed(model), video_of=torch.arange(3)).backward()
        (group,) = model.rate_groups()
        assert group.factor == model.config.backbone_ratio
        slow = {id(each) for each in group.parameters}
        for name, parameter in model.named_parameters():
            assert (id(parameter) in slow) == name.startswith("backbone.")
            if not name.endswith(UNUSED):
                assert (parameter.grad is not None and bool(parameter.grad.any())) == parameter.requires_grad, name


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("chunk", [1, 3])
def test_the_gradient_in_chunks_is_that_of_the_whole_batch(
    chunk: int, legacy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tensor, "float", lambda tensor: tensor)  # else embeddings are rounded to float32
    model, batch = make(legacy=legacy).double().train(), clip_pairs().batch(np.arange(8))

    def loss(texts: Tensor, videos: Tensor) -> Tensor:
        return model.loss(texts, videos, video_of=batch.video_of)

    whole = loss(model.embed_texts(batch.texts), model.embed_videos(batch.videos))
    whole.backward()
    wanted = {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}
    model.zero_grad()
    value = backward_in_chunks(
        batch, lambda p: (model.embed_texts(p.texts), model.embed_videos(p.videos)), loss, chunk=chunk, device="cpu"
    )
    assert value.item() == pytest.approx(whole.item(), abs=1e-12)
    for name, gradient in wanted.items():
        torch.testing.assert_close(dict(model.named_parameters())[name].grad, gradient, rtol=1e-8, atol=1e-12)


def test_training_lowers_the_loss() -> None:
    model = make(mixed=False)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        loss = model.loss(*embed(model, pixels(1, 1, 3)), video_of=torch.arange(3))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        model.after_step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_bfloat16() -> None:
    model = make().train()
    exact = model.loss(*embed(model), video_of=torch.arange(3))
    with torch.autocast("cpu", torch.bfloat16):
        texts, videos = embed(model)
        scores = model.score(texts, videos)
        loss = model.loss(texts, videos, video_of=torch.arange(3))
    assert texts.dtype == videos.dtype == scores.dtype == loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), rel=0.05)
    assert torch.equal(scores, model.score(texts, videos))  # similarities are not rounded
    loss.backward()
    assert all(each.grad is None or each.grad.isfinite().all() for each in model.parameters())


@pytest.mark.parametrize("legacy", [False, True])
def test_pixels_and_the_vectors_of_the_frozen_tower_embed_alike(legacy: bool) -> None:
    model, clips = make(legacy=legacy), pixels(4, 1, 3)
    stored = Sequences(model.backbone.frames(clips.values, clips.mask).detach(), clips.lengths)
    assert torch.allclose(model.embed_videos(as_videos(stored)), embed(model, clips)[1], atol=1e-6)


def test_legacy_fills_up_with_blank_frames_and_the_words_of_pads() -> None:
    model, words = make(legacy=True), tokens(5, 3, 7)
    texts, videos = embed(model)
    _, parts, real = model.similarity.split_texts(texts)
    assert bool(real.all()) and bool(model.similarity.split_videos(videos)[2].all())
    ids = torch.zeros(3, WORDS, dtype=torch.long)
    for row, length in enumerate((5, 3, 7)):
        ids[row, :length] = words.values[row, :length]
    every = CLIP.text_projection(CLIP.text_model(input_ids=ids).last_hidden_state)
    assert torch.allclose(parts, torch.nn.functional.normalize(every, dim=2), atol=1e-5)
    blank = CLIP.get_image_features(pixel_values=torch.zeros(1, 3, 8, 8))
    blank = getattr(blank, "pooler_output", blank)
    frames = model.similarity.split_videos(videos)[1]
    wanted = torch.nn.functional.normalize(blank, dim=1).expand(FRAMES - 1, -1)
    assert torch.allclose(frames[1, 1:], wanted, atol=1e-5) and torch.allclose(frames[0, 4:], wanted[:2], atol=1e-5)
    plain = make()
    assert (plain.score(*embed(plain)) - model.score(texts, videos)).abs().max() > 1e-3


def test_no_collection_is_searched_with_it() -> None:
    assert make().pairwise and config_of().pairwise
    with pytest.raises(ConfigError, match="reads every text together with every video"):
        PackedModel(make())


def test_a_copy_of_the_weights_computes_the_same() -> None:
    first = make()
    second = XClip(first.config).eval()
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.score(*embed(first)), second.score(*embed(second)))


@pytest.mark.parametrize("head", ["meanP", "seqLSTM", "seqTransf"])
def test_the_heads_of_clip4clip_make_the_vector_of_a_video(head: Any) -> None:
    model = make(head=head, layers=3, init="zero", position_scale=2.0)
    made = model.config.frame_head
    assert (made.head, made.layers, made.init, made.position_scale) == (head, 3, "zero", 2.0)
    assert (made.max_frames, made.backbone) == (FRAMES, model.config.backbone)
    whole = embed(model)[1][:, :DIM]
    assert torch.allclose(whole.norm(dim=1), torch.ones(3))
    assert bool(model.notes) == (head != "meanP")


def test_the_settings_of_the_authors_are_the_defaults() -> None:
    config = XClipConfig(make_clip(text={"max_position_embeddings": 77}).config.to_dict())
    assert (config.head, config.layers, config.init, config.position_scale) == ("seqTransf", 4, "clip", 1.0)
    assert (config.max_frames, config.max_words, config.freeze, config.temperature) == (12, 32, 0, 0.01)
    assert config.backbone_ratio == 1e-3 and not config.legacy
    training = architectures.get("xclip").recipe["training"]
    assert (training["batch_size"], training["epochs"], training["learning_rate"]) == (300, 5, 1e-4)


def test_a_config_is_plain_json() -> None:
    config, adapter = config_of(head="meanP", temperature=0.02), TypeAdapter(XClipConfig)
    assert adapter.validate_json(adapter.dump_json(config)) == config


def test_all_problems_of_a_config_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        config_of(layers=0, position_scale=-1.0, temperature=0.0, max_frames=POSITIONS + 1, max_words=POSITIONS + 1)
    told = str(error.value)
    assert "5 problems" in told
    for part in (
        "layers: got 0; wanted at least 1",
        "position_scale: got -1.0; wanted at least 0",
        "temperature: got 0.0; wanted a positive number",
        "max_frames: got 13; seqTransf has 12 positions, one for each frame",
        "max_words: got 13; the text tower has 12 positions",
    ):
        assert part in told
    assert config_of(head="meanP", max_frames=500).max_frames == 500


def test_batches_that_do_not_fit() -> None:
    model = make()
    with pytest.raises(DataError, match="more tokens"):
        model.embed_texts(as_texts(tokens(11, 3)))
    absent = Batch(sequences={"frames": vectors(3, 2)}, present={"frames": torch.tensor([True, False])})
    with pytest.raises(DataError, match="1 of 2 have no frames"):
        model.embed_videos(absent)
