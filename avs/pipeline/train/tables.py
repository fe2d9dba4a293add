"""What a recipe trains and validates on: its collections are opened and checked, then their feature tables made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from avs.core.artifacts import fingerprint_content
from avs.core.contents import content_fingerprint
from avs.core.errors import Attempts, ConfigError, DataError, FormatError
from avs.core.features import open_stores
from avs.core.ids import parse_shot_id, some
from avs.core.progress import Reporter
from avs.core.spec import EmbedderSpec
from avs.features.text import TextFeature
from avs.models.architectures import architectures
from avs.pipeline.frame_cache import ShotVideos, find_shot_videos
from avs.pipeline.train.collections import (
    CaptionedCollection,
    open_collection,
    require_known_videos,
    store_table,
    video_features,
    video_table,
)
from avs.pipeline.train.frames import FrameFeature, with_frames_alone
from avs.pipeline.train.recipe import FromAttention, TrainRecipe, ValidationRecipe
from avs.pipeline.train.texts import text_table
from avs.pipeline.train.validation import (
    ValidationSet,
    by_captions,
    by_judgments,
    describe_captions,
    describe_judgments,
)
from avs.train.checkpoint import Checkpoint, read_checkpoint
from avs.train.data import FeatureTable, Pairs
from avs.train.neighbours import neighbours

HELD_OUT_SHARE = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """The collections of a recipe, opened.

    Attributes:
        train: collections to train on.
        held_out: collection to validate on; None: judged topics.
        specs: video feature -> its spec; empty where frames are read.
        judged: videos of the judged topics, where frames are read.
        frames: the frames, once they are opened.
    """

    train: list[CaptionedCollection]
    held_out: CaptionedCollection | None
    specs: dict[str, EmbedderSpec]
    judged: ShotVideos | None = None
    frames: FrameFeature | None = None

    @property
    def all(self) -> list[CaptionedCollection]:
        """The collections to train on, and the one to validate on."""
        return [*self.train, *([self.held_out] if self.held_out else [])]

    @property
    def videos(self) -> dict[str, ShotVideos]:
        """Name -> videos of the collections whose frames are read, each once."""
        named = {collection.name: collection.videos for collection in self.all if collection.videos}
        return {**named, **({"judged-validation": self.judged} if self.judged else {})}

    def with_frames(self, frames: FrameFeature, reporter: Reporter) -> TrainingData:
        """The same with the frames, and without captions of videos that have none."""

        def kept(collection: CaptionedCollection) -> CaptionedCollection:
            return with_frames_alone(collection, frames.grids, reporter)

        held_out = kept(self.held_out) if self.held_out else None
        return replace(self, train=[kept(one) for one in self.train], held_out=held_out, frames=frames)

    def table(self, collections: Sequence[CaptionedCollection]) -> FeatureTable:
        """The features of the captioned videos of collections."""
        if self.frames is None:
            return video_table(collections, list(self.specs))
        return self.frames.table([(one.videos, one.captions.videos) for one in collections if one.videos])

    @property
    def inputs(self) -> dict[str, str]:
        """Fingerprints of captions, features and videos, for a manifest."""
        fingerprints = {}
        for collection in self.all:
            name = self._label(collection)
            fingerprints[f"{name} captions"] = collection.captions.fingerprint
            fingerprints |= {
                f"{name} {key}": content_fingerprint(collection.stores[key].manifest) for key in self.specs
            }
        for name, source in self.videos.items():
            fingerprints |= {f"{name} {key}": fingerprint for key, fingerprint in source.inputs.items()}
        return fingerprints

    @property
    def paths(self) -> dict[str, Path]:
        """Places of the features and videos, by the names of `inputs`."""
        stores = {
            f"{self._label(collection)} {key}": collection.stores[key].folder
            for collection in self.all
            for key in self.specs
        }
        videos = self.videos.items()
        return stores | {f"{name} {key}": place for name, source in videos for key, place in source.places.items()}

    @property
    def sentences(self) -> list[str]:
        """The captions to train on, from which vocabularies are made."""
        return [text for collection in self.train for text in collection.captions.texts]

    def _label(self, collection: CaptionedCollection) -> str:
        return f"validation {collection.name}" if collection is self.held_out else collection.name


def judged_inputs(recipe: ValidationRecipe) -> dict[str, str]:
    """Fingerprints of a judged collection to validate on, for a manifest; {} where captions are validated on."""
    if recipe.topics is None or recipe.qrels is None:
        return {}
    files = {"validation topics": recipe.topics, "validation qrels": recipe.qrels}
    stores = open_stores(recipe.features)
    fingerprints = {f"validation {name}": content_fingerprint(store.manifest) for name, store in stores.items()}
    return fingerprints | {name: fingerprint_content(path) for name, path in files.items()}


def open_data(
    recipe: TrainRecipe,
    start: Checkpoint | None,
    *,
    without: frozenset[str] = frozenset(),
    reporter: Reporter | None = None,
) -> TrainingData:
    """Open and check the collections of a recipe. Frames of videos are not opened here, since that may take long.

    Args:
        without: videos that must not be trained on, because a later training is validated on them.
        reporter: of the hashing of videos.

    Raises:
        AvsError: files that are missing or wrong; captions of unknown videos; collections, or the checkpoint to
            start from, whose features come from different encoders; videos both trained and validated on.
    """
    train, tested = _open_collections(recipe, reporter)
    train, held_out = _hold_out(recipe, train, tested)
    train = _leave_out(train, without)
    if recipe.reads_videos:
        return TrainingData(train, held_out, {}, _judged_videos(recipe.validation, reporter))
    wanted = recipe.video
    if isinstance(wanted, FromAttention):
        wanted = most_attended(wanted)
    if start and wanted is None:
        wanted = list(start.video_features)
    data = TrainingData(train, held_out, {})
    specs = video_features(data.all, wanted)
    for collection in data.all:
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
    return replace(data, specs=specs)


def _judged_videos(recipe: ValidationRecipe, reporter: Reporter | None) -> ShotVideos | None:
    """The videos of judged topics; None where captions are validated on."""
    if recipe.videos is None or recipe.shots is None:
        return None
    return find_shot_videos(recipe.videos, recipe.shots, video_ids=recipe.video_ids, reporter=reporter)


def _open_collections(
    recipe: TrainRecipe, reporter: Reporter | None
) -> tuple[list[CaptionedCollection], CaptionedCollection | None]:
    """The collections to train on, and the one to validate on if the recipe names one; all errors at once."""
    wrong, tested = Attempts("collections that cannot be used"), recipe.validation.collection
    names = [*recipe.trained_on(), *([tested] if tested else [])]
    found = [wrong.attempt(partial(open_collection, name, recipe.collections[name], reporter)) for name in names]
    wrong.raise_if_any()
    opened = [collection for collection in found if collection is not None]
    return (opened[:-1], opened[-1]) if tested else (opened, None)


def _hold_out(
    recipe: TrainRecipe, train: list[CaptionedCollection], collection: CaptionedCollection | None
) -> tuple[list[CaptionedCollection], CaptionedCollection | None]:
    """The collections to train on, and the one to validate on."""
    chosen = recipe.validation
    if chosen.topics is not None:
        return train, None
    if collection is None:
        first = train[0]
        _, captions = first.captions.split(chosen.share or HELD_OUT_SHARE, seed=recipe.training.seed)
        return _leave_out(train, frozenset(captions.videos)), first.with_captions(captions)
    shared = {video for one in train for video in one.captions.videos} & set(collection.captions.videos)
    if shared:
        raise DataError(
            f"{len(shared)} videos are both trained and validated on",
            where=collection.name,
            got=some(sorted(shared)),
            next_step="take them out of one of the two caption files",
        )
    return train, collection


def _leave_out(collections: list[CaptionedCollection], videos: frozenset[str]) -> list[CaptionedCollection]:
    """The collections without the captions of `videos`.

    Raises:
        DataError: a collection has no other videos.
    """
    remaining = []
    for collection in collections:
        kept = [video for video in collection.captions.videos if video not in videos]
        if not kept:
            raise DataError("all videos of a collection are held out to validate on", where=collection.name)
        few = len(kept) < len(collection.captions.videos)
        remaining.append(collection.with_captions(collection.captions.of_videos(kept)) if few else collection)
    return remaining


def most_attended(chosen: FromAttention) -> list[str]:
    """The names of the video features to which a trained model gives most attention, in the model's order.

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
    """The features of everything that a training reads.

    Attributes:
        pairs: captions and videos to train on.
        validation: what to validate on.
        left_out: ids of captions without a word that a text feature knows; neither of the two contains them.
    """

    pairs: Pairs
    validation: ValidationSet
    left_out: list[str]


