"""Class names as queries: a text feature that some texts lack, from CLIP's text vectors of the classes of LVIS.

    python benchmarks/flickr8k/class_names.py --work flickr8k

The data have no CLIP text vectors of the captions, but of 1,203 class names. A caption gets the normalised sum of the
vectors of the classes that it mentions, and lacks the feature if it mentions none; a class name gets its own vector.
LAFF is trained on this feature and on bag of words. Every head sees the CLIP features of texts and images themselves,
as in the authors' work. In each fold the queries are the classes that at least AT_LEAST test images show; an image
shows a class if one of its captions mentions it.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from folds import DATA, Images, read_images, split
from laff import answers

from avs.core.captions import CaptionSet
from avs.core.columns import VectorColumn
from avs.features.text.bag_of_words import BagOfWords
from avs.features.words import Vocabulary, tokenise
from avs.metrics.text_to_video import RetrievalScores, rank_videos
from avs.models.architectures.laff import LaffConfig
from avs.models.laff import LaffModel
from avs.pipeline.train.validation import by_captions
from avs.train.data import FeatureTable, Pairs
from avs.train.embed import similarities
from avs.train.loop import TrainingLoop
from avs.train.settings import Settings

RESULTS = Path(__file__).resolve().parents[1] / "results" / "flickr8k_class_names.json"
CLIP = "clip"
AT_LEAST = 3
EPOCHS = 10


@dataclass(frozen=True)
class Classes:
    """Classes of LVIS.

    Attributes:
        names: as in a query, such as "traffic light".
        synonyms: of each class, including its name.
        vectors: (C, 512) float32 of length 1: CLIP's text vectors of "a <name>".
    """

    names: tuple[str, ...]
    synonyms: tuple[tuple[str, ...], ...]
    vectors: np.ndarray

    @cached_property
    def class_of(self) -> dict[tuple[str, ...], int]:
        """Phrase, as words -> class; in the singular and with s or es."""
        return {
            tuple(tokenise(word + ending)): number
            for number, words in enumerate(self.synonyms)
            for word in words
            for ending in ("", "s", "es")
        }

    def mentioned(self, text: str) -> list[int]:
        """The classes that a text mentions, the longest phrase counting at each place."""
        words, classes, place = tokenise(text), [], 0
        while place < len(words):
            phrases = [tuple(words[place : place + length]) for length in (4, 3, 2, 1)]
            known = next((phrase for phrase in phrases if phrase in self.class_of), None)
            if known:
                classes.append(self.class_of[known])
            place += len(known) if known else 1
        return sorted(set(classes))


def read_classes(folder: Path = DATA / "lvis_clip_text") -> Classes:
    """The classes whose name alone is clear; orange_(fruit) is not among them."""
    rows = json.loads((folder / "lvis_v1_train_cat_info.json").read_text())
    vectors = np.load(folder / "lvis_v1_clip_a+cname.npy").astype(np.float32)
    kept = [place for place, row in enumerate(rows) if "(" not in row["name"]]
    chosen = vectors[kept] / np.linalg.norm(vectors[kept], axis=1, keepdims=True)
    names = tuple(rows[place]["name"].replace("_", " ") for place in kept)
    return Classes(names, tuple(_synonyms(rows[place]) for place in kept), chosen)


def _synonyms(row: dict) -> tuple[str, ...]:
    words = {row["name"], *(word for word in row["synonyms"] if "(" not in word)}
    return tuple(re.sub(r"[_-]", " ", word.lower()) for word in sorted(words))


class Mixed:
    """LAFF over bag of words and CLIP's text vectors of the mentioned classes."""

    def __init__(self, classes: Classes, train: Images, folder: Path) -> None:
        self.classes = classes
        self.words = BagOfWords("bow", Vocabulary.build(train.captions.texts, threshold=5, remove_stop_words=True))
        kept, held = train.captions.split(0.1, seed=2)
        held_videos = image_table(train.of(numbers(train, held)))
        texts = self.texts(held.texts)
        known = np.flatnonzero(~texts.lacking)
        held_texts, judge = texts.select(known), by_captions(held.video_of[known])
        config = LaffConfig(video={CLIP: 512}, text={"bow": self.words.dim, CLIP: 512}, no_transform=(CLIP,))
        torch.manual_seed(2)
        self.model = LaffModel(config)
        trainer = TrainingLoop(
            self.model,
            self._pairs(train.of(numbers(train, kept))),
            lambda model: judge(similarities(model, held_texts, held_videos)),
            measure="MRR",
            settings=Settings(epochs=EPOCHS, average_last=0),
            folder=folder,
            fingerprint=train.captions.fingerprint,
        )
        trained = trainer.run()
        trainer.clean()
        self.model.load_state_dict(trained.best)
        self.model.eval()

    def _pairs(self, images: Images) -> Pairs:
        texts = self.texts(images.captions.texts)
        known = np.flatnonzero(~texts.lacking)
        ids = [images.captions.ids[number] for number in known.tolist()]
        return Pairs(ids, texts.select(known), image_table(images), images.captions.video_of[known])

    def texts(self, texts: Sequence[str]) -> FeatureTable:
        """Both features of texts."""
        words, known = self.words.columns(texts)
        mentioned = [self.classes.mentioned(text) for text in texts]
        sums = np.stack([self.classes.vectors[names].sum(0) for names in mentioned])
        lengths = np.linalg.norm(sums, axis=1)
        vectors = sums / np.maximum(lengths, 1e-12)[:, None]
        everyone = np.arange(len(texts))
        has_words = everyone if known is None else np.where(known, everyone, -1)
        columns = {"bow": words, CLIP: VectorColumn(vectors)}
        return FeatureTable(columns, {"bow": has_words, CLIP: np.where(lengths > 0, everyone, -1)})


