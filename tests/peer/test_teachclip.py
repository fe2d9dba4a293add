"""TeachCLIP beside its authors' modules and training loop on the same random weights, through our importers.

AVS_PEER_TEACHCLIP names a clone of https://github.com/ruc-aimc-lab/TeachCLIP; nothing of it is copied here. The figures
are printed: `make test ARGS="-m peer -s tests/peer"`. Their code runs as it is, with these shims:

- `convert_weights` leaves the weights float32; theirs makes half of them float16.
- The weights and sizes of the CLIP come from the test, not from a download or from their config of ViT-B/32.
- One process gathers from itself: no process group, barrier or DistributedDataParallel.
- Data loaders, tokenizer and downloads are not imported.

The teachers are their X-CLIP. The three parts of the loss are those that their loop writes to its log. Texts and videos
are shorter than their places, so that padding takes part, as `legacy` has it.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from beside_authors import (
    code_of,
    embeddings_of,
    gradient_differences,
    largest,
    our_losses,
    pairs_of,
    pixels_and_tokens,
    run_alone,
    their_batch,
)
from their_clip4clip import DIM, WORDS
from their_teachclip import their_teachclip
from their_xclip import their_xclip
from torch import Tensor, nn

from avs.models.architectures import make_config, make_model
from avs.models.importers import ForeignWeights, importers
from avs.models.losses import contrastive_loss
from avs.models.teachclip import TeachClip
from avs.models.teaching import Lesson, coarse_loss, fine_loss
from avs.models.xclip import XClip
from avs.train.distributed import Workers
from avs.train.teaching import Taught, Teaching

pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore")]

ENVIRONMENT = "AVS_PEER_TEACHCLIP"
FRAMES, LONGEST = 7, 14  # places; no video is as long, and no text
LENGTHS, TEXT_LENGTHS = (6, 1, 3, 6, 2, 5, 4), (12, 3, 8, 5, 11, 4, 7)
COUNT, MADE = len(LENGTHS), pixels_and_tokens(LENGTHS, TEXT_LENGTHS)
BATCH = their_batch(MADE, LENGTHS, words=LONGEST, frames=FRAMES)
WHOLE = pixels_and_tokens((FRAMES,) * COUNT, TEXT_LENGTHS)
RATE, FACTOR, STEPS = 3e-4, 0.1, 6  # larger than the authors', so that six steps change the weights visibly
NO_GRADIENT = ("self_attn.k_proj.bias", "aggregation.linear2.bias")  # but rounding: a softmax does not change with them
MODULES = ("modules", "train", "util", "metrics")
WEIGHTS = {"pear": (0.2, 1.0, 2.0), "l1": (0.2, 1.0, 2.0), "ce": (1.0, 10.0, 1.0)}  # own, coarse, fine
LAYERS = ("linear1.weight", "linear1.bias", "linear2.weight")
METHODS = [("pear", 1), ("pear", 2), ("ce", 2), ("l1", 2)]
DEVICE = torch.device("cpu")


@dataclass(frozen=True)
class Authors:
    """Their modules."""

    modeling: Any
    xclip: Any
    clip: Any
    cross: Any
    train: Any


@dataclass
class Log:
    """In place of their logger: keeps what their loop logs of each step."""

    steps: list[tuple[float, float, float, float]] = field(default_factory=list)

    def info(self, message: str, *values: Any) -> None:
        assert "GTLoss" in message
        self.steps.append(values[5:9])


@dataclass
class NoSteps:
    """In place of an optimiser: keeps the gradients of a model."""

    model: Any
    gradients: dict[str, Tensor] = field(default_factory=dict)

    def step(self) -> None:
        found = {name: (one, one.grad) for name, one in self.model.named_parameters()}
        self.gradients = {name: torch.zeros_like(one) if g is None else g for name, (one, g) in found.items()}

    def zero_grad(self) -> None:
        self.model.zero_grad(set_to_none=True)

    def get_lr(self) -> list[float]:
        return [0.0]


@pytest.fixture(scope="module")
def authors() -> Iterator[Authors]:
    with code_of("ruc-aimc-lab/TeachCLIP", ENVIRONMENT, "modules/modeling_ts2net.py", MODULES) as patch:
        run_alone(patch)
        names = ("modeling", "modeling_xclip", "module_clip", "module_cross")
        modeling, xclip, clip, cross = (importlib.import_module(f"modules.{name}") for name in names)
        train = importlib.import_module("train")
        for module in (modeling, xclip):
            patch.setattr(module, "convert_weights", lambda model: None)
            patch.setattr(module, "allgather", lambda tensor, args: tensor)
        logging.getLogger("modules.modeling").setLevel(logging.ERROR)
        yield Authors(modeling, xclip, clip, cross, train)


def task(method: str = "pear", teachers: int = 1) -> argparse.Namespace:
    return argparse.Namespace(
        max_words=LONGEST, max_frames=FRAMES, loose_type=True, sim_header="seqTransf", linear_patch="2d",
        cross_num_hidden_layers=4, local_rank=0, rank=0, world_size=1, pretrained_clip_name="ViT-B/32", lr=RATE,
        warmup_proportion=0.1, n_display=1, gradient_accumulation_steps=1, epochs=1, beta=1.0, distill_method=method,
        fine_method="ce", **{f"teacher{i + 1}_name": "XCLIP" for i in range(teachers)},
    )  # fmt: skip


def built(authors: Authors, kind: Any, state: dict[str, Tensor]) -> Any:
    """Their model of a class with the given weights."""
    clip = {name.removeprefix("clip."): tensor for name, tensor in state.items() if name.startswith("clip.")}
    cross = authors.cross.CrossConfig(
        100, hidden_size=DIM, num_hidden_layers=4, num_attention_heads=DIM // 64, max_position_embeddings=128
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(authors.clip.CLIP, "get_config", staticmethod(lambda **_: dict(clip)))
        patch.setattr(authors.cross.CrossConfig, "get_config", classmethod(lambda *_, **__: (cross, None)))
        model = kind.from_pretrained("cross-base", state_dict=dict(state), task_config=task())
    loaded = model.state_dict()
    assert set(state) == set(loaded) and all(torch.equal(loaded[name], tensor) for name, tensor in state.items())
    return model.eval()


def their_student(authors: Authors) -> Any:
    return built(authors, authors.modeling.CLIP4Clip, their_teachclip(layers=4))


def their_teacher(authors: Authors, seed: int) -> Any:
    """An X-CLIP whose weights are not the student's."""
    random = torch.Generator().manual_seed(seed)
    state = their_xclip(words=LONGEST, frames=FRAMES, layers=4)
    noisy = {name: one + 0.05 * torch.randn(one.shape, generator=random) for name, one in state.items()}
    return built(authors, authors.xclip.XCLIP, noisy)