def make_tables(
    recipe: TrainRecipe, data: TrainingData, features: Sequence[TextFeature], *, cache: Path | None, positives: int = 1
) -> Tables:
    """The features of all captions and videos.

    Args:
        positives: at most this number of captions in a row are those of a clip, see avs.train.neighbours.

    Raises:
        DataError: a video without a feature that the model needs; topics or captions of which it knows no word.
    """
    captions = [collection.captions for collection in data.train]
    starts = np.cumsum([0, *(len(one.videos) for one in captions)])
    video_of = np.concatenate([one.video_of + start for one, start in zip(captions, starts, strict=False)])
    ids = [caption for one in captions for caption in one.ids]
    texts = text_table(features, data.sentences, video_of=video_of, cache=cache)
    known = np.flatnonzero(~texts.lacking)
    left_out = [ids[i] for i in np.flatnonzero(texts.lacking).tolist()]
    videos = data.table(data.train)
    pairs = Pairs([ids[i] for i in known.tolist()], texts.select(known), videos, video_of[known])
    if positives > 1:
        pairs = replace(pairs, neighbours=_neighbours(data, pairs.video_of, positives))
    if architectures.get(recipe.architecture).every_feature(recipe.model):
        _require_every_feature(recipe.architecture, data, videos)
    if data.held_out is None:
        return Tables(pairs, _judged(recipe, data, features, cache), left_out)
    validation, unknown = _captioned(recipe, data, data.held_out, features, cache)
    return Tables(pairs, validation, left_out + unknown)


