"""CLIP2Video beside its authors' modules on the same random weights, through our importer.

AVS_PEER_CLIP2VIDEO names a clone of https://github.com/CryhanFang/CLIP2Video; nothing of it is copied here. The figures
are printed: `make test ARGS="-m peer -s tests/peer"`. Their code runs as it is, with these shims:

- `convert_weights` leaves the weights float32; theirs makes half of them float16.
- The weights and sizes of the CLIP come from the test, not from a download or from their config of ViT-B/32.
- Tensors that their code moves to a GPU by name stay on the CPU.

They released no training: losses and gradients are those of their modules, and the six steps have torch's SGD on both.
"""

from __future__ import annotations

import argparse
import importlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from beside_authors import (
    code_of,
    embeddings_of,
    gradient_differences,
    gradients_of,
    largest,
    pixels_and_tokens,
    their_batch,
)
from their_clip2video import theirs
from their_clip4clip import WORDS
from torch import Tensor

from avs.models.architectures import make_config, make_model
from avs.models.batch import Batch, Sequences
from avs.models.clip2video import Clip2Video
from avs.models.importers import ForeignWeights, Imported, importers

pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore")]

ENVIRONMENT = "AVS_PEER_CLIP2VIDEO"
DIM, FRAMES, LONGEST = 512, 6, 12  # no text is longer
LENGTHS = (6, 4, 3, 6, 5, 3, 4)
SHORT = (6, 1, 3, 6, 2, 5, 4)
TEXT_LENGTHS = (12, 3, 8, 5, 11, 4, 7)
COUNT = len(LENGTHS)
MADE = pixels_and_tokens((FRAMES,) * COUNT, TEXT_LENGTHS)
NO_GRADIENT = ("self_attn.k_proj.bias",)  # but rounding: a softmax does not change with it
KINDS = [
    ("sigmoid_selfA", "TAB_TDB"),
    ("sigmoid_selfA", "TAB"),
    ("sigmoid_selfA", "none"),
    ("sigmoid_mlp", "TAB_TDB"),
    ("none", "TAB"),
    ("none", "none"),
]


@dataclass(frozen=True)
class Authors:
    """Their modules."""

    modeling: Any
    cross: Any


@pytest.fixture(scope="module")
def authors() -> Iterator[Authors]:
    with code_of("CryhanFang/CLIP2Video", ENVIRONMENT, "modules/modeling.py", ("modules",)) as patch:
        modeling, cross = (importlib.import_module(f"modules.{name}") for name in ("modeling", "module_cross"))
        patch.setattr(modeling, "convert_weights", lambda model: None)
        patch.setattr(Tensor, "cuda", lambda tensor: tensor)
        logging.getLogger("modules.modeling").setLevel(logging.ERROR)
        yield Authors(modeling, cross)


