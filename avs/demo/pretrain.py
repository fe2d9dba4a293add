"""Pre-training of the small encoders: `python -m avs.demo.pretrain {clip,blip,blip2} --seed S --out DIR`.

A symmetric contrastive loss that knows which captions of a batch are true of which frames (the scenes are our own).
Linear readers help, and are thrown away afterwards: they tell the attributes of what a frame shows, of what a sentence
says, and of what each patch belongs to.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from avs.demo import small_models
from avs.demo.captions import CaptionStyle
from avs.demo.patterns import Pattern, ThingPattern
from avs.demo.pretrain_data import Diet, Frames, draw_captions, pattern_codes, render_frames
from avs.demo.scenes import BACKGROUNDS, COLOURS, KINDS, MAX_COUNT, RELATIONS, SIZES
from avs.demo.small_models import IMAGE_SIZE, SmallBlip, SmallBlip2, SmallClip

ENCODERS = {"clip": SmallClip, "blip": SmallBlip, "blip2": SmallBlip2}
DIETS = {
    "clip": Diet(
        favourites=("car", "boat", "ball", "fish", "person", "plane", "star"),
        style=CaptionStyle(
            colour=0.85,
            size=0.2,
            count=0.2,
            motion=0.1,
            position=0.2,
            background=0.6,
            relation=0.05,
            whole=0.5,
            bare=0.4,
        ),
        wrong=0.03,
        junk=0.25,
    ),
    "blip": Diet(
        favourites=("house", "tree", "bird", "cat", "cup", "person", "fish"),
        style=CaptionStyle(
            colour=0.75, size=0.15, count=0.6, motion=0.1, position=0.3, background=0.4, relation=0.45, whole=0.4
        ),
    ),
    "blip2": Diet(
        favourites=("flower", "umbrella", "star", "car", "bird", "boat", "cup"),
        style=CaptionStyle(
            colour=0.9, size=0.6, count=0.35, motion=0.15, position=0.5, background=0.5, relation=0.2, whole=0.7
        ),
    ),
}
_SLOT_SIZES = (len(COLOURS), len(SIZES), MAX_COUNT, 3, 3)
_PATCH_SIZES = (len(KINDS) + 1, len(COLOURS), len(SIZES), MAX_COUNT)  # no kind at all is a kind
READINGS = len(KINDS) * (1 + sum(_SLOT_SIZES)) + len(BACKGROUNDS) + len(RELATIONS)
READER_WEIGHT = 0.05
PEAK_RATE, WEIGHT_DECAY, MAX_SCALE = 1.5e-3, 0.05, 40.0
FORGOTTEN = 0.02
HELD_OUT = 1500


def truth(frames: Frames, rows: np.ndarray, codes: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """(I, T) bool: whether text t is true of frame i."""
    things, backgrounds, relations = codes  # (T, 3, 6), (T,), (T,)
    shown = torch.from_numpy(frames.things[rows])  # (I, 3, 6)
    asked = things[None, :, :, None]  # (1, T, 3, 1, 6)
    fits = ((asked == -1) | (asked == shown[:, None, None])).all(-1)  # (I, T, 3 asked, 3 shown)
    fits &= shown[:, None, None, :, 0] >= 0
    absent = things[None, :, :, 0] == -2
    found = (fits.any(-1) | absent).all(-1)
    lies = torch.from_numpy(frames.relations[rows])[:, None] == relations[None, :, None, None]  # (I, T, 3, 3)
    pairs = fits[:, :, 0, :, None] & fits[:, :, 1, None, :] & lies
    found &= (relations == -1)[None] | pairs.flatten(2).any(-1)
    placed = torch.from_numpy(frames.backgrounds[rows])[:, None] == backgrounds[None]
    return found & ((backgrounds == -1)[None] | placed)


def readings(things: torch.Tensor, backgrounds: torch.Tensor, relations: torch.Tensor) -> torch.Tensor:
    """(N, READINGS) float targets: each kind, each kind with each attribute, background, relation of the first two."""
    number = len(things)
    width = 1 + sum(_SLOT_SIZES)
    target = torch.zeros(number, READINGS + 1)  # the last column takes what is not there
    for slot in range(things.shape[1]):
        kind = things[:, slot, 0].long()
        there = kind >= 0
        columns = [torch.where(there, kind * width, READINGS)]
        offset = 1
        for attribute, size in enumerate(_SLOT_SIZES, start=1):
            value = things[:, slot, attribute].long()
            columns.append(torch.where(there & (value >= 0), kind * width + offset + value, READINGS))
            offset += size
        target.scatter_(1, torch.stack(columns, 1), 1.0)
    rest = len(KINDS) * width
    for values, size in ((backgrounds.long(), len(BACKGROUNDS)), (relations.long(), len(RELATIONS))):
        target.scatter_(1, torch.where(values >= 0, rest + values, READINGS)[:, None], 1.0)
        rest += size
    return target[:, :READINGS]


def contrastive_loss(scores: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Mean over both directions of the cross-entropy against all true partners alike (Khosla et al. 2020, eq. 2)."""
    loss = scores.new_zeros(())
    for logits, partners in ((scores, true), (scores.T, true.T)):
        share = partners / partners.sum(1, keepdim=True)
        loss = loss - (share * logits.log_softmax(1)).sum(1).mean() / 2
    return loss