def require_neighbours(data: TrainingData) -> None:
    """Check that captions follow each other: that some describe several shots of one video.

    Raises:
        ConfigError: none do.
    """
    shots = [shot for collection in data.train for shot in _shots(collection)]
    if len({video for video, _ in shots}) == len(shots):
        names = data.train[0].captions.videos
        raise ConfigError(
            "no captions follow each other, so a clip has no more positives than its own",
            where=", ".join(collection.name for collection in data.train),
            got=f"captions of {some(names)}",
            wanted="captions of several shots of a video, as `avs import-narrations` makes them",
            next_step="leave `positives` out, or name shots in the captions; of a model with `positives`, fine-tune "
            "the CLIP: --backbone MODEL/best/backbone",
        )


def _neighbours(data: TrainingData, video_of: np.ndarray, positives: int) -> np.ndarray:
    """(N, K) numbers of the captions around each caption, in the order of the shots of its video."""
    shots = [(f"{number} {video}", at) for number, one in enumerate(data.train) for video, at in _shots(one)]
    chosen = [shots[place] for place in video_of.tolist()]
    return neighbours([video for video, _ in chosen], np.array([at for _, at in chosen], dtype=np.int64), positives)


def _shots(collection: CaptionedCollection) -> list[tuple[str, int]]:
    """Video and number of every captioned shot; a name that is no shot id is a video by itself."""
    found: list[tuple[str, int]] = []
    for name in collection.captions.videos:
        try:
            found.append(parse_shot_id(name))
        except FormatError:
            found.append((name, 1))
    return found


