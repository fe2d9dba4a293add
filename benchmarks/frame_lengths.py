"""What a head of CLIP4Clip that was trained on vectors of any length does with vectors of length 1, as stores have.

    OMP_NUM_THREADS=1 python benchmarks/frame_lengths.py

Each head starts from the demo's CLIP, whose vision tower is frozen, and is trained with its text tower on vectors of
rendered shots as the tower gives them, which is how the weights of the authors were trained. It is then tested on other
shots twice: with their vectors, and with the same vectors scaled to length 1. A second model is trained and tested on
vectors of length 1.
"""

from __future__ import annotations

import json
import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

import avs.demo
from avs.demo.captions import caption
from avs.demo.render import ShotRenderer
from avs.demo.scenes import sample_scene
from avs.features.preprocess import read_preprocessing
from avs.features.text.clip_tokens import ClipTokens
from avs.models.architectures import make_config
from avs.models.architectures.clip4clip import Clip4ClipConfig
from avs.models.batch import Batch, Sequences
from avs.models.clip4clip import Clip4Clip
from avs.pipeline.train.backbone import open_backbone

RESULTS = Path(__file__).parent / "results" / "frame_lengths.json"
CLIP = Path(avs.demo.__file__).parent / "encoders" / "clip"
TRAIN, TEST, FRAMES, WORDS = 2000, 400, 6, 24
STEPS = {"meanP": 300, "seqLSTM": 300, "seqTransf": 300, "tightTransf": 100}
BATCH = {"meanP": 64, "seqLSTM": 64, "seqTransf": 64, "tightTransf": 32}  # all pairs of the last are passes


def data(count: int, seed: int) -> tuple[Tensor, list[str]]:
    """(N, F, D) vectors of the frames of N shots, as the vision tower gives them, and a caption of each shot."""
    rng = np.random.default_rng(seed)
    geometry = read_preprocessing(CLIP, shortest_edge=True).geometry
    model = Clip4Clip(config("meanP", pixels=True))
    open_backbone("mini-clip").start(model)
    vectors, captions = [], []
    for _ in range(count):
        scene = sample_scene(rng)
        renderer = ShotRenderer(scene)
        times = np.linspace(0, scene.duration_s * 0.98, FRAMES)
        pixels = torch.from_numpy(geometry.apply(np.stack([renderer.frame(time) for time in times])))
        with torch.no_grad():
            vectors.append(model.backbone.frames(pixels[None], torch.ones(1, FRAMES, dtype=torch.bool))[0])
        captions.append(caption(scene, rng))
    return torch.stack(vectors), captions


def config(head: str, *, pixels: bool = False) -> Clip4ClipConfig:
    options = open_backbone("mini-clip").options()
    made: Clip4ClipConfig = make_config(
        "clip4clip", {**options, "head": head, "max_words": WORDS, "max_frames": FRAMES}
    )
    return made if pixels else replace(made, video_frames={"clip/frame": made.dim})


def batch(tokens: ClipTokens, captions: list[str], rows: np.ndarray) -> Batch:
    column, _ = tokens.columns([captions[row] for row in rows])
    values, lengths = (torch.from_numpy(one) for one in column.take(np.arange(len(rows))))
    return Batch({}, {"clip-tokens": Sequences(values, lengths)})


def videos(vectors: Tensor) -> Batch:
    return Batch({}, {"clip/frame": Sequences(vectors, torch.full((len(vectors),), vectors.shape[1]))})


def train(head: str, vectors: Tensor, captions: list[str], tokens: ClipTokens) -> Clip4Clip:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    model = Clip4Clip(config(head))
    open_backbone("mini-clip").start(model)
    optimiser = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=1e-4)
    model.train()
    for _ in range(STEPS[head]):
        rows = rng.choice(len(captions), BATCH[head], replace=False)
        texts = model.embed_texts(batch(tokens, captions, rows))
        loss = model.loss(texts, model.embed_videos(videos(vectors[rows])), video_of=torch.arange(len(rows)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


@torch.no_grad()
def scores(model: Clip4Clip, vectors: Tensor, captions: list[str], tokens: ClipTokens) -> Tensor:
    return model.score(model.embed_texts(batch(tokens, captions, np.arange(TEST))), model.embed_videos(videos(vectors)))


def mrr(found: Tensor) -> float:
    ranks = 1 + (found > found.diagonal()[:, None]).sum(dim=1)
    return (1 / ranks).mean().item()


def main() -> None:
    (vectors, captions), (held_out, questions) = data(TRAIN, 1), data(TEST, 2)
    tokens = ClipTokens("clip-tokens", CLIP, max_words=WORDS)
    unit, held_out_unit = (torch.nn.functional.normalize(one, dim=2) for one in (vectors, held_out))
    lengths = held_out.norm(dim=2)
    result: dict[str, Any] = {
        "lengths of vectors": [lengths.min().item(), lengths.median().item(), lengths.max().item()],
        "shots": {"train": TRAIN, "test": TEST},
        "steps": STEPS,
        "batch": BATCH,
        "heads": {},
        "machine": platform.processor() or platform.machine(),
        "torch": torch.__version__,
    }
    for head in STEPS:
        model = train(head, vectors, captions, tokens)
        raw = scores(model, held_out, questions, tokens)
        cut = scores(model, held_out_unit, questions, tokens)
        own = scores(train(head, unit, captions, tokens), held_out_unit, questions, tokens)
        result["heads"][head] = {
            "largest difference of a score": (raw - cut).abs().max().item(),
            "standard deviation of scores": raw.std().item(),
            "rank correlation": float(np.mean([spearmanr(a, b).statistic for a, b in zip(raw, cut, strict=True)])),
            "same first video": (raw.argmax(dim=1) == cut.argmax(dim=1)).float().mean().item(),
            "MRR with vectors as trained": mrr(raw),
            "MRR with vectors of length 1": mrr(cut),
            "MRR trained and tested with length 1": mrr(own),
        }
        print(head, result["heads"][head], flush=True)
        RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
