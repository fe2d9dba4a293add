"""LAFF on the folds, trained with `avs train-laff`: CLIP features of images, and bag of words of captions.

A recipe of configs/train/ is trained on the 800 images of a fold. It holds out a share of them to choose the epoch. The
checkpoint then searches the 200 test images, which it has never seen.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from folds import Images

from avs.captions.ruc import write_captions
from avs.core.artifacts import Manifest
from avs.core.features import open_stores
from avs.core.ids import format_shot_id
from avs.core.spec import EmbedderSpec
from avs.core.store_writer import FeatureWriter, ShotFeatures
from avs.features.text import text_feature_from_json
from avs.metrics.text_to_video import RetrievalScores, rank_videos
from avs.models.retrieval import RetrievalModel
from avs.pipeline.train.collections import store_table
from avs.pipeline.train.texts import text_table
from avs.train.checkpoint import read_checkpoint
from avs.train.data import FeatureTable
from avs.train.embed import similarities

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "train"
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
SPEC = EmbedderSpec(
    "clip-vit-b32", "unknown", 512, 224, MEAN, STD, "shortest-edge-crop", "bicubic", "quick_gelu", "projection", True
)


@dataclass(frozen=True, slots=True)
class System:
    """A way to train LAFF.

    Attributes:
        name: name in tables.
        config: file name of the recipe in configs/train/.
        options: options of `avs train-laff` that override the recipe.
        weights: checkpoint to search with, "best" or "average".
    """

    name: str
    config: str
    options: tuple[str, ...] = ()
    weights: str = "best"


def write_store(images: Images, folder: Path) -> Path:
    """Write the images as a shot-level feature store, unless it exists."""
    if not (folder / "manifest.json").is_file():
        manifest = Manifest("feature-store", {"level": "shot"}, spec=SPEC.to_json())
        writer = FeatureWriter(folder, manifest, dtype="float32")
        ids = [format_shot_id(name, 1) for name in images.captions.videos]
        for shot, feature in zip(ids, images.features, strict=True):
            writer.add(ShotFeatures(shot, feature[None], np.zeros(1)))
        writer.commit(ids)
    return folder


def train(system: System, captions: Path, store: Path, out: Path) -> Path:
    """Train, unless that is done, and return the checkpoint."""
    recipe = ["--config", str(CONFIGS / system.config), "--captions", str(captions), "--store", str(store)]
    command = [sys.executable, "-m", "avs", "train-laff", *recipe, *system.options, "-o", str(out), "--quiet"]
    subprocess.run(command, check=True)
    return out / system.weights


def evaluate(checkpoint: Path, store: Path, test: Images) -> RetrievalScores:
    """Scores of searching the test images with their first captions; without a known word, an image is ranked last."""
    trained = read_checkpoint(checkpoint)
    queries = test.queries()
    texts = text_table([text_feature_from_json(data) for data in trained.text_features], queries.texts)
    videos = store_table(open_stores([store]), queries.videos)
    scores = answers(trained.load_model(), texts, videos)
    return RetrievalScores.of(rank_videos(scores, queries.video_of, ties="pessimistic"))


def answers(model: RetrievalModel, texts: FeatureTable, videos: FeatureTable) -> np.ndarray:
    """(T, V) scores; a text without any feature gives every image the same score."""
    scores = np.zeros((len(texts), len(videos)), dtype=np.float32)
    known = np.flatnonzero(~texts.lacking)
    scores[known] = similarities(model, texts.select(known), videos)
    return scores


def fold_scores(system: System, number: int, train_images: Images, test: Images, work: Path) -> RetrievalScores:
    """Scores of a system on a fold; its models and files are written to `work`."""
    store = work / "images"
    captions = work / f"fold{number}.txt"
    if not captions.is_file():
        write_captions(train_images.captions, captions)
    out = work / system.name.replace(" ", "-").replace(",", "") / f"fold{number}"
    return evaluate(train(system, captions, store, out), store, test)