def their_model(authors: Authors, temporal: str, alignment: str) -> Any:
    """Their model with the random weights of `theirs`."""
    state = theirs(temporal, aligned=alignment != "none", dim=DIM)
    clip = {name.removeprefix("clip."): tensor for name, tensor in state.items() if name.startswith("clip.")}
    cross = authors.cross.CrossConfig(
        100, hidden_size=DIM, num_hidden_layers=4, num_attention_heads=DIM // 64, max_position_embeddings=77
    )
    task = argparse.Namespace(
        temporal_type="" if temporal == "none" else "TDB", temporal_proj="" if temporal == "none" else temporal,
        center_type="" if alignment == "none" else "TAB", center_proj="" if alignment == "none" else alignment,
        centerK=5, center_weight=0.3, sim_type="seqTransf", vocab_size=WORDS, cross_num_hidden_layers=4, local_rank=0,
        clip_path="",
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(authors.modeling.CLIP, "get_config", staticmethod(lambda **_: dict(clip)))
        patch.setattr(authors.cross.CrossConfig, "get_config", classmethod(lambda *_, **__: (cross, None)))
        model = authors.modeling.CLIP2Video.from_pretrained("cross-base", state_dict=dict(state), task_config=task)
    loaded = model.state_dict()
    assert set(state) == set(loaded) and all(torch.equal(loaded[name], tensor) for name, tensor in state.items())
    return model.eval()


def convert(state: dict[str, Tensor], alignment: str) -> Imported:
    stated = {"alignment": alignment} if alignment == "TAB" else {}
    return importers.get("clip2video").convert(ForeignWeights(dict(state)), {}, stated)


def our_model(state: dict[str, Tensor], alignment: str, *, legacy: bool = True) -> Clip2Video:
    """Our model with the weights of theirs."""
    imported = convert(state, alignment)
    own = {"video_frames": {"frames": 0}, "text": {"clip-tokens": WORDS}, "freeze": -1, "global_weight": 0.3}
    sizes = {"max_frames": FRAMES, "max_words": LONGEST, "legacy": legacy}
    model = make_model("clip2video", make_config("clip2video", {**imported.options, **own, **sizes}))
    model.load_state_dict(dict(imported.weights))
    assert isinstance(model, Clip2Video)
    return model.eval()


def their_inputs(lengths: tuple[int, ...] = LENGTHS) -> tuple[Tensor, ...]:
    """What their data loader gives: token ids, segments, mask, video and mask, the pads of the video being zeros."""
    ids, words, segments, video, mask = their_batch(MADE, lengths, words=LONGEST, frames=FRAMES)
    return ids, segments, words, video, mask


def our_embeddings(model: Clip2Video, lengths: tuple[int, ...] = LENGTHS) -> tuple[Tensor, Tensor]:
    return embeddings_of(model, MADE, lengths)


def our_logits(model: Clip2Video, lengths: tuple[int, ...] = LENGTHS) -> Tensor:
    with torch.no_grad():
        return model.backbone.logit_scale * model.score(*our_embeddings(model, lengths))


def their_logits(model: Any, lengths: tuple[int, ...] = LENGTHS, *, alone: bool = False) -> Tensor:
    """(T, B); `alone`: each video in a batch of its own."""
    ids, segments, words, video, mask = their_inputs(lengths)
    with torch.no_grad():
        texts, frames = model.get_sequence_visual_output(ids, segments, words, video, mask)
        parts = [slice(i, i + 1) for i in range(COUNT)] if alone else [slice(None)]
        return torch.cat([model.get_inference_logits(texts, frames[p], words, mask[p])[0] for p in parts], dim=1)


def their_loss(model: Any) -> Tensor:
    """Their forward; without alignment, which it cannot do, the loss that it calls."""
    ids, segments, words, video, mask = their_inputs()
    if model.center_type == "TAB":
        loss: Tensor = model(ids, segments, words, video, mask)[0]
        return loss
    texts, frames = model.get_sequence_visual_output(ids, segments, words, video, mask)
    return model.calc_loss(texts, frames, words[:, 0], mask[:, 0])  # type: ignore[no-any-return]


def say(temporal: str, alignment: str, **figures: float) -> None:
    print(f"{temporal} {alignment}: " + ", ".join(f"{name} {value:.2g}" for name, value in figures.items()))


def masked_right(authors: Authors, patch: pytest.MonkeyPatch, model: Any) -> None:
    """Two faults of theirs mended: each head has the mask of its video; a difference is masked where a frame is."""
    patch.setattr(
        authors.cross.ResidualAttentionBlock,
        "attention",
        lambda block, x, mask: block.attn(
            x, x, x, need_weights=False, attn_mask=mask.repeat_interleave(block.n_head, dim=0)
        )[0],
    )
    made = model.temporal_difference_block

    def mended(frames: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        tokens, places, types, real = made(frames, mask)
        real = real.clone()
        real[:, 1::2] = torch.minimum(mask[:, 1:], mask[:, :-1])
        return tokens, places, types, real

    patch.setattr(model, "temporal_difference_block", mended)


@pytest.mark.parametrize(("temporal", "alignment"), KINDS)
def test_features_similarities_and_loss_are_theirs(authors: Authors, temporal: str, alignment: str) -> None:
    their = their_model(authors, temporal, alignment)
    our = our_model(their.state_dict(), alignment)
    ids, segments, words, video, mask = their_inputs()
    pixels, tokens, _ = MADE
    real = mask[:, 0].bool()
    with torch.no_grad():
        texts, frames = their.get_sequence_visual_output(ids, segments, words, video, mask)
        states, ends = our.backbone.words(tokens, words[:, 0].bool())
        found = our.backbone.frames(pixels, real)
        their_ends = texts[0] if alignment != "none" else texts[:, 0]
        loss = our.loss(*our_embeddings(our), video_of=torch.arange(COUNT))
        wanted_loss = their_loss(their.train())
    wanted = their_logits(their.eval())
    figures = {
        "frames": largest(found[real], frames[real]),
        "blank": largest(our.backbone.blank_frame(), frames[~real][0]),
        "texts": largest(ends, their_ends),
        "words": largest(states, texts[1]) if alignment != "none" else 0.0,
        "logits": largest(our_logits(our), wanted),
        "loss": largest(loss, wanted_loss),
    }
    say(temporal, alignment, **figures, largest_logit=float(wanted.abs().max()))
    assert max(figures.values()) < 1e-5
    assert wanted.std() > 0.01  # they differ, so they show something


@pytest.mark.parametrize(("temporal", "alignment"), KINDS)
def test_right_masks_are_theirs_with_two_faults_mended(
    authors: Authors, temporal: str, alignment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    their = their_model(authors, temporal, alignment)
    our = our_model(their.state_dict(), alignment, legacy=False)
    faulty, alone = their_logits(their, SHORT), their_logits(their, SHORT, alone=True)
    masked_right(authors, monkeypatch, their)
    wanted, found = their_logits(their, SHORT), our_logits(our, SHORT)
    say(
        temporal,
        alignment,
        apart=largest(found, wanted),
        faults=largest(faulty, wanted),
        faults_alone=largest(alone, wanted),
    )
    assert largest(found, wanted) < 1e-5 and largest(faulty, wanted) > 1e-3
    assert (largest(alone, wanted) > 1e-3) == (temporal != "none")  # the mask of the last difference is left
    whole = (FRAMES,) * COUNT
    assert largest(our_logits(our, whole), their_logits(their, whole)) < 1e-5


def test_of_whole_videos_nothing_is_masked_wrongly(authors: Authors) -> None:
    their, whole = their_model(authors, "sigmoid_selfA", "TAB_TDB"), (FRAMES,) * COUNT
    for legacy in (False, True):
        our = our_model(their.state_dict(), "TAB_TDB", legacy=legacy)
        assert largest(our_logits(our, whole), their_logits(their, whole)) < 1e-5


def test_their_mask_of_minus_a_million_rounds_where_all_is_masked(authors: Authors) -> None:
    """Of a video of one or two frames, alone: the alignment's difference attends to nothing but masked ones."""
    their = their_model(authors, "sigmoid_selfA", "TAB_TDB")
    our = our_model(their.state_dict(), "TAB_TDB")
    pixels, tokens, of_texts = MADE
    wanted = their_logits(their, SHORT, alone=True)
    with torch.no_grad():
        texts = our.embed_texts(Batch({}, {"clip-tokens": Sequences(tokens, of_texts)}))
        rows = [
            our.embed_videos(Batch({}, {"frames": Sequences(pixels[i : i + 1], torch.tensor([n]))}))
            for i, n in enumerate(SHORT)
        ]
        apart = (our.backbone.logit_scale * our.score(texts, torch.cat(rows)) - wanted).abs().amax(dim=0)
    by_length = {n: float(apart[[i for i, m in enumerate(SHORT) if m == n]].max()) for n in sorted(set(SHORT))}
    print(", ".join(f"{n} frames {value:.2g}" for n, value in by_length.items()))
    assert all(value < 1e-5 for n, value in by_length.items() if n > 2) and max(by_length.values()) < 0.05


def test_what_their_code_cannot_do(authors: Authors) -> None:
    their = their_model(authors, "sigmoid_selfA", "TAB_TDB")
    ids, segments, words, video, mask = their_inputs()
    with torch.no_grad():
        texts, frames = their.get_sequence_visual_output(ids, segments, words, video, mask)
        for count in (1, 2):  # of two frames, the alignment reads one
            with pytest.raises((RuntimeError, IndexError)):
                their.get_inference_logits(texts, frames[:, :count], words, mask[:, :, :count])
    with pytest.raises(TypeError):  # it unpacks one tensor as two
        their_model(authors, "sigmoid_selfA", "none").train()(ids, segments, words, video, mask)


@pytest.mark.parametrize(("temporal", "alignment"), KINDS)
def test_gradients_are_theirs(authors: Authors, temporal: str, alignment: str) -> None:
    their = their_model(authors, temporal, alignment).train()
    our = our_model(their.state_dict(), alignment).train()
    their_loss(their).backward()
    wanted = convert(gradients_of(their), alignment).weights
    our.loss(*our_embeddings(our), video_of=torch.arange(COUNT)).backward()
    differences = gradient_differences(our, wanted, NO_GRADIENT)
    worst = max(differences, key=lambda name: differences[name])
    say(temporal, alignment, **{f"gradient of {worst}": differences[worst]})
    assert set(wanted) == set(differences) and differences[worst] < 1e-4


@pytest.mark.parametrize(("temporal", "alignment"), [KINDS[0], KINDS[3]])
def test_six_steps_of_training_are_theirs(authors: Authors, temporal: str, alignment: str) -> None:
    their = their_model(authors, temporal, alignment).train()
    our = our_model(their.state_dict(), alignment).train()
    before = convert({n: t.clone() for n, t in their.state_dict().items()}, alignment).weights
    steps = [torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9) for model in (their, our)]
    losses: list[tuple[float, float]] = []
    for _ in range(6):
        pair = their_loss(their), our.loss(*our_embeddings(our), video_of=torch.arange(COUNT))
        for loss, optimiser in zip(pair, steps, strict=True):
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        losses.append((pair[0].item(), pair[1].item()))
    wanted, found = convert(their.state_dict(), alignment).weights, our.state_dict()
    moved = max(largest(wanted[name], before[name]) for name in wanted)
    apart = max(largest(found[name], wanted[name]) for name in wanted)
    of_losses = max(abs(one - other) for one, other in losses)
    say(temporal, alignment, loss=of_losses, first=losses[0][0], last=losses[-1][0], weights=apart, moved_by=moved)
    assert losses[-1][0] < losses[0][0] - 0.05
    assert of_losses < 1e-4 and apart < 0.005 * moved
