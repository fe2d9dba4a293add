"""CLIP4Clip beside its authors' modules on the same random weights, through our importer.

AVS_PEER_CLIP4CLIP names a clone of https://github.com/ArrowLuo/CLIP4Clip; nothing of it is copied here. The figures are
printed: `make test ARGS="-m peer -s tests/peer"`. Their code runs as it is, with these shims:

- `convert_weights` leaves the weights float32; theirs makes half of them float16.
- The weights and sizes of the CLIP come from the test, not from a download or from their config of ViT-B/32.
- One process gathers from itself: no process group, barrier or DistributedDataParallel.
- Data loaders, tokenizer and downloads are not imported.
- No dropout in training, whose random numbers would be drawn in another order.
"""

from __future__ import annotations

import argparse
import importlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from beside_authors import (
    code_of,
    embeddings_of,
    gradient_differences,
    gradients_of,
    largest,
    our_losses,
    pairs_of,
    pixels_and_tokens,
    run_alone,
    their_batch,
)
from their_clip4clip import DIM, HEADS, WORDS, theirs
from torch import Tensor, nn

from avs.models.architectures import make_config, make_model
from avs.models.clip4clip import Clip4Clip
from avs.models.importers import ForeignWeights, Imported, importers
from avs.models.losses import Blocks, mil_nce_loss
from avs.train.data import Pairs

pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore")]

ENVIRONMENT = "AVS_PEER_CLIP4CLIP"
FRAMES = 6
LENGTHS = (6, 1, 3, 6, 2, 5, 4)
TEXT_LENGTHS = (12, 3, 8, 5, 11, 4, 7)
COUNT, LONGEST = len(LENGTHS), max(TEXT_LENGTHS)
MADE = pixels_and_tokens((FRAMES,) * COUNT, TEXT_LENGTHS)
BATCH = their_batch(MADE, LENGTHS, words=LONGEST, frames=FRAMES)
RATE, FACTOR, STEPS = 1e-3, 0.1, 6  # larger than the authors', so that six steps change the weights visibly
NO_GRADIENT = ("self_attn.k_proj.bias", "head.similarity.bias")  # but rounding: a softmax does not change with them
KINDS = [(head, patches) for head in HEADS for patches in ("2d", "3d")]


@dataclass(frozen=True)
class Authors:
    """Their modules."""

    modeling: Any
    cross: Any
    task: Any


@pytest.fixture(scope="module")
def authors() -> Iterator[Authors]:
    with code_of(
        "ArrowLuo/CLIP4Clip", ENVIRONMENT, "modules/modeling.py", ("modules", "main_task_retrieval", "util", "metrics")
    ) as patch:
        run_alone(patch)
        modeling, cross = (importlib.import_module(f"modules.{name}") for name in ("modeling", "module_cross"))
        task = importlib.import_module("main_task_retrieval")
        patch.setattr(modeling, "convert_weights", lambda model: None)
        patch.setattr(modeling, "allgather", lambda tensor, args: tensor)
        logging.getLogger("modules.modeling").setLevel(logging.ERROR)
        yield Authors(modeling, cross, task)


def their_model(authors: Authors, head: str, patches: str) -> Any:
    """Their model with the random weights of `theirs`."""
    state = theirs(head, patches, layers=4)
    clip = {name.removeprefix("clip."): tensor for name, tensor in state.items() if name.startswith("clip.")}
    cross = authors.cross.CrossConfig(
        100, hidden_size=DIM, num_hidden_layers=4, num_attention_heads=DIM // 64, max_position_embeddings=128
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(authors.modeling.CLIP, "get_config", staticmethod(lambda **_: dict(clip)))
        patch.setattr(authors.cross.CrossConfig, "get_config", classmethod(lambda *_, **__: (cross, None)))
        model = authors.modeling.CLIP4Clip.from_pretrained(
            "cross-base", state_dict=dict(state), task_config=task(head, patches)
        )
    loaded = model.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items() if name in loaded)
    assert set(state) == set(loaded)
    return without_dropout(model.eval())


def task(head: str, patches: str) -> argparse.Namespace:
    return argparse.Namespace(
        max_words=LONGEST, max_frames=FRAMES, loose_type=head != "tightTransf", sim_header=head, linear_patch=patches,
        cross_num_hidden_layers=4, local_rank=0, rank=0, world_size=1, pretrained_clip_name="ViT-B/32", lr=RATE,
        warmup_proportion=0.1, n_display=99, gradient_accumulation_steps=1, epochs=1,
    )  # fmt: skip


def without_dropout(model: Any) -> Any:
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


def convert(state: dict[str, Tensor], head: str) -> Imported:
    return importers.get("clip4clip").convert(ForeignWeights(dict(state)), {}, {"head": head})


def our_model(state: dict[str, Tensor], head: str) -> Clip4Clip:
    """Our model with the weights of theirs."""
    imported = convert(state, head)
    own = {"video_frames": {"frames": 0}, "text": {"clip-tokens": WORDS}, "freeze": -1, "dropout": 0.0}
    sizes = {"max_frames": FRAMES, "max_words": LONGEST, "backbone_ratio": FACTOR}
    model = make_model("clip4clip", make_config("clip4clip", {**imported.options, **own, **sizes}))
    model.load_state_dict(dict(imported.weights))
    assert isinstance(model, Clip4Clip)
    return model.eval()


