"""What a question needs: the systems that answer at once, those that score only the head of the list, and the fuser."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from avs.core.ids import some
from avs.core.ranking import MAX_RESULTS
from avs.core.topic import Topic
from avs.serve.journal.marks import MarkBook, MarkSet
from avs.serve.opened.collection import Collection
from avs.serve.refusal import Refusal
from avs.serve.shapes import Query

if TYPE_CHECKING:
    from avs.fusion.fuser import Fuser

AVERAGE, RRF, WEIGHTED = "average", "rrf", "weighted"
FREE = "query"  # the topic of a question that belongs to none


@dataclass(frozen=True, slots=True, eq=False)
class SearchPlan:
    """A question that can be answered.

    Attributes:
        query: as it was asked.
        topic: its topic, or FREE.
        whole: systems that score all shots; with `later` ones and none here, the stores that choose candidates.
        later: models that score the first shots of the list of `whole` alone.
        left_out: models that a question in time cannot use.
        listed: ranked lists in files.
        only_candidates: the systems of `whole` choose candidates, and are not in the final list.
        fused: name of the way to fuse.
        marks: of the feedback.
        hidden: kind of shots that the filter hides -> the shots.
        depth: length of the list of each system.
        key: what decides the list as ranked, before shots are hidden, folded and cut.
        list_key: what decides the list as shown.
        everywhere: the same question without a filter of videos, where its list is measured too.
    """

    query: Query
    topic: str
    whole: tuple[str, ...]
    later: tuple[str, ...]
    left_out: tuple[str, ...]
    listed: tuple[str, ...]
    only_candidates: bool
    fused: str
    marks: MarkSet | None
    hidden: dict[str, set[str]]
    depth: int
    key: str
    list_key: str
    everywhere: SearchPlan | None = None

    @property
    def in_time(self) -> bool:
        """Whether its parts follow each other in time."""
        return len(self.query.parts) > 1


def plan_search(query: Query, collection: Collection, book: MarkBook) -> SearchPlan:
    """How a question is answered.

    Raises:
        Refusal: a system, fuser, topic, mark set or video that is not there; what does not go together.
    """
    limits = collection.options.limits
    if query.k > limits.k or len(query.parts) > limits.parts:
        raise Refusal(
            422, "more than this server answers", got=f"k {query.k}, {len(query.parts)} parts",
            wanted=f"k at most {limits.k}, {limits.parts} parts",
        )  # fmt: skip
    for text in (part.text or "" for part in query.parts):
        if len(text) > limits.text_characters:
            raise Refusal(422, "the sentence is too long", got=len(text), wanted=f"at most {limits.text_characters}")
    by, fused = _systems(query, collection)
    _check(query, collection, by)
    listed = tuple(name for name in by if name in collection.lists)
    later = tuple(name for name in by if name in collection.models and not collection.whole(name))
    whole = tuple(name for name in by if name not in (*listed, *later))
    left_out: tuple[str, ...] = ()
    if len(query.parts) > 1 and later:  # the parts must be scored for all shots
        later, left_out = (), later
        if not whole:
            raise Refusal(
                422, "a question of several parts in time needs a system that scores the whole collection",
                got=", ".join(left_out), wanted=some(_stores(collection)),
            )  # fmt: skip
    only_candidates = bool(later) and not whole
    if only_candidates:
        whole = _stores(collection)
    marks = _mark_set(query, book)
    hidden = book.hidden(query.topic or FREE, query.filter.hide)
    depth = max(query.k, MAX_RESULTS, collection.options.rescore if later else 0)
    if len(by) == 1:  # of one list so many more that it is full; of several they would change the fused order
        depth += sum(map(len, hidden.values()))
    key = _digest(
        collection.fingerprint,
        [part.model_dump() for part in query.parts], query.topic, by, fused, query.weights, query.within_s, depth,
        sorted(query.filter.videos), sorted(query.filter.not_videos), query.feedback,
        query.filter.words, sorted(query.filter.kinds),
        collection.fusers[fused].fingerprint if fused in collection.fusers else None,  # it may have come later
    )  # fmt: skip
    shown = {kind: sorted(shots) for kind, shots in hidden.items()}
    list_key = _digest(key, query.k, query.group, query.duplicates, shown)
    return SearchPlan(
        query, query.topic or FREE, whole, later, left_out, listed, only_candidates, fused, marks, hidden, depth, key,
        list_key, _everywhere(query, collection, book),
    )  # fmt: skip


def _everywhere(query: Query, collection: Collection, book: MarkBook) -> SearchPlan | None:
    """The plan of all shots, if the filter chooses some and the topic is judged: measures are of the whole list."""
    if not query.filter.chooses or collection.evaluator is None or query.topic not in collection.evaluator.topics:
        return None
    wider = query.filter.model_copy(update={"videos": [], "not_videos": [], "words": "", "kinds": []})
    return plan_search(query.model_copy(update={"filter": wider}), collection, book)


def fuser_of(plan: SearchPlan, collection: Collection) -> tuple[Fuser, int]:
    """The fuser of a plan, and how deep the lists are that it fuses."""
    from avs.fusion import methods  # noqa: F401  (it registers them)
    from avs.fusion.methods.method import unlearned
    from avs.fusion.normalize import Scale
    from avs.fusion.pool import DEFAULT_DEPTH

    if plan.fused in collection.fusers:
        served = collection.fusers[plan.fused]
        return served.fuser, served.depth
    weights = plan.query.weights if plan.fused == WEIGHTED else {}
    return unlearned(plan.fused, Scale(), weights), max(DEFAULT_DEPTH, plan.depth)


def _stores(collection: Collection) -> tuple[str, ...]:
    """The stores that can be asked with a sentence."""
    return tuple(name for name, view in collection.stores.items() if view.texts) or tuple(collection.stores)


def _systems(query: Query, collection: Collection) -> tuple[list[str], str]:
    """The systems to ask, each once, and the way to fuse them."""
    by = list(dict.fromkeys(query.by))
    collection.require_names(by)
    if query.fuse in collection.fusers:
        needed = collection.fusers[query.fuse].lists
        lost = [name for name in needed if name not in collection.ranking_names]
        if lost:
            raise Refusal(
                409, "the fuser needs systems that are not opened", where=query.fuse, got=", ".join(lost),
                next_step="open them: --store, --checkpoint, under the names they had when it was fitted",
            )  # fmt: skip
        if by and set(by) != set(needed):
            raise Refusal(
                422, "the fuser was fitted for other systems", where=query.fuse, got=", ".join(by),
                wanted=", ".join(needed), next_step="leave `by` out",
            )  # fmt: skip
        return list(needed), query.fuse
    if query.fuse not in (AVERAGE, RRF, WEIGHTED):
        raise Refusal(
            404, "no such fuser", got=repr(query.fuse[:80]),
            wanted=", ".join([AVERAGE, RRF, WEIGHTED, *collection.fusers]),
        )  # fmt: skip
    by = by or list(_stores(collection))
    _require_weights(query, by)
    return by, query.fuse


def _require_weights(query: Query, by: list[str]) -> None:
    """Check that a weighted sum has a weight of every system, and that no other way to fuse has any."""
    if query.fuse != WEIGHTED:
        if query.weights:
            raise Refusal(422, "weights are for fuse weighted", where="weights", got=query.fuse)
        return
    if set(query.weights) != set(by) or not any(query.weights.values()):
        raise Refusal(
            422, "a weighted sum needs a weight of every system, and one above 0", where="weights",
            got=", ".join(query.weights)[:200] or "none", wanted=", ".join(by),
        )  # fmt: skip


def _check(query: Query, collection: Collection, by: list[str]) -> None:
    """Refuse what does not go together."""
    files = [name for name in by if name in collection.lists]
    if not query.parts and len(files) < len(by):
        raise Refusal(422, "a question needs a part", where="parts", next_step="give a sentence, a shot or a picture")
    if files and query.topic is None:
        raise Refusal(422, "a ranked list is of topics", where=files[0], next_step="give the topic")
    for video in (*query.filter.videos, *query.filter.not_videos):
        collection.columns.rows_of(video)
    _check_texts(query, collection)
    if files:
        _require_own_words(query, collection, files[0])
    if len(query.parts) > 1:
        wrong = {
            "times": collection.columns.without_times() and "give the shot table: --shots",
            "feedback": query.feedback is not None and "leave the feedback out, or ask one part",
            f"fuse {query.fuse}": query.fuse != AVERAGE and "parts in time are fused by average",
        }
        for what, next_step in wrong.items():
            if next_step:
                raise Refusal(422, f"a question of several parts in time does not go: {what}", next_step=next_step)


def _require_own_words(query: Query, collection: Collection, name: str) -> None:
    """Refuse a ranked list in a file that is asked for anything else than its topic: it was made before."""
    if query.feedback is not None:
        asked, got = "marks", "feedback"
    elif query.parts and not is_sentence_of(query, collection.topic(query.topic)):
        asked, got = "other words", "; ".join(part.text or "a shot or a picture" for part in query.parts)
    else:
        return
    raise Refusal(
        422, f"{name} is the list of topic {query.topic}, made before: it cannot answer {asked}", where="by", got=got,
        wanted="the sentence of the topic as it is, or no words, and no feedback",
        next_step="choose a store or a model instead of the list",
    )  # fmt: skip


def is_sentence_of(query: Query, topic: Topic | None) -> bool:
    """Whether a question is the very sentence of a topic, or its narrative, and nothing else."""
    if topic is None or len(query.parts) != 1 or query.parts[0].minus:
        return False
    modes = ["query"] if topic.narrative is None else ["query", "narrative", "both"]
    return query.parts[0].text in [topic.query(mode) for mode in modes]


def _check_texts(query: Query, collection: Collection) -> None:
    """Refuse words where there are no texts, and kinds that no text has."""
    if not query.filter.words and not query.filter.kinds:
        return
    if collection.texts is None:
        raise Refusal(
            409, "there are no texts to look for words in", where="filter", next_step="give them: --text-table FILE"
        )
    for kind in query.filter.kinds:
        if kind not in collection.texts.kinds:
            raise Refusal(404, "no text is of this kind", got=repr(kind[:80]), wanted=some([*collection.texts.kinds]))


def _mark_set(query: Query, book: MarkBook) -> MarkSet | None:
    if query.feedback is None:
        return None
    if query.feedback not in book.sets:
        raise Refusal(
            404, "no such feedback", got=repr(query.feedback[:80]), next_step="name the marks again: POST /feedback"
        )  # fmt: skip
    return book.sets[query.feedback]


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
