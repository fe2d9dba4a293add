"""The frames that a model is trained on: grids in time of the captioned videos, and what it takes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avs.core.device import available_cores
from avs.core.errors import ChangedInputsError, DataError
from avs.core.failures import require_few_failures
from avs.core.ids import some
from avs.core.progress import Reporter
from avs.pipeline.chosen_frames import sampling_of
from avs.pipeline.frame_cache import ShotVideos, make_frame_cache
from avs.pipeline.train.collection_recipe import FramesRecipe
from avs.pipeline.train.collections import CaptionedCollection, positions
from avs.train.data import FeatureTable
from avs.train.frame_choice import FrameChoice
from avs.train.frame_column import ChainedGrids, FrameColumn
from avs.video.frame_cache import CacheSettings, FrameCache
from avs.video.frame_grids import VideoGrids

Grids = FrameCache | VideoGrids
CACHES = ".frames"  # folder of the caches, where a recipe names no other


@dataclass(frozen=True, slots=True, eq=False)
class FrameFeature:
    """The frames of videos as a feature.

    Attributes:
        name: of the feature.
        choice: which frames of a grid a caption sees.
        fps: frames a second of the grids.
        seed: of what is drawn.
        grids: of the videos of each collection.
    """

    name: str
    choice: FrameChoice
    fps: float
    seed: int
    grids: Mapping[ShotVideos, Grids]

    def table(self, parts: Sequence[tuple[ShotVideos, Sequence[str]]]) -> FeatureTable:
        """The frames of some videos of several collections, one collection after another."""
        opened = [self.grids[source] for source, _ in parts]
        starts = np.cumsum([0, *(len(grids.ids) for grids in opened)]).tolist()
        places = [positions(grids, videos) for grids, (_, videos) in zip(opened, parts, strict=True)]
        rows = np.concatenate([place + start for place, start in zip(places, starts, strict=False)])
        column = FrameColumn(ChainedGrids(tuple(opened)), self.choice, self.seed, available_cores())
        return FeatureTable({self.name: column}, {self.name: rows})

    @property
    def sampling(self) -> dict[str, Any]:
        """What a test sees, as a checkpoint records it."""
        return sampling_of(self.fps, self.choice.in_test)


def open_grids(
    sources: Mapping[str, ShotVideos], recipe: FramesRecipe, size: int, folder: Path, reporter: Reporter
) -> dict[ShotVideos, Grids]:
    """The grids of the videos of collections: frame caches, made where there are none, or the videos themselves.

    Args:
        sources: name of a collection -> its videos. Collections with the same videos and shots share a cache.
        size: height and width of the pictures.
        folder: of the caches.

    Raises:
        AvsError: as make_frame_cache; with `cache: none`, too many shots without a video.
    """
    settings = recipe.settings(size)
    found: dict[ShotVideos, Grids] = {}
    known: dict[tuple[str, ...], Grids] = {}
    for name, source in sources.items():
        content = tuple(source.inputs.values())
        if content not in known and recipe.cache == "none":
            known[content] = _undecoded(name, source, settings, recipe.max_failed)
        elif content not in known:
            known[content] = _cached(name, source, settings, recipe.max_failed, folder, reporter)
        found[source] = known[content]
    return found


def _cached(
    name: str, source: ShotVideos, settings: CacheSettings, max_failed: float, folder: Path, reporter: Reporter
) -> FrameCache:
    place = folder / f"{name}-{settings.fps:g}fps-{settings.size}px-q{settings.quality}"
    try:
        return make_frame_cache(source, place, settings, max_failed=max_failed, reporter=reporter)
    except ChangedInputsError as error:
        raise ChangedInputsError(
            "a frame cache of other videos, or one that was changed, is in the way",
            where=place,
            got=error.got,
            next_step="delete it, or name another folder in the recipe: frames: {cache: FOLDER}",
        ) from error


def _undecoded(name: str, source: ShotVideos, settings: CacheSettings, max_failed: float) -> VideoGrids:
    grids = VideoGrids(source.table, source.paths, settings)
    require_few_failures(
        {shot: "its video has no file" for shot in grids.missing},
        len(source.table),
        max_failed,
        what=f"shots of {name} failed",
        where=source.videos,
        next_step="put the videos there, or allow it with a max_failed of",
    )
    return grids


def with_frames_alone(
    collection: CaptionedCollection, grids: Mapping[ShotVideos, Grids], reporter: Reporter
) -> CaptionedCollection:
    """The collection without the captions of videos that have no frame; says how many these are, and which.

    Raises:
        DataError: no captioned video has a frame.
    """
    assert collection.videos is not None
    captions = collection.captions
    places = positions(grids[collection.videos], captions.videos)
    if (places >= 0).all():
        return collection
    kept = [captions.videos[i] for i in np.flatnonzero(places >= 0)]
    lost = [captions.videos[i] for i in np.flatnonzero(places < 0)]
    if not kept:
        raise DataError("no captioned video has a frame", where=collection.name, got=some(lost))
    left = captions.of_videos(kept)
    reporter.say(
        f"{collection.name}: left out {len(captions) - len(left)} captions of {len(lost)} videos without a frame: "
        f"{some(lost)}"
    )
    return collection.with_captions(left)
