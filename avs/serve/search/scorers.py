"""A question as scorers of a search: a query vector for every part and store, and the texts for every model.

A sentence alone gives the very vector that `avs search` multiplies with. What a part should not look like is added with
its negative weight; a shot or a picture is its vector in the store.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from avs.core.errors import AvsError, DataError, UnknownIdError
from avs.core.spec import EmbedderSpec
from avs.core.topic import Topic, TopicSet
from avs.ranking.blocks import Block, BlockSource
from avs.ranking.cosine import CosineScorer, SingleQuery, single_of
from avs.ranking.score import Scorer, may_split
from avs.reranking.vectors import shot_vectors
from avs.serve.opened.collection import Collection
from avs.serve.opened.embedded import EmbeddedScorer
from avs.serve.opened.store_view import StoreView
from avs.serve.refusal import Refusal
from avs.serve.shapes import QueryPart

if TYPE_CHECKING:
    from torch import Tensor

CACHED_TEXTS = 512
Picture = Callable[[str], np.ndarray]
"""Id of an upload -> its (H, W, 3) uint8 RGB."""
MoveQuery = Callable[[StoreView, np.ndarray], np.ndarray]
"""Store and (D,) query -> the query after feedback."""


@dataclass(frozen=True, slots=True)
class Term:
    """What a part looks like, or with a negative weight should not look like."""

    weight: float
    text: str | None = None
    shot: str | None = None
    image: str | None = None


@dataclass(slots=True, eq=False)
class Asked:
    """The scorers of a question, one for each system that can answer it.

    Attributes:
        scorers: name -> scorer of (P, shots) scores, a row for every part.
        warnings: why a system was left out, or what it does not see.
    """

    scorers: dict[str, Scorer] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def terms_of(part: QueryPart) -> list[Term]:
    """The terms of a part, the wanted one first."""
    minus = [Term(one.weight, one.text, one.shot) for one in part.minus]
    return [Term(1.0, part.text, part.shot, part.image), *minus]


class QueryVectors:
    """Query vectors of terms; those of texts are kept.

    Args:
        picture: gives the uploads.
    """

    def __init__(self, collection: Collection, picture: Picture) -> None:
        self.collection, self.picture = collection, picture
        self._texts: OrderedDict[tuple[EmbedderSpec, str], np.ndarray] = OrderedDict()

    def text(self, spec: EmbedderSpec, text: str) -> np.ndarray:
        """(D,) vector of a sentence."""
        key = (spec, text)
        if key not in self._texts:
            self._texts[key] = self.collection.searcher.encode(spec, [text])[0]
            if len(self._texts) > CACHED_TEXTS:
                self._texts.popitem(last=False)
        self._texts.move_to_end(key)
        return self._texts[key]

    def image(self, view: StoreView, upload: str) -> np.ndarray:
        """(D,) vector of a picture, of length 1."""
        import torch

        encoder: Any = self.collection.searcher.encoder(view.spec)
        images = encoder.preprocess(self.picture(upload)[None])
        with torch.inference_mode():
            vectors = np.asarray(encoder.encode_images(images), dtype=np.float32)
        return _unit(vectors.reshape(-1, vectors.shape[-1]).mean(axis=0))

    def of(self, view: StoreView, terms: Sequence[Term]) -> np.ndarray:
        """(D,) float32 vector of the terms of a part.

        Raises:
            Refusal: the store cannot be searched with a term.
            UnknownIdError: a shot has no vector there.
        """
        vectors = [self._term(view, term) for term in terms]
        if len(vectors) == 1:
            return vectors[0]
        total = sum(term.weight * vector.astype(np.float64) for term, vector in zip(terms, vectors, strict=True))
        return np.asarray(total, dtype=np.float32)

    def _term(self, view: StoreView, term: Term) -> np.ndarray:
        if term.text is not None:
            if not view.texts:
                raise Refusal(422, "its encoder does not encode texts", where=view.name)
            return self.text(view.spec, term.text)
        if term.image is not None:
            if not view.images:
                raise Refusal(422, "its encoder does not see pictures", where=view.name)
            return self.image(view, term.image)
        assert term.shot is not None  # a term has one of the three
        vector: np.ndarray = shot_vectors(view, [term.shot])[0]
        return vector


def ask(
    collection: Collection,
    vectors: QueryVectors,
    parts: Sequence[QueryPart],
    systems: Sequence[str],
    *,
    moved: MoveQuery | None = None,
) -> Asked:
    """The scorers of the systems that can answer.

    Args:
        moved: store and (D,) query -> the query after feedback.

    Raises:
        UnknownIdError: a shot that the collection does not have.
        AvsError: no system can answer; the first reason.
    """
    asked, refused = Asked(), []
    each = [terms_of(part) for part in parts]
    for shot in (term.shot for terms in each for term in terms if term.shot is not None):
        collection.columns.row(shot)
    for name in systems:
        try:
            if name in collection.stores:
                asked.scorers[name] = _store_scorer(collection, vectors, collection.stores[name], each, moved)
            else:
                asked.scorers[name] = _model_scorer(collection, name, each, asked.warnings)
        except (Refusal, UnknownIdError, DataError) as error:
            refused.append(error)
            asked.warnings.append(f"{name} left out: {_in_words(error)}")
    if not asked.scorers and refused:
        raise refused[0]
    return asked


def _in_words(error: AvsError) -> str:
    return error.what if error.got is None else f"{error.what} ({error.got})"


def _store_scorer(
    collection: Collection,
    vectors: QueryVectors,
    view: StoreView,
    parts: Sequence[Sequence[Term]],
    moved: MoveQuery | None,
) -> CosineScorer:
    queries = np.stack([vectors.of(view, terms) for terms in parts])
    if moved is not None:
        queries = np.stack([moved(view, query) for query in queries])
    return CosineScorer(
        view.name,
        queries,
        topics=[f"part-{number}" for number in range(1, len(parts) + 1)],
        store=view.store,
        feature=next(iter(collection.searcher.features_of(view.system))),
        query_spec=view.spec,
        frame_score=view.system.frame_score,
    )


def _model_scorer(collection: Collection, name: str, parts: Sequence[Sequence[Term]], warnings: list[str]) -> Scorer:
    from avs.train.checkpoint import Checkpoint

    if any(term.text is None for terms in parts for term in terms):
        raise Refusal(422, "a trained model is asked with sentences alone", where=name)
    searcher = collection.searcher
    checkpoint = searcher.systems[name].source
    assert isinstance(checkpoint, Checkpoint)
    texts = [term.text or "" for terms in parts for term in terms]
    topics = TopicSet(Topic(str(number), text) for number, text in enumerate(texts, start=1))
    unknown = searcher.model(checkpoint).unknown_words(texts, topics.ids, noun="part")
    warnings += [f"{name}: {line}" for line in unknown]
    exact = searcher.model_scorer(name, checkpoint, topics, texts, quiet=True)
    kept = collection.embedded.get(name)
    scorer: Scorer = exact if kept is None else EmbeddedScorer(exact, kept.feature)
    if all(len(terms) == 1 for terms in parts):
        return scorer
    weights = np.zeros((len(parts), len(texts)), dtype=np.float32)
    column = 0
    for row, terms in enumerate(parts):
        for term in terms:
            weights[row, column] = term.weight
            column += 1
    return WeighedScorer(scorer, weights)


class WeighedScorer:
    """Weighed sums of the scores of texts. A Scorer.

    Args:
        inner: scorer of T texts.
        weights: (P, T) of each text in each part.
    """

    def __init__(self, inner: Scorer, weights: np.ndarray) -> None:
        self.inner, self.weights = inner, weights
        self.name, self.features = inner.name, inner.features

    @property
    def in_threads(self) -> bool:
        """As the inner scorer."""
        return may_split(self.inner)

    @property
    def exact(self) -> Scorer:
        """The same sums of the exact scores of an embedded model."""
        assert isinstance(self.inner, EmbeddedScorer)
        return WeighedScorer(self.inner.exact, self.weights)

    @property
    def fingerprint(self) -> str:
        """That of the inner scorer with the weights."""
        return f"{self.inner.fingerprint} {self.weights.tolist()}"

    def score(self, block: Block) -> tuple[Tensor, np.ndarray | None]:
        """(P, shots) scores, and which shots of the block those are; None: all."""
        import torch

        scores, present = self.inner.score(block)
        return torch.from_numpy(self.weights).to(scores) @ scores, present


class AmongScorer:
    """The scores of some shots alone. A Scorer.

    Args:
        allowed: (S,) bool, of the shots of the source.
    """

    def __init__(self, inner: Scorer, allowed: np.ndarray) -> None:
        self.inner, self.allowed = inner, allowed
        self.name, self.features = inner.name, inner.features

    @property
    def in_threads(self) -> bool:
        """As the inner scorer."""
        return may_split(self.inner)

    @property
    def fingerprint(self) -> str:
        """That of the inner scorer with the shots."""
        return f"{self.inner.fingerprint} {self.allowed.tobytes().hex()}"

    @property
    def single(self) -> SingleQuery | None:
        """The query of the inner scorer, if it has one, among these shots."""
        inner = single_of(self.inner)
        if inner is None:
            return None
        return SingleQuery(inner.scorer, self.allowed if inner.allowed is None else inner.allowed & self.allowed)

    def score(self, block: Block) -> tuple[Tensor, np.ndarray | None]:
        """The (P, shots) scores of those shots of a block that are allowed, and which those are."""
        import torch

        scores, present = self.inner.score(block)
        wanted = self.allowed[block.first : block.first + block.count]
        if present is None:
            return scores[:, torch.from_numpy(wanted).to(scores.device)], wanted
        return scores[:, torch.from_numpy(wanted[present]).to(scores.device)], present & wanted


@dataclass(frozen=True, slots=True, eq=False)
class ChosenRows:
    """The rows of some shots of a store, as a source of blocks.

    Attributes:
        ids, vectors, offsets: as avs.ranking.blocks.Rows.
    """

    ids: tuple[str, ...]
    vectors: np.ndarray
    offsets: np.ndarray | None


def source_of(collection: Collection, views: Mapping[str, StoreView], shots: Sequence[str]) -> BlockSource:
    """The blocks of a few shots. Only their rows are read.

    Args:
        views: name of a feature -> its store.
    """
    from avs.core.columns import row_positions

    rows = collection.columns.rows(shots)
    chosen: dict[str, ChosenRows] = {}
    for name, view in views.items():
        there = view.has(rows)
        ids = tuple(shot for shot, held in zip(shots, there.tolist(), strict=True) if held)
        places = view.index(ids)
        if view.offsets is None:
            chosen[name] = ChosenRows(ids, np.ascontiguousarray(view.vectors[places]), None)
        else:
            wanted, counts = row_positions(view.offsets, places)
            offsets = np.concatenate([[0], np.cumsum(counts)])
            chosen[name] = ChosenRows(ids, np.ascontiguousarray(view.vectors[wanted]), offsets)
    searcher = collection.searcher
    return BlockSource(chosen, device=searcher.device, dtype=searcher.dtype)


def _unit(vector: np.ndarray) -> np.ndarray:
    length = float(np.linalg.norm(vector))
    if not np.isfinite(length) or length == 0:
        raise DataError("the vector of a query is zero or not finite", got=f"length {length}")
    unit: np.ndarray = (vector / length).astype(np.float32)
    return unit
