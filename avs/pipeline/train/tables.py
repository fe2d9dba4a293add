"""What a recipe trains and validates on: collections opened and checked, features built, tables made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avs.core.artifacts import fingerprint_file
from avs.core.captions import CaptionSet
from avs.core.errors import ConfigError, DataError
from avs.core.features import open_stores
from avs.core.spec import EmbedderSpec
from avs.features.text import TextFeature
from avs.pipeline.train import validation
from avs.pipeline.train.collections import (
    Collection,
    open_collection,
    require_known_videos,
    store_table,
    video_features,
    video_table,
)
from avs.pipeline.train.recipe import FromAttention, TrainRecipe, ValidationRecipe
from avs.pipeline.train.texts import text_table
from avs.train.checkpoint import Checkpoint, read_checkpoint
from avs.train.data import FeatureTable, Pairs

HELD_OUT_SHARE = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """The collections of a recipe.

    Attributes:
        train: to train on.
        held: to validate on; None: judged topics.
        specs: of the video features, by name.
    """

    train: list[Collection]
    held: Collection | None
    specs: dict[str, EmbedderSpec]

    @property
    def all(self) -> list[Collection]:
        return [*self.train, *([self.held] if self.held else [])]

    @property
    def inputs(self) -> dict[str, str]:
        """Fingerprints of captions and features, for a manifest."""
        found = {}
        for collection in self.all:
            name = f"validation {collection.name}" if collection is self.held else collection.name
            found[f"{name} captions"] = collection.captions.fingerprint
            found |= {f"{name} {key}": collection.stores[key].manifest["fingerprint"] for key in self.specs}
        return found

    @property
    def paths(self) -> dict[str, Path]:
        """Where the features lie, by the names of `inputs`."""
        return {
            f"{'validation ' if collection is self.held else ''}{collection.name} {key}": collection.stores[key].folder
            for collection in self.all
            for key in self.specs
        }


def judged_inputs(recipe: ValidationRecipe) -> dict[str, str]:
    """Fingerprints of a judged collection to validate on, for a manifest; {} where captions are validated on."""
    if recipe.topics is None or recipe.qrels is None:
        return {}
    files = {"validation topics": recipe.topics, "validation qrels": recipe.qrels}
    stores = open_stores(recipe.features)
    found = {f"validation {name}": store.manifest["fingerprint"] for name, store in stores.items()}
    return found | {name: fingerprint_file(path) for name, path in files.items()}


def open_collections(recipe: TrainRecipe, start: Checkpoint | None, *, without: frozenset[str] = frozenset()) -> Opened:
    """Open what a recipe names.

    Args:
        without: videos that must not be trained on, since a later training is validated on them.

    Raises:
        AvsError: files that are missing or wrong; captions of unknown videos; collections, or the checkpoint to
            start from, whose features come from different encoders; videos both trained and validated on.
    """
    train = [open_collection(name, recipe.collections[name]) for name in recipe.trained_on()]
    train, held = _hold_out(recipe, train)
    train = _leave_out(train, without)
    wanted = recipe.video
    if isinstance(wanted, FromAttention):
        wanted = most_attended(wanted)
    if start and wanted is None:
        wanted = list(start.video_features)
    used = [*train, *([held] if held else [])]
    specs = video_features(used, wanted)
    for collection in used:
        require_known_videos(collection, list(specs), where=collection.name)
    if start:
        if set(specs) != set(start.video_features):
            raise ConfigError(
                "fine-tuning needs the features of the checkpoint, no more and no fewer",
                where=start.folder,
                got=", ".join(specs),
                wanted=", ".join(start.video_features),
            )
        start.require_specs(specs, where=", ".join(collection.name for collection in train))
    return Opened(train, held, specs)


def _hold_out(recipe: TrainRecipe, train: list[Collection]) -> tuple[list[Collection], Collection | None]:
    """The collections to train on, and the one to validate on."""
    chosen = recipe.validation
    if chosen.topics is not None:
        return train, None
    if chosen.collection is None:
        first = train[0]
        _, held = first.captions.split(chosen.share or HELD_OUT_SHARE, seed=recipe.training.seed)
        return _leave_out(train, frozenset(held.videos)), first.with_captions(held)
    collection = open_collection(chosen.collection, recipe.collections[chosen.collection])
    shared = {video for one in train for video in one.captions.videos} & set(collection.captions.videos)
    if shared:
        raise DataError(
            f"{len(shared)} videos are both trained and validated on",
            where=chosen.collection,
            got=", ".join(sorted(shared)[:5]),
            next_step="take them out of one of the two caption files",
        )
    return train, collection


def _leave_out(collections: list[Collection], videos: frozenset[str]) -> list[Collection]:
    """The collections without the captions of `videos`, wherever they stand.

    Raises:
        DataError: a collection has no others.
    """
    left = []
    for collection in collections:
        kept = [video for video in collection.captions.videos if video not in videos]
        if not kept:
            raise DataError("all videos of a collection are held out to validate on", where=collection.name)
        few = len(kept) < len(collection.captions.videos)
        left.append(collection.with_captions(collection.captions.of_videos(kept)) if few else collection)
    return left


def most_attended(chosen: FromAttention) -> list[str]:
    """The names of the video features a trained LAFF gives most attention to, in its own order.

    Raises:
        ConfigError: the model has no attention, or fewer features than are to be kept.
    """
    checkpoint = read_checkpoint(chosen.checkpoint)
    shares: Mapping[str, float] = checkpoint.attention.get("video", {})
    if len(shares) < chosen.keep:
        raise ConfigError(
            "cannot keep the most attended features",
            where=checkpoint.folder,
            got=f"{len(shares)} features with attention",
            wanted=f"at least {chosen.keep}",
        )
    best = sorted(shares, key=lambda name: shares[name], reverse=True)[: chosen.keep]
    return [name for name in shares if name in best]


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """What the loop is given.

    Attributes:
        pairs: to train on.
        held: to validate on.
        left_out: ids of captions of which no text feature knows a word, in neither.
    """

    pairs: Pairs
    held: validation.Held
    left_out: list[str]


def make_tables(recipe: TrainRecipe, opened: Opened, features: Sequence[TextFeature], *, cache: Path | None) -> Tables:
    """The features of all captions and videos."""
    captions = [collection.captions for collection in opened.train]
    starts = np.cumsum([0, *(len(one.videos) for one in captions)])
    video_of = np.concatenate([one.video_of + start for one, start in zip(captions, starts, strict=False)])
    ids = [caption for one in captions for caption in one.ids]
    sentences = [text for one in captions for text in one.texts]
    texts = text_table(features, sentences, video_of=video_of, cache=cache)
    known = np.flatnonzero(~texts.lacking)
    left_out = [ids[i] for i in np.flatnonzero(texts.lacking).tolist()]
    videos = video_table(opened.train, list(opened.specs))
    pairs = Pairs([ids[i] for i in known.tolist()], texts.select(known), videos, video_of[known])
    _require_frames(recipe, opened, videos)
    if opened.held is None:
        return Tables(pairs, _judged(recipe, opened, features, cache), left_out)
    held, also = _captioned(recipe, opened, opened.held, features, cache)
    return Tables(pairs, held, left_out + also)


def _require_frames(recipe: TrainRecipe, opened: Opened, videos: FeatureTable) -> None:
    """Check that every video has the frames without which dual encoding has nothing to read."""
    if recipe.architecture != "dual-encoding":
        return
    ids = [video for collection in opened.train for video in collection.captions.videos]
    for name, rows in videos.rows.items():
        lacking = [ids[i] for i in np.flatnonzero(rows < 0).tolist()]
        if lacking:
            raise DataError(
                f"{len(lacking)} videos have no {name}, which dual encoding cannot do without",
                got=", ".join(lacking[:8]) + (" ..." if len(lacking) > 8 else ""),
                next_step="extract their frames, or take their captions out",
            )


def _captioned(
    recipe: TrainRecipe, opened: Opened, held: Collection, features: Sequence[TextFeature], cache: Path | None
) -> tuple[validation.Held, list[str]]:
    captions = held.captions
    texts = text_table(features, captions.texts, cache=cache)
    left_out = [captions.ids[i] for i in np.flatnonzero(texts.lacking).tolist()]
    known = np.flatnonzero(~texts.lacking)
    if not len(known):
        raise DataError("the model knows no word of any caption to validate on", where=held.name)
    found = validation.Held(
        texts.select(known),
        video_table([held], list(opened.specs)),
        validation.by_captions(captions.video_of[known]),
        recipe.validation.measure,
        validation.said_of_captions(captions),
    )
    return found, left_out


def _judged(
    recipe: TrainRecipe, opened: Opened, features: Sequence[TextFeature], cache: Path | None
) -> validation.Held:
    from avs.trecvid.qrels import read_qrels
    from avs.trecvid.topics import read_topics

    chosen: Any = recipe.validation
    stores = open_stores(chosen.features)
    missing = [name for name in opened.specs if name not in stores]
    if missing:
        raise ConfigError(
            "the collection to validate on lacks features", got=", ".join(stores), wanted=", ".join(missing)
        )
    for name, spec in opened.specs.items():
        spec.require_same(stores[name].spec, where=str(stores[name].folder))
    used = {name: stores[name] for name in opened.specs}
    shots = list(dict.fromkeys(shot for store in used.values() for shot in store.ids))
    topics, qrels = read_topics([chosen.topics]), read_qrels(chosen.qrels)
    if not set(topics.ids) & set(qrels.ids):
        raise DataError("no topic to validate on is judged", where=chosen.qrels, got=", ".join(topics.ids[:5]))
    texts = text_table(features, [topic.text for topic in topics], cache=cache)
    require_known_words(texts, topics.ids, noun="topic")
    return validation.Held(
        texts,
        store_table(used, shots),
        validation.by_judgments(topics.ids, shots, qrels),
        "xinfAP",
        validation.said_of_judgments(chosen.topics, chosen.qrels),
    )


def require_known_words(texts: FeatureTable, ids: Sequence[str], *, noun: str) -> None:
    """Check that every text has a feature.

    Raises:
        DataError: of some texts the model knows no word; all are named.
    """
    unknown = [ids[i] for i in np.flatnonzero(texts.lacking).tolist()]
    if unknown:
        raise DataError(
            f"the model knows no word of {len(unknown)} {noun}s",
            got=", ".join(unknown[:8]) + (" ..." if len(unknown) > 8 else ""),
            wanted=f"a word known to one of {', '.join(texts.columns)}",
            next_step="train with a text feature that reads any word, such as an encoder's text tower",
        )


def captions_of(opened: Opened) -> list[str]:
    """The sentences to train on, of which vocabularies are made."""
    captions: list[CaptionSet] = [collection.captions for collection in opened.train]
    return [text for one in captions for text in one.texts]
