"""Train one of the three small encoders that ship with avs: CLIP, BLIP or BLIP-2.

    python tools/mini_encoders/pretrain.py clip --seed 1 --out avs/demo/encoders/clip

The main loss is a symmetric contrastive loss that knows which captions of a batch are true of which frames: the scenes
are rendered, so this is known. Three linear readers help and are thrown away afterwards. They predict the attributes of
what a frame shows, of what a sentence says, and of what each patch belongs to.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import small_models
import torch
from small_models import IMAGE_SIZE, SmallBlip, SmallBlip2, SmallClip, SmallEncoder
from supervision import (
    PATCH_SIZES,
    READINGS,
    codes_of_frames,
    codes_of_patterns,
    contrastive_loss,
    patch_loss,
    reading_loss,
    truth,
)
from torch import nn
from training_frames import Diet, Frames, draw_captions, render_frames

from avs.demo.captions import CaptionStyle
from avs.demo.patterns import Pattern, ThingPattern
from avs.demo.scenes import COLOURS, KINDS

ENCODERS: Mapping[str, type[SmallEncoder]] = {"clip": SmallClip, "blip": SmallBlip, "blip2": SmallBlip2}
DIETS = {
    "clip": Diet(
        favourites=("car", "boat", "ball", "fish", "person", "plane", "star"),
        style=CaptionStyle(
            colour=0.85, size=0.2, count=0.2, motion=0.1, position=0.2, background=0.6, relation=0.05, whole=0.5,
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
}  # fmt: skip
READER_WEIGHT, BEST_QUERY_WEIGHT = 0.05, 0.3
PEAK_RATE, WARM_UP_STEPS, WEIGHT_DECAY, MAX_SCALE = 1.5e-3, 100, 0.05, 40.0
UNKNOWN_WORDS = 0.02  # share of the words that become [UNK] in training, so that unknown words do no harm later
VOCABULARY_CAPTIONS = 20_000  # captions that the vocabulary is taken from
HELD_OUT = 1500  # the first frames; they are never trained on


class Pretraining:
    """The state of the training of one encoder.

    Args:
        name: clip, blip or blip2.
        frames: the first HELD_OUT of them only test the encoder.
        steps: number of updates; the learning rate falls to 0 over them.
        batch: frames per step.
        clip: folder of a trained small CLIP whose vision tower a BLIP or BLIP-2 starts from.
    """

    def __init__(
        self, name: str, frames: Frames, *, seed: int, steps: int, batch: int, clip: Path | None = None
    ) -> None:
        torch.manual_seed(seed)
        self.diet, self.frames, self.batch, self.steps = DIETS[name], frames, batch, steps
        self.rng = np.random.default_rng([seed, 7])
        rows = self.rng.integers(0, len(frames.scenes), VOCABULARY_CAPTIONS)
        captions, _ = draw_captions(frames, rows, self.diet, self.rng)
        self.encoder = ENCODERS[name](small_models.words_of(captions), captions)
        if clip is not None:
            small_models.start_from_clip(self.encoder, clip)
        self.image_reader = nn.Linear(128, READINGS)
        self.text_reader = nn.Linear(128, READINGS)
        self.patch_reader = nn.Linear(128, sum(PATCH_SIZES))
        self.scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        modules = nn.ModuleList([self.encoder.model, self.image_reader, self.text_reader, self.patch_reader])
        decayed = [p for p in modules.parameters() if p.ndim > 1]
        others = [*(p for p in modules.parameters() if p.ndim <= 1), self.scale]
        self.parameters = [*decayed, *others]
        groups = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=PEAK_RATE, betas=(0.9, 0.98), fused=True)

    def images(self, rows: np.ndarray, *, jitter: bool) -> torch.Tensor:
        """(B, 3, S, S) normalised pixels; `jitter` changes brightness and contrast at random."""
        pixels = torch.from_numpy(self.frames.pixels[rows]).permute(0, 3, 1, 2).float() / 255
        if jitter:
            gain = torch.empty(len(rows), 1, 1, 1).uniform_(0.9, 1.1)
            shift = torch.empty(len(rows), 1, 1, 1).uniform_(-0.05, 0.05)
            pixels = (pixels * gain + shift).clamp(0, 1)
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (small_models.MEAN, small_models.STD))
        return (pixels - mean) / std

    def tokens(self, texts: Sequence[str], *, unknown: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
        """(T, L) token ids and their mask; a random share `unknown` of the words becomes [UNK]."""
        tokenizer = self.encoder.tokenizer
        encoded = tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        ids = encoded["input_ids"]
        special = torch.isin(ids, torch.tensor(tokenizer.all_special_ids))
        lost = (torch.rand(ids.shape) < unknown) & ~special & (tokenizer.unk_token_id != tokenizer.eos_token_id)
        return ids.masked_fill(lost, tokenizer.unk_token_id), encoded["attention_mask"]

    def step(self, number: int) -> dict[str, float]:
        """Make one update and return the losses before it."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(number)
        rows = self.rng.integers(HELD_OUT, len(self.frames.scenes), self.batch)
        texts, patterns = draw_captions(self.frames, rows, self.diet, self.rng)
        caption_codes = codes_of_patterns(patterns)
        true = (truth(self.frames, rows, caption_codes) | torch.eye(self.batch, dtype=torch.bool)).float()
        with torch.autocast("cpu", torch.bfloat16):
            encoded_images = self.encoder.images(self.images(rows, jitter=True))
            encoded_texts = self.encoder.texts(*self.tokens(texts, unknown=UNKNOWN_WORDS))
            patches = self.patch_reader(encoded_images.patches)
            image_readings = self.image_reader(encoded_images.states)
            text_readings = self.text_reader(encoded_texts.states)
        match = self.match_loss(encoded_images.vectors, encoded_texts.vectors, true)
        read = reading_loss(image_readings, codes_of_frames(self.frames, rows)) + reading_loss(
            text_readings, caption_codes
        )
        located = patch_loss(patches, self.frames.things[rows], self.frames.owners[rows])
        loss = match + READER_WEIGHT * read + located
        torch.autograd.backward(loss)
        figures = {"match": match.item(), "read": read.item(), "located": located.item()}
        figures |= {"scale": self.logit_scale().item(), "rate": self.rate(number)}
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return figures

    def rate(self, number: int) -> float:
        """The learning rate of a step: a linear warm-up times half a cosine."""
        warm_up = min(1.0, (number + 1) / WARM_UP_STEPS)
        return PEAK_RATE * warm_up * 0.5 * (1 + math.cos(math.pi * number / self.steps))

    def logit_scale(self) -> torch.Tensor:
        """What similarities are multiplied by before the softmax."""
        return self.scale.exp().clamp(max=MAX_SCALE)

    @torch.no_grad()
    def store_scale(self) -> None:
        """Give CLIP the scale that its vectors were trained with; the other encoders have no place for it."""
        if hasattr(self.encoder.model, "logit_scale"):
            self.encoder.model.logit_scale.fill_(self.logit_scale().log())

    def match_loss(self, images: torch.Tensor, texts: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
        """The contrastive loss of (I, D) or (I, Q, D) images and (T, D) texts; with queries also that of the best."""
        scale = self.logit_scale()
        loss = contrastive_loss(scale * mean_vectors(images) @ texts.T, true)
        if images.ndim == 3:
            best = torch.einsum("iqd,td->itq", images, texts).amax(-1)
            loss = loss + BEST_QUERY_WEIGHT * contrastive_loss(scale * best, true)
        return loss

    @torch.no_grad()
    def held_out_ap(self) -> float:
        """Mean average precision of sentences such as "a red car" over the frames that were not trained on."""
        rows = np.arange(HELD_OUT)
        parts = [self.encoder.images(self.images(part, jitter=False)).vectors for part in np.array_split(rows, 6)]
        frames = mean_vectors(torch.cat(parts))
        pairs = [(kind, colour) for kind in KINDS for colour in COLOURS]
        texts = self.encoder.texts(*self.tokens([f"a {colour} {kind}" for kind, colour in pairs]))
        patterns = [Pattern((ThingPattern(kind, colour),)) for kind, colour in pairs]
        true = truth(self.frames, rows, codes_of_patterns(patterns))
        scores = frames @ texts.vectors.T  # (I, T)
        ranked = true.gather(0, scores.argsort(0, descending=True)).float()
        precision = ranked.cumsum(0) / torch.arange(1, len(rows) + 1)[:, None]
        average = (precision * ranked).sum(0) / ranked.sum(0).clamp(min=1)
        return average[true.any(0)].mean().item()


def mean_vectors(vectors: torch.Tensor) -> torch.Tensor:
    """(I, D) unit vectors of (I, D) or (I, Q, D): the queries of BLIP-2 are averaged."""
    return nn.functional.normalize(vectors.mean(1), dim=-1) if vectors.ndim == 3 else vectors


def pretrain(
    name: str, out: Path, *, seed: int, steps: int, batch: int, frames: int, threads: int, clip: Path | None = None
) -> None:
    """Train one encoder and write it to `out`, with `training.json`: settings, losses and times.

    Args:
        name: clip, blip or blip2.
        steps, batch, clip: as in Pretraining.
        frames: number of frames to render.
        threads: threads of torch.
    """
    torch.set_num_threads(threads)
    start = time.monotonic()
    favourites = DIETS[name].favourites
    rendered = render_frames(frames, seed=seed, size=IMAGE_SIZE, crop=name == "clip", favourites=favourites, workers=2)
    render_s = time.monotonic() - start
    training = Pretraining(name, rendered, seed=seed, steps=steps, batch=batch, clip=clip)
    curve = []
    for number in range(1, steps + 1):
        figures = training.step(number - 1)
        if number % 100 == 0 or number == steps:
            if number % 300 == 0 or number == steps:
                figures["held_out_ap"] = training.held_out_ap()
            point = {"step": number, "seconds": round(time.monotonic() - start, 1)}
            curve.append(point | {key: round(value, 4) for key, value in figures.items()})
            print(json.dumps(curve[-1]), file=sys.stderr, flush=True)
    training.store_scale()
    small_models.save(training.encoder, out)
    log = {
        "encoder": name, "seed": seed, "steps": steps, "batch": batch, "frames": frames, "threads": threads,
        "started_from": clip.name if clip else None, "render_s": round(render_s, 1),
        "seconds": round(time.monotonic() - start, 1), "curve": curve,
    }  # fmt: skip
    (out / "training.json").write_text(json.dumps(log, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoder", choices=sorted(ENCODERS))
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=3000, help="number of updates")
    parser.add_argument("--batch", type=int, default=128, help="frames per step")
    parser.add_argument("--frames", type=int, default=32000, help=f"frames to render; {HELD_OUT} of them are held out")
    parser.add_argument("--clip", type=Path, help="start from the vision tower of this small CLIP (blip, blip2)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    options = vars(parser.parse_args())
    pretrain(options.pop("encoder"), options.pop("out"), **options)


if __name__ == "__main__":
    main()