def mean_vectors(vectors: torch.Tensor) -> torch.Tensor:
    """One unit vector per image: BLIP-2's queries averaged, others as they are."""
    return nn.functional.normalize(vectors.mean(1), dim=-1) if vectors.ndim == 3 else vectors


class Trainer:
    """The state of one pre-training."""

    def __init__(
        self, name: str, frames: Frames, *, seed: int, steps: int, batch: int, clip: Path | None = None
    ) -> None:
        torch.manual_seed(seed)
        self.diet, self.frames, self.batch, self.steps = DIETS[name], frames, batch, steps
        self.rng = np.random.default_rng([seed, 7])
        sample, _ = draw_captions(frames, self.rng.integers(0, len(frames.scenes), 20000), self.diet, self.rng)
        self.encoder = ENCODERS[name](small_models.words_of(sample), sample)
        if clip is not None:
            small_models.start_from_clip(self.encoder, clip)
        self.image_reader = nn.Linear(128, READINGS)
        self.text_reader = nn.Linear(128, READINGS)
        self.patch_reader = nn.Linear(128, sum(_PATCH_SIZES))
        self.scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        modules = nn.ModuleList([self.encoder.model, self.image_reader, self.text_reader, self.patch_reader])
        decayed = [p for p in modules.parameters() if p.ndim > 1]
        others = [*(p for p in modules.parameters() if p.ndim <= 1), self.scale]
        self.parameters = [*decayed, *others]
        groups = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=PEAK_RATE, betas=(0.9, 0.98), fused=True)

    def images(self, rows: np.ndarray, *, jitter: bool) -> torch.Tensor:
        """(B, 3, S, S) normalised pixels, with random brightness and contrast when `jitter`."""
        pixels = torch.from_numpy(self.frames.pixels[rows]).permute(0, 3, 1, 2).float() / 255
        if jitter:
            gain = torch.empty(len(rows), 1, 1, 1).uniform_(0.9, 1.1)
            shift = torch.empty(len(rows), 1, 1, 1).uniform_(-0.05, 0.05)
            pixels = (pixels * gain + shift).clamp(0, 1)
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (small_models.MEAN, small_models.STD))
        return (pixels - mean) / std

    def tokens(self, texts: Sequence[str], *, forgotten: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
        """(T, L) ids and mask; a share `forgotten` of the words becomes [UNK], so that unknown words do no harm."""
        tokenizer = self.encoder.tokenizer
        found = tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        ids = found["input_ids"]
        special = torch.isin(ids, torch.tensor(tokenizer.all_special_ids))
        lost = (torch.rand(ids.shape) < forgotten) & ~special & (tokenizer.unk_token_id != tokenizer.eos_token_id)
        return ids.masked_fill(lost, tokenizer.unk_token_id), found["attention_mask"]

    def step(self, number: int) -> dict[str, float]:
        """One update; the losses before it."""
        rate = PEAK_RATE * min(1.0, (number + 1) / 100) * 0.5 * (1 + math.cos(math.pi * number / self.steps))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        rows = self.rng.integers(HELD_OUT, len(self.frames.scenes), self.batch)
        texts, patterns = draw_captions(self.frames, rows, self.diet, self.rng)
        codes = _stack_codes(patterns)
        true = (truth(self.frames, rows, codes) | torch.eye(self.batch, dtype=torch.bool)).float()
        with torch.autocast("cpu", torch.bfloat16):
            images = self.encoder.images(self.images(rows, jitter=True))
            said = self.encoder.texts(*self.tokens(texts, forgotten=FORGOTTEN))
            patches = self.patch_reader(images.patches)
            seen, heard = self.image_reader(images.states), self.text_reader(said.states)
        scale = self.scale.exp().clamp(max=MAX_SCALE)
        match = contrastive_loss(scale * mean_vectors(images.vectors) @ said.vectors.T, true)
        if images.vectors.ndim == 3:
            best = torch.einsum("iqd,td->itq", images.vectors, said.vectors).amax(-1)
            match = match + 0.3 * contrastive_loss(scale * best, true)
        shown = torch.from_numpy(self.frames.things[rows]), torch.from_numpy(self.frames.backgrounds[rows])
        first_two = torch.from_numpy(self.frames.relations[rows, 0, 1])
        read = _reading_loss(seen, readings(*shown, first_two)) + _reading_loss(heard, readings(*codes))
        located = _patch_loss(patches, self.frames.things[rows], self.frames.owners[rows])
        loss = match + READER_WEIGHT * read + located
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return {
            "match": match.item(),
            "read": read.item(),
            "located": located.item(),
            "scale": scale.item(),
            "rate": rate,
        }

    @torch.no_grad()
    def held_out_ap(self) -> float:
        """Mean average precision of simple sentences among frames that were not trained on."""
        rows = np.arange(HELD_OUT)
        parts = [self.encoder.images(self.images(part, jitter=False)).vectors for part in np.array_split(rows, 6)]
        frames = mean_vectors(torch.cat(parts))
        patterns = [Pattern((ThingPattern(kind, colour),)) for kind in KINDS for colour in COLOURS]
        names = [f"a {p.things[0].colour} {p.things[0].kind}" for p in patterns]
        scores = frames @ self.encoder.texts(*self.tokens(names)).vectors.T  # (I, T)
        true = truth(self.frames, rows, _stack_codes(patterns))
        ranked = true.gather(0, scores.argsort(0, descending=True)).float()
        precision = ranked.cumsum(0) / torch.arange(1, len(rows) + 1)[:, None]
        average = (precision * ranked).sum(0) / ranked.sum(0).clamp(min=1)
        return average[true.any(0)].mean().item()


def _stack_codes(patterns: Sequence[Pattern]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    codes = [pattern_codes(pattern) for pattern in patterns]
    things = torch.from_numpy(np.stack([c[0] for c in codes]))
    return things, torch.tensor([c[1] for c in codes]), torch.tensor([c[2] for c in codes])


def _patch_loss(logits: torch.Tensor, things: np.ndarray, owners: np.ndarray) -> torch.Tensor:
    """Cross-entropy of kind, colour, size and count of what each patch (B, 64) shows; empty patches count a quarter."""
    owner = torch.from_numpy(owners).flatten(1).long()  # (B, 64)
    codes = torch.from_numpy(things).long()  # (B, 3, 6)
    shown = codes.gather(1, owner.clamp(min=0)[..., None].expand(-1, -1, codes.shape[2])).flatten(0, 1)
    empty = (owner < 0).flatten()
    parts = logits.float().flatten(0, 1).split(_PATCH_SIZES, dim=1)
    kind = cross_entropy(parts[0], shown[:, 0].masked_fill(empty, len(KINDS)), reduction="none")
    weight = torch.where(empty, 0.25, 1.0)
    loss = (weight * kind).sum() / weight.sum()
    for slot, part in enumerate(parts[1:], start=1):
        loss = loss + cross_entropy(part[~empty], shown[~empty, slot])
    return loss


def _reading_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return binary_cross_entropy_with_logits(logits.float(), targets, reduction="sum") / len(targets)


def pretrain(
    name: str, out: Path, *, seed: int, steps: int, batch: int, frames: int, threads: int, clip: Path | None = None
) -> None:
    """Train one encoder and write it to `out`, with `training.json`: settings, loss curve and times.

    Args:
        clip: folder of a trained small CLIP whose vision tower a BLIP or BLIP-2 starts from.
    """
    torch.set_num_threads(threads)
    start = time.monotonic()
    crop = name == "clip"
    seen = render_frames(frames, seed=seed, size=IMAGE_SIZE, crop=crop, favourites=DIETS[name].favourites, workers=2)
    rendered_s = time.monotonic() - start
    trainer = Trainer(name, seen, seed=seed, steps=steps, batch=batch, clip=clip)
    curve = []
    for number in range(steps):
        figures = trainer.step(number)
        if number % 100 == 99 or number == steps - 1:
            if number % 300 == 299 or number == steps - 1:
                figures["held_out_ap"] = trainer.held_out_ap()
            elapsed_s = time.monotonic() - start
            curve.append(
                {"step": number + 1, "seconds": round(elapsed_s, 1)} | {k: round(v, 4) for k, v in figures.items()}
            )
            print(json.dumps(curve[-1]), file=sys.stderr, flush=True)
    small_models.save(trainer.encoder, out)
    settings = {"encoder": name, "seed": seed, "steps": steps, "batch": batch, "frames": frames, "threads": threads}
    settings["started_from"] = clip.name if clip else None
    log = settings | {"render_s": round(rendered_s, 1), "seconds": round(time.monotonic() - start, 1), "curve": curve}
    (out / "training.json").write_text(json.dumps(log, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m avs.demo.pretrain", description=__doc__)
    parser.add_argument("encoder", choices=sorted(ENCODERS))
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=128, help="frames a step")
    parser.add_argument("--frames", type=int, default=32000, help="frames to render")
    parser.add_argument("--clip", type=Path, help="start from the vision tower of this small CLIP (blip, blip2)")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    options = vars(args)
    pretrain(options.pop("encoder"), options.pop("out"), **options)


if __name__ == "__main__":
    main()