def our_pairs() -> Pairs:
    return pairs_of(MADE, LENGTHS)


def our_embeddings(model: Clip4Clip) -> tuple[Tensor, Tensor]:
    return embeddings_of(model, MADE, LENGTHS)


def say(head: str, patches: str, **figures: float) -> None:
    print(f"{head} {patches}: " + ", ".join(f"{name} {value:.2g}" for name, value in figures.items()))


@pytest.mark.parametrize(("head", "patches"), KINDS)
def test_features_similarities_and_loss_are_theirs(authors: Authors, head: str, patches: str) -> None:
    their = their_model(authors, head, patches)
    our = our_model(their.state_dict(), head)
    ids, words, segments, video, mask = BATCH
    pixels, tokens, _ = MADE
    real = mask[:, 0].bool()
    with torch.no_grad():
        texts, frames = their.get_sequence_visual_output(ids, segments, words, video, mask)
        wanted, _ = their.get_similarity_logits(texts, frames, words, mask, loose_type=their.loose_type)
        wanted_loss = (their.loss_fct(wanted) + their.loss_fct(wanted.T)) / 2
        embedded = our_embeddings(our)
        found = our.score(*embedded) * (our.backbone.logit_scale if our.head.cosine else 1.0)
        loss = our.loss(*embedded, video_of=torch.arange(COUNT))
        of_frames = largest(our.backbone.frames(pixels, real)[real], frames[real])
        of_texts = largest(our.backbone.texts(tokens, words[:, 0].bool()), texts[:, 0])
    figures = {
        "frames": of_frames,
        "texts": of_texts,
        "logits": largest(found, wanted),
        "loss": largest(loss, wanted_loss),
    }
    say(
        head,
        patches,
        **figures,
        largest_frame=float(frames[real].norm(dim=1).max()),
        largest_logit=float(wanted.abs().max()),
    )
    assert max(figures.values()) < 1e-5
    assert wanted.std() > 0.01  # they differ, so they show something


@pytest.mark.parametrize(("head", "patches"), KINDS)
def test_gradients_are_theirs(authors: Authors, head: str, patches: str) -> None:
    their = their_model(authors, head, patches).train()
    our = our_model(their.state_dict(), head).train()
    ids, words, segments, video, mask = BATCH
    their(ids, segments, words, video, mask).backward()
    wanted = convert(gradients_of(their), head).weights
    our.loss(*our_embeddings(our), video_of=torch.arange(COUNT)).backward()
    differences = gradient_differences(our, wanted, NO_GRADIENT)
    worst = max(differences, key=lambda name: differences[name])
    say(head, patches, **{f"gradient of {worst}": differences[worst]})
    assert set(wanted) == set(differences) and differences[worst] < 1e-4


@pytest.mark.parametrize(("head", "patches"), KINDS)
def test_six_steps_of_training_are_theirs(authors: Authors, head: str, patches: str, tmp_path: Path) -> None:
    """Their optimiser, schedule and epoch, with all of CLIP trained, against our loop."""
    their = their_model(authors, head, patches)
    before = convert({n: t.clone() for n, t in their.state_dict().items()}, head).weights
    our, args, device = our_model(their.state_dict(), head), task(head, patches), torch.device("cpu")
    optimiser, schedule, _ = authors.task.prep_optimizer(args, their, STEPS, device, 1, 0, coef_lr=FACTOR)
    wanted_losses = [
        authors.task.train_epoch(0, args, their, [BATCH], device, 1, optimiser, schedule, step)[0]
        for step in range(STEPS)
    ]
    losses = our_losses(our, our_pairs(), tmp_path, steps=STEPS, rate=RATE)
    wanted, found = convert(their.state_dict(), head).weights, our.state_dict()
    moved = max(largest(wanted[name], before[name]) for name in wanted)
    apart = max(largest(found[name], wanted[name]) for name in wanted)
    of_losses = max(abs(a - b) for a, b in zip(losses, wanted_losses, strict=True))
    say(
        head,
        patches,
        loss=of_losses,
        first_loss=wanted_losses[0],
        last_loss=wanted_losses[-1],
        weights=apart,
        moved_by=moved,
    )
    assert wanted_losses[-1] < wanted_losses[0] - 0.05
    assert of_losses < 1e-5 and apart < 0.005 * moved


@pytest.mark.parametrize("of_each", [1, 2, 3])
def test_mil_nce_is_that_of_the_authors(authors: Authors, of_each: int) -> None:
    their_loss = importlib.import_module("modules.until_module").MILNCELoss(batch_size=COUNT, n_pair=of_each)
    torch.manual_seed(0)
    places = torch.arange(COUNT * of_each)
    scores = (5 * torch.randn(len(places), len(places)).double()).requires_grad_()
    blocks = Blocks(places // of_each, places % of_each == of_each // 2)
    (wanted, gradient), (found, ours) = (
        (value.item(), torch.autograd.grad(value, scores)[0])
        for value in (their_loss(scores), mil_nce_loss(scores, blocks=blocks))
    )
    print(f"mil-nce, {of_each} of each: loss {abs(found - wanted):.1e}, gradient {largest(ours, gradient):.1e}")
    assert abs(found - wanted) < 1e-10 and largest(ours, gradient) < 1e-10
