"""X-CLIP beside its authors' module on the same random weights, through our importer.

AVS_PEER_XCLIP names a clone of https://github.com/xuguohai/X-CLIP; nothing of it is copied here. The figures are
printed: `make test ARGS="-m peer -s tests/peer"`. Their code runs as it is, with these shims:

- `convert_weights` leaves the weights float32; theirs makes half of them float16.
- The weights and sizes of the CLIP come from the test, not from a download or from their config of ViT-B/32.
- One process gathers from itself: no process group, barrier or DistributedDataParallel.
- Data loaders, tokenizer and downloads are not imported.

Texts and videos are shorter than their matrices, so that padding takes part, as `legacy` has it.
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
from their_clip4clip import DIM, WORDS
from their_xclip import their_xclip
from torch import Tensor, nn

from avs.models.architectures import make_config, make_model
from avs.models.importers import ForeignWeights, Imported, importers
from avs.models.xclip import XClip
from avs.train.data import Pairs

pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore")]

ENVIRONMENT = "AVS_PEER_XCLIP"
FRAMES, LONGEST = 7, 14  # the sizes of the matrices; no video is as long, and no text
LENGTHS, TEXT_LENGTHS = (6, 1, 3, 6, 2, 5, 4), (12, 3, 8, 5, 11, 4, 7)
COUNT, MADE = len(LENGTHS), pixels_and_tokens(LENGTHS, TEXT_LENGTHS)
BATCH = their_batch(MADE, LENGTHS, words=LONGEST, frames=FRAMES)
RATE, FACTOR, STEPS = 1e-3, 0.1, 6  # larger than the authors', so that six steps change the weights visibly
NO_GRADIENT = ("self_attn.k_proj.bias",)  # but rounding: a softmax does not change with them
HEADS = ("meanP", "seqLSTM", "seqTransf")
MODULES = ("modules", "main_xclip", "util", "metrics")


@dataclass(frozen=True)
class Authors:
    """Their modules."""

    xclip: Any
    modeling: Any
    cross: Any
    main: Any


@pytest.fixture(scope="module")
def authors() -> Iterator[Authors]:
    with code_of("xuguohai/X-CLIP", ENVIRONMENT, "modules/modeling_xclip.py", MODULES) as patch:
        run_alone(patch)
        names = ("modeling_xclip", "modeling", "module_cross")
        xclip, modeling, cross = (importlib.import_module(f"modules.{name}") for name in names)
        main = importlib.import_module("main_xclip")
        patch.setattr(xclip, "convert_weights", lambda model: None)
        patch.setattr(xclip, "allgather", lambda tensor, args: tensor)
        patch.setattr(main, "logger", logging.getLogger("main_xclip"), raising=False)
        logging.getLogger("modules.modeling").setLevel(logging.ERROR)
        yield Authors(xclip, modeling, cross, main)


def their_model(authors: Authors, head: str) -> Any:
    """Their model with the random weights of `their_xclip`."""
    state = their_xclip(words=LONGEST, frames=FRAMES, head=head, layers=4)
    clip = {name.removeprefix("clip."): tensor for name, tensor in state.items() if name.startswith("clip.")}
    cross = authors.cross.CrossConfig(
        100, hidden_size=DIM, num_hidden_layers=4, num_attention_heads=DIM // 64, max_position_embeddings=128
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(authors.modeling.CLIP, "get_config", staticmethod(lambda **_: dict(clip)))
        patch.setattr(authors.cross.CrossConfig, "get_config", classmethod(lambda *_, **__: (cross, None)))
        patch.setattr(authors.modeling, "CrossConfig", authors.cross.CrossConfig)
        model = authors.xclip.XCLIP.from_pretrained("cross-base", state_dict=dict(state), task_config=task(head))
    loaded = model.state_dict()
    assert set(state) == set(loaded) and all(torch.equal(loaded[name], tensor) for name, tensor in state.items())
    return model.eval()


def task(head: str) -> argparse.Namespace:
    return argparse.Namespace(
        max_words=LONGEST, max_frames=FRAMES, loose_type=True, sim_header=head, linear_patch="2d",
        cross_num_hidden_layers=4, local_rank=0, rank=0, world_size=1, pretrained_clip_name="ViT-B/32", lr=RATE,
        warmup_proportion=0.1, n_display=99, gradient_accumulation_steps=1, epochs=1,
    )  # fmt: skip


def convert(state: dict[str, Tensor], head: str) -> Imported:
    return importers.get("xclip").convert(ForeignWeights(dict(state)), {}, {"head": head})


def our_model(state: dict[str, Tensor], head: str, *, legacy: bool = True) -> XClip:
    """Our model with the weights of theirs."""
    imported = convert(state, head)
    assert imported.options["legacy"] and (imported.options["max_words"], imported.options["max_frames"]) == (14, 7)
    own = {"video_frames": {"frames": 0}, "text": {"clip-tokens": WORDS}, "freeze": -1, "backbone_ratio": FACTOR}
    model = make_model("xclip", make_config("xclip", {**imported.options, **own, "legacy": legacy}))
    model.load_state_dict(dict(imported.weights))
    assert isinstance(model, XClip)
    return model.eval()


def our_pairs() -> Pairs:
    return pairs_of(MADE, LENGTHS)


def our_embeddings(model: XClip) -> tuple[Tensor, Tensor]:
    return embeddings_of(model, MADE, LENGTHS)


def say(head: str, **figures: float) -> None:
    print(f"X-CLIP {head}: " + ", ".join(f"{name} {value:.2g}" for name, value in figures.items()))


@pytest.mark.parametrize("head", HEADS)
def test_features_similarities_and_loss_are_theirs(authors: Authors, head: str) -> None:
    their = their_model(authors, head)
    our, masked = our_model(their.state_dict(), head), our_model(their.state_dict(), head, legacy=False)
    ids, words, segments, video, mask = BATCH
    unit = nn.functional.normalize
    with torch.no_grad():
        (texts, tokens), frames = their.get_sequence_visual_output(ids, segments, words, video, mask)
        wanted, _ = their.get_similarity_logits(texts, tokens, frames, words, mask, loose_type=True)
        wanted_loss = (their.loss_fct(wanted) + their.loss_fct(wanted.T)) / 2
        embedded = our_embeddings(our)
        sentence, our_words, _ = our.similarity.split_texts(embedded[0])
        _, our_frames, _ = our.similarity.split_videos(embedded[1])
        found, loss = our.logits(*embedded), our.loss(*embedded, video_of=torch.arange(COUNT))
        apart = largest(masked.logits(*our_embeddings(masked)), wanted)
    figures = {
        "frames": largest(our_frames, unit(frames, dim=2)),
        "words": largest(our_words, unit(tokens, dim=2)),
        "sentences": largest(sentence, unit(texts[:, 0], dim=1)),
        "logits": largest(found, wanted),
        "loss": largest(loss, wanted_loss),
    }
    say(head, **figures, largest_logit=float(wanted.abs().max()), logits_without_padding=apart)
    assert max(figures.values()) < 1e-5
    assert wanted.std() > 0.01 and apart > 0.01  # they differ, and padding matters, so this shows something


@pytest.mark.parametrize("head", HEADS)
def test_gradients_are_theirs(authors: Authors, head: str) -> None:
    their = their_model(authors, head).train()
    our = our_model(their.state_dict(), head).train()
    ids, words, segments, video, mask = BATCH
    their(ids, segments, words, video, mask).backward()
    wanted = convert(gradients_of(their), head).weights
    our.loss(*our_embeddings(our), video_of=torch.arange(COUNT)).backward()
    differences = gradient_differences(our, wanted, NO_GRADIENT)
    worst = max(differences, key=lambda name: differences[name])
    say(head, **{f"gradient of {worst}": differences[worst]})
    assert set(wanted) == set(differences) and differences[worst] < 1e-4
    assert all(bool(wanted[name].any()) for name in wanted if name.startswith("similarity."))


@pytest.mark.parametrize("head", HEADS)
def test_six_steps_of_training_are_theirs(authors: Authors, head: str, tmp_path: Path) -> None:
    """Their optimiser, schedule and epoch, with all of CLIP trained, against our loop."""
    their = their_model(authors, head)
    before = convert({n: t.clone() for n, t in their.state_dict().items()}, head).weights
    our, args, device = our_model(their.state_dict(), head), task(head), torch.device("cpu")
    optimiser, schedule, _ = authors.main.prep_optimizer(args, their, STEPS, device, 1, 0, coef_lr=FACTOR)
    wanted_losses = [
        authors.main.train_epoch(0, args, their, [BATCH], device, 1, optimiser, schedule, step)[0]
        for step in range(STEPS)
    ]
    losses = our_losses(our, our_pairs(), tmp_path, steps=STEPS, rate=RATE)
    wanted, found = convert(their.state_dict(), head).weights, our.state_dict()
    moved = max(largest(wanted[name], before[name]) for name in wanted)
    apart = max(largest(found[name], wanted[name]) for name in wanted)
    of_matrices = min(largest(wanted[name], before[name]) for name in wanted if name.startswith("similarity."))
    of_losses = max(abs(a - b) for a, b in zip(losses, wanted_losses, strict=True))
    say(
        head, loss=of_losses, first_loss=wanted_losses[0], last_loss=wanted_losses[-1], weights=apart, moved_by=moved,
        matrices_moved_by=of_matrices,
    )  # fmt: skip
    assert wanted_losses[-1] < wanted_losses[0] - 0.05 and of_matrices > 0
    assert of_losses < 1e-5 and apart < 0.005 * moved