def numbers(images: Images, chosen: CaptionSet) -> np.ndarray:
    """The numbers of the images that have captions in `chosen`, ascending."""
    return np.flatnonzero(np.isin(images.captions.videos, chosen.videos))


def image_table(images: Images) -> FeatureTable:
    return FeatureTable({CLIP: VectorColumn(images.features)}, {CLIP: np.arange(len(images.features))})


def without(table: FeatureTable, name: str) -> FeatureTable:
    """The same texts without a feature."""
    return FeatureTable(table.columns, {**table.rows, name: np.full(len(table), -1)})


def shown(classes: Classes, images: Images) -> np.ndarray:
    """(C, N) bool: which images have a caption that mentions a class."""
    labels = np.zeros((len(classes.names), len(images.features)), dtype=bool)
    for image, text in zip(images.captions.video_of.tolist(), images.captions.texts, strict=True):
        labels[classes.mentioned(text), image] = True
    return labels


def average_precision(scores: np.ndarray, relevant: np.ndarray) -> float:
    """The average precision of one query over all images."""
    hits = relevant[np.argsort(-scores, kind="stable")]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())


def caption_recalls(mixed: Mixed, test: Images) -> list[float]:
    """R@1, R@5 and R@10 of the queries of the study."""
    queries = test.queries()
    scores = answers(mixed.model, mixed.texts(queries.texts), image_table(test))
    recalls = RetrievalScores.of(rank_videos(scores, queries.video_of, ties="pessimistic"))
    return [recalls.recall_at_1, recalls.recall_at_5, recalls.recall_at_10]


def class_precision(mixed: Mixed, test: Images) -> dict[str, list[float]]:
    """Kind of query -> average precision of every class that enough images show."""
    classes, videos = mixed.classes, image_table(test)
    relevant = shown(classes, test)
    asked = np.flatnonzero(relevant.sum(1) >= AT_LEAST)
    texts = mixed.texts([classes.names[number] for number in asked.tolist()])
    ways = {
        "CLIP's text vector alone, no training": classes.vectors[asked] @ test.features.T,
        "LAFF, both features": answers(mixed.model, texts, videos),
        "LAFF, CLIP's text vector": answers(mixed.model, without(texts, "bow"), videos),
        "LAFF, bag of words": answers(mixed.model, without(texts, CLIP), videos),
    }
    return {
        way: [average_precision(row, relevant[number]) for row, number in zip(scores, asked, strict=True)]
        for way, scores in ways.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--work", type=Path, required=True, help="folder for features, captions and models")
    args = parser.parse_args()
    classes, images = read_classes(args.data / "lvis_clip_text"), read_images(args.data / "flickr8k_clip")
    dog = classes.names.index("dog")
    dog_ap = average_precision(images.features @ classes.vectors[dog], shown(classes, images)[dog])
    lacking = np.mean([not classes.mentioned(text) for text in images.captions.texts])
    print(f"dog among all images: AP {dog_ap:.3f}; {lacking:.0%} of the captions mention no class")
    precisions, recalls = [], []
    for number, (train, test) in enumerate(split(images), start=1):
        mixed = Mixed(classes, train, args.work / f"class-names-{number}")
        precisions.append(class_precision(mixed, test))
        recalls.append(caption_recalls(mixed, test))
        print(f"fold {number}: " + ", ".join(f"{way} {np.mean(values):.3f}" for way, values in precisions[-1].items()))
    ways = {way: [float(np.mean(fold[way])) for fold in precisions] for way in precisions[0]}
    queries = [len(next(iter(fold.values()))) for fold in precisions]
    result = {
        "dog_ap": dog_ap,
        "captions_without_a_class": float(lacking),
        "classes_asked": queries,
        "mean_ap": ways,
        "caption_recalls": dict(zip(("R@1", "R@5", "R@10"), zip(*recalls, strict=True), strict=True)),
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    for name, recalls in {**ways, **result["caption_recalls"]}.items():
        print(f"{name:<40} {np.mean(recalls):.3f} ± {np.std(recalls, ddof=1):.3f}")


if __name__ == "__main__":
    main()
