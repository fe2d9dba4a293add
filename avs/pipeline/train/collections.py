"""Captioned collections with their features or videos, and the tables of features that a model is trained on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import numpy as np

from avs.captions.read import read_caption_file
from avs.core.captions import Caption, CaptionSet
from avs.core.columns import ChainColumn, Column, SequenceColumn, VectorColumn
from avs.core.errors import Attempts, ConfigError, Problems, SpecMismatchError, UnknownIdError
from avs.core.features import Features, open_stores
from avs.core.ids import some
from avs.core.progress import Reporter
from avs.core.spec import EmbedderSpec
from avs.pipeline.frame_cache import ShotVideos, find_shot_videos
from avs.pipeline.train.collection_recipe import CollectionRecipe
from avs.train.data import FeatureTable
from avs.video.find import video_id

FRAMES = "frames"  # where a collection gives videos, what its captions must have


class Indexed(Protocol):
    """What has something of each of N shots: a store, or videos with a shot table."""

    @property
    def ids(self) -> Sequence[str]:
        """N shot ids."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class CaptionedCollection:
    """Captions, and feature name -> store of the videos they describe.

    Attributes:
        remark: one line, if the caption file is a known part of a collection without its published counts.
        videos: instead of stores, the videos themselves.
    """

    name: str
    captions: CaptionSet
    stores: Mapping[str, Features]
    remark: str | None = None
    videos: ShotVideos | None = None

    @property
    def sources(self) -> Mapping[str, Indexed]:
        """Feature name -> what has it."""
        return self.stores if self.videos is None else {FRAMES: self.videos}

    def with_captions(self, captions: CaptionSet) -> CaptionedCollection:
        """The same collection with other captions."""
        return replace(self, captions=captions)


def open_collection(name: str, recipe: CollectionRecipe, reporter: Reporter | None = None) -> CaptionedCollection:
    """A collection of a recipe.

    Args:
        reporter: of the hashing of videos.

    Raises:
        UnknownIdError: captions describe videos that no store holds, or that are not in the shot table.
        AvsError: captions, stores or videos that cannot be opened; all of them at once.
    """
    wrong = Attempts(f"the collection {name} cannot be used")
    read = partial(read_caption_file, format=recipe.format, split=recipe.split, per_video=recipe.captions_per_video)
    file = wrong.attempt(partial(read, recipe.captions, name=name))
    stores, videos = wrong.attempt(partial(open_stores, recipe.features)), None
    if recipe.videos and recipe.shots:
        find = partial(find_shot_videos, recipe.videos, recipe.shots, video_ids=recipe.video_ids, reporter=reporter)
        videos = wrong.attempt(find)
    wrong.raise_if_any()
    assert file is not None and stores is not None
    captions = with_ids_of([videos] if videos else stores.values(), file.captions)
    collection = CaptionedCollection(name, captions, stores, file.remark, videos)
    require_known_videos(collection, list(collection.sources), where=recipe.captions)
    return collection


def remarks_of(collections: Sequence[CaptionedCollection]) -> list[str]:
    """What there is to say about the caption files of collections, each line once."""
    return list(dict.fromkeys(one.remark for one in collections if one.remark))


def with_ids_of(sources: Iterable[Indexed], captions: CaptionSet) -> CaptionSet:
    """The captions with the sources' names of their videos, so that a video has one name.

    A caption may name a video that was indexed as one shot: video7010 for shotvideo7010_1, and a@b for the id that
    `avs.video.find.video_id` makes of this name.
    """
    names = dict(zip(captions.videos, captions.videos, strict=True))
    for source in sources:
        for video, place in zip(captions.videos, positions(source, captions.videos).tolist(), strict=True):
            if place >= 0:
                names[video] = source.ids[place]
    if all(video == name for video, name in names.items()):
        return captions
    return CaptionSet(captions.name, (Caption(c.id, names[c.video], c.text) for c in captions))


