"""A text tower that knows its words: the CLIP of the demo, whose texts do not show the words for motions.

Its vectors of "a red car moving to the right" and "... to the left" have the cosine 0.999: it was trained on single
frames, which show no motion. A linear reader is therefore trained to tell from the vector of a caption which words and
pairs of neighbouring words it has, with the text tower, while the vectors stay near what they were:

    loss = 0.1 * (sum over words of the binary cross entropy) + 2 * (1 - cosine with the old vector)

Nothing but captions is needed. Images, and the vectors of frames, stay as they are.
"""

from __future__ import annotations

import json
import math
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

import avs.demo
from avs.core.artifacts import atomic_write
from avs.demo.captions import caption
from avs.demo.collection import sample_collection, scenes_by_shot
from avs.demo.scenes import COLOURS, KINDS
from avs.features.text.clip_tokens import ClipTokens
from avs.models.architectures import make_config
from avs.models.batch import Batch, Sequences
from avs.models.clip4clip import Clip4Clip
from avs.pipeline.train.backbone import open_backbone, save_backbone

CLIP = Path(avs.demo.__file__).parent / "encoders" / "clip"
CAPTIONS, LEAST, WORDS = 20_000, 100, 24  # captions to learn from; occurrences of a word or pair; tokens of a text
STEPS, BATCH, WARM_UP = 300, 256, 15
TOWER_RATE, READER_RATE, SHARPNESS = 2e-3, 1e-2, 10.0


def teach_words(folder: Path, *, seed: int) -> dict[str, Any]:
    """Write a CLIP whose text tower knows its words into `folder`, if it is not there.

    Returns:
        What its texts do before and after.
    """
    report = folder / "words.json"
    if not report.is_file():
        torch.manual_seed(seed)
        scenes = scenes_by_shot(sample_collection(shots=CAPTIONS // 5, seed=seed, split="train")).values()
        rng = np.random.default_rng([3, seed])  # other captions than those of the collection
        texts = [caption(scene, rng) for scene in scenes for _ in range(5)]
        backbone = open_backbone("mini-clip")
        model = Clip4Clip(make_config("clip4clip", {**backbone.options(), "freeze": -1}))
        backbone.start(model)
        before = _direction_cosine(model)
        last = _train(model, texts, rng)
        save_backbone(model, CLIP, folder)
        for path in (folder / "backbone").iterdir():
            shutil.move(path, folder / path.name)
        (folder / "backbone").rmdir()
        found = {"cosine of right and left": {"before": before, "after": _direction_cosine(model)}, **last}
        with atomic_write(report) as file:
            json.dump(found, file)
    learned: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return learned


def _train(model: Clip4Clip, texts: list[str], rng: np.random.Generator) -> dict[str, float]:
    tokens = ClipTokens("clip-tokens", CLIP, max_words=WORDS)
    wanted, vocabulary = _words_of(texts)
    with torch.no_grad():
        old = torch.cat([_vectors(model, tokens, texts[i : i + 500]) for i in range(0, len(texts), 500)])
    reader = torch.nn.Linear(old.shape[1], len(vocabulary))
    clip = model.backbone.clip
    tower = [*clip.text_model.parameters(), *clip.text_projection.parameters()]
    groups = [{"params": tower, "peak": TOWER_RATE}, {"params": reader.parameters(), "peak": READER_RATE}]
    optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.01)
    for step in range(1, STEPS + 1):
        for group in optimiser.param_groups:
            rise = min(1, step / WARM_UP)
            group["lr"] = group["peak"] * rise * 0.5 * (1 + math.cos(math.pi * step / STEPS))
        rows = rng.integers(0, len(texts), BATCH)
        vectors = _vectors(model, tokens, [texts[row] for row in rows])
        read = F.binary_cross_entropy_with_logits(reader(SHARPNESS * vectors), wanted[rows], reduction="sum") / BATCH
        near = (vectors * old[rows]).sum(dim=1).mean()
        optimiser.zero_grad()
        torch.autograd.backward(0.1 * read + 2 * (1 - near))
        torch.nn.utils.clip_grad_norm_(tower, 1.0)
        optimiser.step()
    return {"words and pairs": len(vocabulary), "cross entropy": read.item(), "cosine with the old vector": near.item()}


def _words_of(texts: list[str]) -> tuple[Tensor, dict[object, int]]:
    """(N, V) 1 where a text has a word or a pair of neighbouring words, and the column of each."""
    found = [_words_and_pairs(text) for text in texts]
    counts = Counter(item for items in found for item in items)
    column = {item: place for place, item in enumerate(item for item, count in counts.items() if count >= LEAST)}
    wanted = torch.zeros(len(texts), len(column))
    for row, items in enumerate(found):
        wanted[row, [column[item] for item in items if item in column]] = 1
    return wanted, column


def _words_and_pairs(text: str) -> list[object]:
    words = text.replace(",", "").split()
    return list(dict.fromkeys([*words, *zip(words, words[1:], strict=False)]))


def _vectors(model: Clip4Clip, tokens: ClipTokens, texts: Iterable[str]) -> Tensor:
    """(N, D) unit vectors."""
    column, _ = tokens.columns(list(texts))
    values, lengths = (torch.from_numpy(one) for one in column.take(np.arange(len(column))))
    return model.embed_texts(Batch({}, {"clip-tokens": Sequences(values, lengths)}))


@torch.no_grad()
def _direction_cosine(model: Clip4Clip) -> float:
    """Mean cosine of a thing that moves to the right and the same thing that moves to the left."""
    tokens = ClipTokens("clip-tokens", CLIP, max_words=WORDS)
    things = [f"a {colour} {kind}" for colour in COLOURS for kind in KINDS]
    right, left = (
        _vectors(model, tokens, [f"{one} moving to the {way}" for one in things]) for way in ("right", "left")
    )
    return float((right * left).sum(dim=1).mean())
