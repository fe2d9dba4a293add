"""A feature store as the server asks it: by rows of the collection."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avs.core.errors import ConfigError, UnknownIdError
from avs.core.features import Features
from avs.core.ids import some
from avs.core.list_files import store_name
from avs.core.spec import EmbedderSpec
from avs.core.store import FeatureStore, Problem
from avs.serve.opened.shot_columns import ShotColumns

if TYPE_CHECKING:
    from avs.pipeline.search.system import System


class StoreView:
    """A store whose shots are rows of the collection. It is what avs.reranking.vectors reads from.

    Args:
        frame_score: "max" or "mean", of a frame-level store; None: "max".

    Attributes:
        name: of its system, as `avs search` names its lists.
        folder, spec, vectors, offsets: of the store.
        positions: (N,) int64 place of each shot of the collection in the store, -1: not there; None: its own row.
        texts: sentences can be searched; images: pictures may be, if its encoder sees images.

    Raises:
        ConfigError: it has shots that the collection lacks.
    """

    def __init__(self, store: Features, columns: ShotColumns, frame_score: str | None) -> None:
        from avs.features.embedder import has_text_side
        from avs.pipeline.search.system import System

        self.store, self.columns = store, columns
        self.name = store_name(store.folder)
        self.folder: Path = store.folder
        self.spec: EmbedderSpec = store.spec
        self.vectors: np.ndarray = store.vectors
        self.offsets: np.ndarray | None = store.offsets
        self.positions = None
        if store.ids == columns.ids:
            store.ids = columns.ids  # one copy of a million ids
        else:
            self.positions = self._places(store.ids)
        self.texts = has_text_side(store.spec)
        self.images = self.texts
        self.system: System = System(self.name, store, frame_score or "max")  # type: ignore[arg-type]

    def _places(self, ids: Sequence[str]) -> np.ndarray:
        rows = self.columns.known_rows(ids)
        unknown = np.flatnonzero(rows < 0)
        if len(unknown):
            raise ConfigError(
                f"{len(unknown)} shots of a store are not in the shot table",
                where=self.store.folder,
                got=some([ids[place] for place in unknown[:6].tolist()]),
                next_step="give the shot table that the store was made with: --shots",
            )
        places = np.full(len(self.columns), -1, dtype=np.int64)
        places[rows] = np.arange(len(ids))
        return places

    @cached_property
    def problems(self) -> list[Problem]:
        """Shots that are partial or failed; a BigFile does not tell."""
        return self.store.problems if isinstance(self.store, FeatureStore) else []

    @cached_property
    def problem_of(self) -> dict[str, Problem]:
        """Shot -> what is wrong with it."""
        return {problem.shot: problem for problem in self.problems}

    def has(self, rows: np.ndarray) -> np.ndarray:
        """(R,) bool: which of (R,) rows of the collection have a vector."""
        if self.positions is None:
            return np.ones(len(rows), dtype=bool)
        there: np.ndarray = self.positions[rows] >= 0
        return there

    def index(self, ids: Sequence[str]) -> np.ndarray:
        """(len(ids),) int64 places of shots in the store.

        Raises:
            UnknownIdError: a shot is not in the collection, or has no vector here.
        """
        rows = self.columns.rows(ids)
        places = rows if self.positions is None else self.positions[rows]
        lost = [shot for shot, place in zip(ids, places.tolist(), strict=True) if place < 0]
        if lost:
            reasons = [f"{shot} ({self.problem_of[shot].reason})" if shot in self.problem_of else shot for shot in lost]
            raise UnknownIdError("shots without a vector in the store", where=self.folder, got=some(reasons))
        return places