def require_known_videos(collection: CaptionedCollection, features: Sequence[str], *, where: object) -> None:
    """Check that every captioned video has at least one of `features`.

    Raises:
        UnknownIdError: some have none; the first are named.
    """
    videos = collection.captions.videos
    known = np.any([positions(collection.sources[name], videos) >= 0 for name in features], axis=0)
    unknown = [videos[i] for i in np.flatnonzero(~known)]
    if unknown:
        place, step = (
            ("in no store", "extract the features of") if collection.stores else ("not in the shot table", "add")
        )
        raise UnknownIdError(
            f"{len(unknown)} of {len(videos)} captioned videos are {place}",
            where=where,
            got=some(unknown),
            wanted=f"ids such as {next(iter(collection.sources.values())).ids[0]}",
            next_step=f"{step} these videos, or remove their captions",
        )


def positions(source: Indexed, videos: Sequence[str]) -> np.ndarray:
    """(V,) int64 position of each video in the source, -1 if it is not there. Names are read as with_ids_of does."""
    at = {shot: place for place, shot in enumerate(source.ids)}

    def place(video: str) -> int:
        if video in at:
            return at[video]
        encoded = video_id(video)
        alone = f"shot{encoded}_1"
        return at[alone] if alone in at and f"shot{encoded}_2" not in at else -1

    return np.fromiter((place(video) for video in videos), np.int64, len(videos))


def video_features(collections: Sequence[CaptionedCollection], wanted: Sequence[str] | None) -> dict[str, EmbedderSpec]:
    """Feature name -> spec of the features to train on, which every collection must have from the same encoder.

    Args:
        wanted: names of features; None: all that the first collection has.

    Raises:
        ConfigError: a collection lacks one.
        SpecMismatchError: different encoders made the feature of two collections.
    """
    names = list(wanted) if wanted is not None else list(collections[0].stores)
    problems = Problems("video features")
    for collection in {id(one.stores): one for one in collections}.values():  # a held-out part has the same stores
        for name in names:
            if name not in collection.stores:
                problems.add(collection.name, f"no store of {name}; it has {', '.join(collection.stores)}")
    problems.raise_if_any(ConfigError)
    first = collections[0]
    for collection in collections[1:]:
        for name in names:
            _require_same(name, first, collection)
    return {name: first.stores[name].spec for name in names}


def _require_same(name: str, one: CaptionedCollection, other: CaptionedCollection) -> None:
    try:
        one.stores[name].spec.require_same(other.stores[name].spec, where=str(other.stores[name].folder))
    except SpecMismatchError as error:
        raise SpecMismatchError(
            f"the feature {name} of {other.name} is not that of {one.name}: {error.what}",
            where=error.where,
            got=error.got,
            wanted=error.wanted,
            next_step="extract both collections' features with the same weights",
        ) from error


def video_table(collections: Sequence[CaptionedCollection], names: Sequence[str]) -> FeatureTable:
    """The features of the captioned videos of several collections, one collection after another."""
    columns: dict[str, Column] = {}
    rows: dict[str, np.ndarray] = {}
    for name in names:
        parts = [_column(collection.stores[name]) for collection in collections]
        starts = np.cumsum([0, *(len(part) for part in parts)])
        places = [positions(collection.stores[name], collection.captions.videos) for collection in collections]
        shifted = [np.where(p >= 0, p + start, -1) for p, start in zip(places, starts.tolist(), strict=False)]
        columns[name] = parts[0] if len(parts) == 1 else ChainColumn(tuple(parts))
        rows[name] = np.concatenate(shifted)
    return FeatureTable(columns, rows)


def store_table(stores: Mapping[str, Features], ids: Sequence[str]) -> FeatureTable:
    """The features of shots by their ids."""
    columns = {name: _column(store) for name, store in stores.items()}
    return FeatureTable(columns, {name: positions(store, ids) for name, store in stores.items()})


def _column(store: Features) -> Column:
    if store.offsets is None:
        return VectorColumn(store.vectors)
    return SequenceColumn(store.vectors, store.offsets)
