"""What each of X-CLIP's four similarities is worth on the mini collection.

    OMP_NUM_THREADS=1 python benchmarks/mini_xclip_grains.py --work /tmp/mini-pixels

The script goes on from what benchmarks/mini_pixel_models.py leaves in --work: the X-CLIPs trained on 12,000 shots, and
the test collections. It ranks all shots of a test collection by each similarity alone, by their sum, and by the sum
without each. The result is mean average precision with every shot judged, over all topics and over those about motion.
"""

from __future__ import annotations

import argparse
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mini_pixel_models import SEEDS, TEACHER
from torch import Tensor

from avs.core.artifacts import atomic_write
from avs.core.store import FeatureStore
from avs.features.text.clip_tokens import ClipTokens
from avs.models.batch import Batch, Sequences
from avs.train.checkpoint import read_checkpoint
from avs.trecvid.qrels import read_qrels
from avs.trecvid.topics import read_topics

GRAINS = ("sentence and video", "words and video", "sentence and frames", "words and frames")


def texts_of(sentences: list[str], clip: Path, config: Any) -> Batch:
    """The tokens of sentences, padded with zeros."""
    tokens, _ = ClipTokens("clip-tokens", clip, max_words=config.max_words).columns(sentences)
    values, lengths = tokens.take(np.arange(len(sentences)))
    return Batch(sequences={config.text_name: Sequences(torch.as_tensor(values), torch.as_tensor(lengths))})


def videos_of(store: FeatureStore, config: Any) -> Batch:
    frames = torch.as_tensor(np.stack([store.frames(shot) for shot in store.ids]).astype(np.float32))
    lengths = torch.full((len(frames),), frames.shape[1])
    return Batch(sequences={config.video_name: Sequences(frames, lengths)})


@torch.inference_mode()
def similarities(work: Path, seed: int, sentences: list[str], store: FeatureStore) -> dict[str, Tensor]:
    """Name -> (T, B) similarities of sentences and shots."""
    checkpoint = read_checkpoint(work / "models" / f"{TEACHER}-12000-{seed}")
    model: Any = checkpoint.load_model()
    model.eval()
    texts = model.embed_texts(texts_of(sentences, work / "clip", model.config))
    alone = dict(
        zip(GRAINS, model.similarity.grains(texts, model.embed_videos(videos_of(store, model.config))), strict=True)
    )
    whole = torch.stack(list(alone.values())).sum(dim=0)
    return {**alone, "all": whole, **{f"all but {name}": whole - values for name, values in alone.items()}}


def average_precision(scores: np.ndarray, relevant: np.ndarray) -> float:
    hits = relevant[np.argsort(-scores, kind="stable")]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())


def score(work: Path, seed: int) -> dict[str, Any]:
    home = work / f"test{seed}"
    topics = read_topics([home / "topics/mini.avs.topics.txt"])
    judged = read_qrels(home / "qrels/avs.qrels.mini.full").topics
    tags = json.loads((home / "topics/mini.topics.json").read_text(encoding="utf-8"))
    store = FeatureStore(home / "features/clip/frame")
    relevant = {t.id: np.isin(store.ids, np.array(judged[t.id].shots)[judged[t.id].judgments > 0]) for t in topics}
    found = {}
    for name, values in similarities(work, seed, [topic.text for topic in topics], store).items():
        precision = {
            t.id: average_precision(row, relevant[t.id]) for t, row in zip(topics, values.numpy(), strict=True)
        }
        motion = [value for topic, value in precision.items() if "motion" in tags[topic]]
        found[name] = {
            "all topics": round(float(np.mean(list(precision.values()))), 4),
            "motion topics": round(float(np.mean(motion)), 4),
            "standard deviation": round(float(values.std()), 4),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, default=Path("benchmarks/results/mini_xclip_grains.json"))
    options = parser.parse_args()
    result = {
        "versions": {name: version(name) for name in ("avs", "torch", "numpy")},
        "seeds": {seed: score(options.work, seed) for seed in SEEDS},
    }
    print(json.dumps(result, indent=1))
    with atomic_write(options.out) as file:
        json.dump(result, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