def _require_every_feature(architecture: str, data: TrainingData, videos: FeatureTable) -> None:
    """Check that no training video lacks a feature.

    Raises:
        DataError: some do; the first are named.
    """
    ids = [video for collection in data.train for video in collection.captions.videos]
    for name, rows in videos.rows.items():
        lacking = [ids[i] for i in np.flatnonzero(rows < 0).tolist()]
        if lacking:
            raise DataError(
                f"{len(lacking)} videos have no {name}, which {architecture} needs",
                got=some(lacking),
                next_step="extract it for these videos, or take their captions out",
            )


def _captioned(
    recipe: TrainRecipe,
    data: TrainingData,
    held_out: CaptionedCollection,
    features: Sequence[TextFeature],
    cache: Path | None,
) -> tuple[ValidationSet, list[str]]:
    """Held-out captions to validate on, and the ids of those without a known word."""
    captions = held_out.captions
    texts = text_table(features, captions.texts, cache=cache)
    left_out = [captions.ids[i] for i in np.flatnonzero(texts.lacking).tolist()]
    known = np.flatnonzero(~texts.lacking)
    if not len(known):
        raise DataError("the model knows no word of any caption to validate on", where=held_out.name)
    validation = ValidationSet(
        texts.select(known),
        data.table([held_out]),
        by_captions(captions.video_of[known]),
        recipe.validation.measure,
        describe_captions(captions),
    )
    return validation, left_out


def _judged(
    recipe: TrainRecipe, data: TrainingData, features: Sequence[TextFeature], cache: Path | None
) -> ValidationSet:
    """Judged topics to validate on."""
    from avs.trecvid.qrels import read_qrels
    from avs.trecvid.topics import read_topics

    chosen: Any = recipe.validation
    shots, videos = _judged_shots(chosen, data)
    topics, qrels = read_topics([chosen.topics]), read_qrels(chosen.qrels)
    if not set(topics.ids) & set(qrels.ids):
        raise DataError("no topic to validate on is judged", where=chosen.qrels, got=some(topics.ids))
    texts = text_table(features, [topic.text for topic in topics], cache=cache)
    require_known_words(texts, topics.ids, noun="topic")
    return ValidationSet(
        texts,
        videos,
        by_judgments(topics.ids, shots, qrels),
        "xinfAP",
        describe_judgments(chosen.topics, chosen.qrels),
    )


def _judged_shots(recipe: ValidationRecipe, data: TrainingData) -> tuple[list[str], FeatureTable]:
    """Ids and features of the shots that are validated on by judgments."""
    if data.frames is not None and data.judged is not None:
        shots = list(data.frames.grids[data.judged].ids)
        return shots, data.frames.table([(data.judged, shots)])
    stores = open_stores(recipe.features)
    missing = [name for name in data.specs if name not in stores]
    if missing:
        raise ConfigError(
            "the collection to validate on lacks features", got=", ".join(stores), wanted=", ".join(missing)
        )
    for name, spec in data.specs.items():
        spec.require_same(stores[name].spec, where=str(stores[name].folder))
    used = {name: stores[name] for name in data.specs}
    shots = list(dict.fromkeys(shot for store in used.values() for shot in store.ids))
    return shots, store_table(used, shots)


def require_known_words(texts: FeatureTable, ids: Sequence[str], *, noun: str) -> None:
    """Check that every text has a feature.

    Raises:
        DataError: the model knows no word of some texts; the first are named.
    """
    unknown = [ids[i] for i in np.flatnonzero(texts.lacking).tolist()]
    if unknown:
        raise DataError(
            f"the model knows no word of {len(unknown)} {noun}s",
            got=some(unknown),
            wanted=f"a word known to one of {', '.join(texts.columns)}",
            next_step="train with a text feature that reads any word, such as an encoder's text tower",
        )