def convert(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return dict(importers.get("teachclip").convert(ForeignWeights(dict(state)), {}, {}).weights)


def our_model(architecture: str, their: Any, **options: Any) -> Any:
    """Our model with the weights of theirs, as it is imported."""
    sizes = {} if architecture == "xclip" else {"max_frames": FRAMES, "max_words": LONGEST}
    imported = importers.get(architecture).convert(ForeignWeights(dict(their.state_dict())), {}, sizes)
    assert imported.options["legacy"]
    own = {"video_frames": {"frames": 0}, "text": {"clip-tokens": WORDS}, "freeze": -1, "backbone_ratio": FACTOR}
    model = make_model(architecture, make_config(architecture, {**imported.options, **sizes, **own, **options}))
    model.load_state_dict(dict(imported.weights))
    return model.eval()


def our_student(their: Any, method: str = "pear", **options: Any) -> TeachClip:
    names = ("own_weight", "coarse_weight", "fine_weight")
    weights = dict(zip(names, WEIGHTS[method], strict=True))
    model = our_model("teachclip", their, coarse=method, **weights, **options)
    assert isinstance(model, TeachClip)
    return model


def our_teachers(teachers: Sequence[Any]) -> Teaching:
    """Imported as what they are: X-CLIPs."""
    made = [our_model("xclip", each) for each in teachers]
    assert all(isinstance(each, XClip) for each in made)
    return Teaching([Taught(each) for each in made])


def our_lessons(teachers: Sequence[Any]) -> list[Lesson]:
    return our_teachers(teachers).lessons(pairs_of(MADE, LENGTHS).batch(torch.arange(COUNT).numpy()), Workers(), "cpu")


def embedded(model: TeachClip) -> tuple[Tensor, Tensor]:
    return embeddings_of(model, MADE, LENGTHS)


def log_weights_of(rows: Tensor) -> tuple[Tensor, Tensor]:
    """(B, F) logarithms of the weights of frames, and their mask, of rows in training mode."""
    return rows[:, DIM : DIM + FRAMES], rows[:, DIM + FRAMES :] > 0


def scored(their: Any, batch: tuple[Tensor, ...] = BATCH) -> tuple[Tensor, Tensor]:
    """Their scores (T, B), times the logit scale, and weights of frames (B, F)."""
    ids, words, segments, video, mask = batch
    with torch.no_grad():
        scores, weights = their.train()(ids, segments, words, video, mask, return_fine=True)
    their.eval()
    return scores, weights


def one_epoch(
    authors: Authors, args: argparse.Namespace, their: Any, teachers: Sequence[Callable[..., Any]], optimiser: Any
) -> tuple[float, float, float, float]:
    """Loss, own, coarse and fine part of one step of their loop."""
    log = Log()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(authors.train, "logger", log, raising=False)
        authors.train.train_epoch(0, args, their, teachers, [BATCH], DEVICE, 1, optimiser, None, 0)
    (found,) = log.steps
    return found


def say(what: str, **figures: float) -> None:
    print(f"TeachCLIP {what}: " + ", ".join(f"{name} {value:.2g}" for name, value in figures.items()))


def test_vectors_scores_and_weights_of_frames_are_theirs(authors: Authors) -> None:
    their = their_student(authors)
    our, masked = our_student(their), our_student(their, legacy=False)
    ids, words, segments, video, mask = BATCH
    unit = nn.functional.normalize
    wanted, weights = scored(their)
    with torch.no_grad():
        texts, videos = embedded(our)
        log_weights, _ = log_weights_of(embedded(our.train())[1])
        figures = {
            "texts": largest(texts, unit(their.get_sequence_output(ids, segments, words)[:, 0], dim=1)),
            "videos": largest(videos, unit(their.get_video_output(video, mask), dim=1)),
            "logits": largest(our.backbone.logit_scale * our.score(texts, videos), wanted),
            "weights": largest(log_weights.exp(), weights),
        }
        apart = largest(masked.score(*embedded(masked)), our.score(texts, videos))
    say("features", **figures, largest_logit=float(wanted.abs().max()), cosines_without_padding=apart)
    assert max(figures.values()) < 1e-5
    assert wanted.std() > 0.01 and apart > 0.01  # they differ, and padding matters, so this shows something
    assert (weights - 1 / FRAMES).abs().max() > 0.05  # some frames count for more


def test_without_legacy_it_is_their_module_on_the_real_frames_alone(authors: Authors) -> None:
    their, differences = their_student(authors), []
    with torch.no_grad():
        rows = embedded(our_student(their, legacy=False).train())[1]
        log_weights, _ = log_weights_of(rows)
        for i, length in enumerate(LENGTHS):
            parts = tuple(part[i : i + 1] for part in BATCH)
            alone = (*parts[:3], parts[3][:, :, :length], parts[4][:, :, :length])
            video = nn.functional.normalize(their.get_video_output(*alone[3:]), dim=1)
            differences.append(largest(rows[i, :DIM], video[0]))
            differences.append(largest(log_weights[i, :length].exp(), scored(their, alone)[1][0]))
    say("real frames alone", apart=max(differences))
    assert max(differences) < 1e-5


def test_of_whole_videos_legacy_changes_nothing_but_the_negatives(authors: Authors) -> None:
    their, lengths = their_student(authors), (FRAMES,) * COUNT
    wanted, _ = scored(their, their_batch(WHOLE, lengths, words=LONGEST, frames=FRAMES))
    for legacy in (False, True):
        our = our_student(their, legacy=legacy)
        with torch.no_grad():
            found = our.backbone.logit_scale * our.score(*embeddings_of(our, WHOLE, lengths))
        assert largest(found, wanted) < 1e-5


def test_their_pads_take_part(authors: Authors) -> None:
    their = their_student(authors)
    nn.init.zeros_(their.frameLinear2.weight)
    _, weights = scored(their)
    assert torch.allclose(weights, torch.full_like(weights, 1 / FRAMES))  # a video of one frame too
    ids, words, segments, video, mask = BATCH
    other = torch.where(mask[..., None, None, None, None].bool(), video, torch.ones(()))
    with torch.no_grad():
        first, second = (their.get_video_output(each, mask) for each in (video, other))
    changed = (first - second).abs().amax(dim=1)
    say("other pads", least=float(changed.min()))
    assert bool((changed > 1e-2).all())


def test_what_teachers_say_is_what_theirs_do(authors: Authors) -> None:
    teachers = [their_teacher(authors, seed) for seed in (1, 2)]
    ids, words, segments, video, mask = BATCH
    for teacher, lesson in zip(teachers, our_lessons(teachers), strict=True):
        with torch.no_grad():
            scores, relevance = teacher(ids, segments, words, video, mask, return_fine=True)
        figures = {
            "scores": largest(lesson.scores, scores),
            "relevance": largest(lesson.relevance.softmax(dim=1), relevance),
        }
        say("teacher", **figures, largest_score=float(scores.abs().max()), largest_relevance=float(relevance.max()))
        assert max(figures.values()) < 1e-5 and bool(lesson.mask.all())
        assert relevance.std() > 1e-3


@pytest.mark.parametrize(("method", "count"), METHODS)
def test_the_parts_of_the_loss_are_theirs(authors: Authors, method: str, count: int) -> None:
    their, teachers = their_student(authors), [their_teacher(authors, seed) for seed in range(count)]
    our, lessons = our_student(their, method).train(), our_lessons(teachers)
    with torch.no_grad():
        texts, rows = embedded(our)
        scores = our.backbone.logit_scale * our.score(texts, rows)
        parts = [
            our.loss(texts, rows, video_of=torch.zeros(COUNT), lessons=lessons),  # one video: negatives all the same
            contrastive_loss(scores),
            coarse_loss(scores, lessons, our.config.coarse),
            fine_loss(*log_weights_of(rows), lessons),
        ]
    wanted = one_epoch(authors, task(method, count), their, teachers, NoSteps(their))
    apart = [abs(float(a) - b) for a, b in zip(parts, wanted, strict=True)]
    say(f"{method}, {count} teachers", **dict(zip(("loss", "own", "coarse", "fine"), apart, strict=True)))
    say(f"{method}, {count} teachers, theirs", **dict(zip(("loss", "own", "coarse", "fine"), wanted, strict=True)))
    assert max(apart) < 1e-5 and min(wanted) > 0.05


def test_a_teacher_of_equal_scores_makes_their_loss_not_a_number(authors: Authors) -> None:
    their = their_student(authors)
    equal = torch.zeros(COUNT, COUNT), torch.full((COUNT, FRAMES), 1 / FRAMES)
    loss, own, coarse, fine = one_epoch(authors, task(), their, [lambda *_, **__: equal], NoSteps(their))
    assert math.isnan(loss) and math.isnan(coarse) and math.isfinite(own) and math.isfinite(fine)
    scores, _ = scored(their)
    lesson = Lesson(equal[0], equal[1], torch.ones(COUNT, FRAMES, dtype=torch.bool))
    assert float(coarse_loss(scores, [lesson], "pear")) == pytest.approx(2)


def test_their_logarithm_of_a_weight_is_infinite_where_logits_are_far_apart(authors: Authors) -> None:
    """Weights of frames are float32, also where the CLIP is float16 as they train it."""
    their, teacher = their_student(authors), their_teacher(authors, 1)
    with torch.no_grad():
        their.frameLinear2.weight.mul_(1e4)
        our = our_student(their).train()
        assert bool(torch.isfinite(log_weights_of(embedded(our)[1])[0]).all())
    fine = one_epoch(authors, task(), their, [teacher], NoSteps(their))[3]
    assert math.isinf(fine)
    authors.clip.convert_weights(their.clip)
    assert their.clip.visual.proj.dtype == torch.float16
    _, weights = scored(their)
    assert weights.dtype == torch.float32


@pytest.mark.parametrize("method", ["pear", "ce"])
def test_gradients_are_theirs(authors: Authors, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    their, teachers = their_student(authors), [their_teacher(authors, seed) for seed in (1, 2)]
    our, optimiser = our_student(their, method).train(), NoSteps(their)
    our.loss(*embedded(our), video_of=torch.arange(COUNT), lessons=our_lessons(teachers)).backward()
    monkeypatch.setattr(nn.utils, "clip_grad_norm_", lambda *_: None)
    one_epoch(authors, task(method, 2), their, teachers, optimiser)
    wanted = convert(optimiser.gradients)
    differences = gradient_differences(our, wanted, NO_GRADIENT)
    worst = max(differences, key=lambda name: differences[name])
    say(method, **{f"gradient of {worst}": differences[worst]})
    assert set(wanted) == set(differences) and differences[worst] < 1e-4
    assert all(bool(wanted[name].any()) for name in wanted if name.startswith("aggregation."))


@pytest.mark.parametrize("method", ["pear", "ce"])
def test_six_steps_of_training_are_theirs(authors: Authors, method: str, tmp_path: Path) -> None:
    """Their optimiser, schedule and epoch, with all of CLIP trained, against our loop; the teachers are not trained."""
    their, teachers = their_student(authors), [their_teacher(authors, seed) for seed in (1, 2)]
    before = convert({name: one.clone() for name, one in their.state_dict().items()})
    our, teaching, args = our_student(their, method), our_teachers(teachers), task(method, 2)
    optimiser, _, _ = authors.train.prep_optimizer(args, their, STEPS, DEVICE, 1, 0, coef_lr=FACTOR)
    wanted_losses = [one_epoch(authors, args, their, teachers, optimiser)[0] for _ in range(STEPS)]
    losses = our_losses(our, pairs_of(MADE, LENGTHS), tmp_path, steps=STEPS, rate=RATE, teaching=teaching)
    wanted, found = convert(their.state_dict()), our.state_dict()
    moved = max(largest(wanted[name], before[name]) for name in wanted)
    apart = max(largest(found[name], wanted[name]) for name in wanted)
    of_layers = min(largest(wanted[f"aggregation.{n}"], before[f"aggregation.{n}"]) for n in LAYERS)
    of_losses = max(abs(a - b) for a, b in zip(losses, wanted_losses, strict=True))
    say(
        method, loss=of_losses, first_loss=wanted_losses[0], last_loss=wanted_losses[-1], weights=apart, moved_by=moved,
        layers_moved_by=of_layers,
    )  # fmt: skip
    assert wanted_losses[-1] < wanted_losses[0] - 0.05 and of_layers > 0
    assert of_losses < 1e-5 and apart < 0.005 * moved
