"""Questions to lists: one pass over the stores for all systems that score everything, then the models on the head.

What it computes are the functions of the verbs: `search` and its scorers, pools and fusers. It keeps the lists it made.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from avs.core.errors import DataError
from avs.core.ids import some
from avs.core.ranking import RankedList, Run
from avs.fusion.fuser import fuse
from avs.fusion.pool import pool_runs
from avs.ranking.blocks import BlockSource
from avs.ranking.score import Scorer, SearchCancelled, search
from avs.ranking.topk import TopK
from avs.serve.journal.marks import MarkBook, MarkSet
from avs.serve.opened.collection import Collection
from avs.serve.opened.embedded import UNSURE, EmbeddedScorer, exact_list, margin
from avs.serve.opened.store_view import StoreView
from avs.serve.opened.text_table import phrases_of, words_left_out
from avs.serve.refusal import Refusal
from avs.serve.search.feedback import HEAD, MOST_SHOWN, bayes, linear, marked_vectors, other_rows, rocchio
from avs.serve.search.grouping import ListLayout, duplicate_groups, layout
from avs.serve.search.plan import AVERAGE, WEIGHTED, SearchPlan, fuser_of
from avs.serve.search.scorers import MoveQuery, Picture, QueryVectors, WeighedScorer, ask, source_of
from avs.serve.search.split_pass import SplitPass
from avs.serve.search.temporal import Windows, chain, follow, mean_of_systems, standardised

Cancelled = Callable[[], bool]
ROWS_AT_ONCE = 65_536
KEPT_WINDOWS = 4


@dataclass(frozen=True, slots=True, eq=False)
class ServedAnswer:
    """A list that was made.

    Attributes:
        id: follows from the question, from what is opened, and from the marks that it used.
        ranked: as ranked, before shots were hidden.
        shown: the list, at most k shots.
        layout: how the list is shown.
        chains: of a question in time, the shots of every part for each shot of `shown`.
        lists: name of a system -> its own list.
        scored: name of a system -> number of shots that it scored.
        taken: filter -> number of shots of the collection that it takes away.
        final: no better list will come.
    """

    id: str
    plan: SearchPlan
    ranked: RankedList
    shown: RankedList
    layout: ListLayout
    chains: Sequence[Sequence[str]]
    lists: Mapping[str, RankedList]
    scored: Mapping[str, int]
    warnings: Sequence[str]
    taken: Mapping[str, int]
    final: bool
    ms: dict[str, float] = field(default_factory=dict)

    @property
    def systems(self) -> dict[str, int]:
        """Name of a system that is in the list -> number of shots that it scored, or that its list in a file has."""
        listed = {name: len(self.lists[name]) for name in self.plan.listed if name in self.lists}
        return {**self.scored, **listed}

    @property
    def fused(self) -> str:
        """How the systems were fused; empty: there was one."""
        return self.plan.fused if len(self.systems) > 1 else ""


@dataclass(frozen=True, slots=True, eq=False)
class RankedBase:
    """A list as ranked, which answers may hide and fold shots of.

    Attributes:
        fused: all candidates.
        chains: of a question in time, shot -> the shots of its parts.
    """

    fused: RankedList
    lists: Mapping[str, RankedList]
    scored: Mapping[str, int]
    warnings: Sequence[str]
    chains: Mapping[str, Sequence[str]]
    final: bool
    ms: Mapping[str, float]


class Engine:
    """Answers questions, one at a time, in the thread of the caller.

    Args:
        picture: gives the uploads.
    """

    def __init__(self, collection: Collection, book: MarkBook, picture: Picture) -> None:
        self.collection, self.book = collection, book
        self.vectors = QueryVectors(collection, picture)
        self.split = SplitPass(collection)
        self._bases: OrderedDict[tuple[str, bool], RankedBase] = OrderedDict()
        self._answers: OrderedDict[str, ServedAnswer] = OrderedDict()
        self._windows: OrderedDict[float, Windows] = OrderedDict()
        self._lock = threading.Lock()

    def answer(self, list_id: str) -> ServedAnswer | None:
        """A list that was made before and is kept."""
        with self._lock:
            if list_id in self._answers:
                self._answers.move_to_end(list_id)
            return self._answers.get(list_id)

    def kept(self, plan: SearchPlan) -> ServedAnswer | None:
        """The final list of a question, if it is kept."""
        return self.answer(f"{plan.list_key[:24]}-2")

    def first(self, plan: SearchPlan, cancelled: Cancelled) -> ServedAnswer:
        """The list by the systems that score everything; it is final unless models follow.

        Raises:
            SearchCancelled: `cancelled` said yes.
            AvsError: no system can answer.
        """
        base = self._first_base(plan, cancelled)
        return self._answer(
            plan, base, base if plan.everywhere is None else self._first_base(plan.everywhere, cancelled)
        )

    def final(self, plan: SearchPlan, cancelled: Cancelled) -> ServedAnswer:
        """The list with the models that score its first shots.

        Raises:
            SearchCancelled, AvsError: as first.
        """
        base = self._final_base(plan, cancelled)
        return self._answer(
            plan, base, base if plan.everywhere is None else self._final_base(plan.everywhere, cancelled)
        )

    def _first_base(self, plan: SearchPlan, cancelled: Cancelled) -> RankedBase:
        later = bool(plan.later)
        return self._base(plan, later, lambda: self._first(plan, cancelled, final=not later))

    def _final_base(self, plan: SearchPlan, cancelled: Cancelled) -> RankedBase:
        before = self._first_base(plan, cancelled)
        return self._base(plan, False, lambda: self._rescored(plan, before, cancelled))

    def _base(self, plan: SearchPlan, first: bool, make: Callable[[], RankedBase]) -> RankedBase:
        key = (plan.key, first)
        with self._lock:
            if key in self._bases:
                self._bases.move_to_end(key)
                return self._bases[key]
        made = make()
        with self._lock:
            self._bases[key] = made
            while len(self._bases) > self.collection.options.limits.cached_lists:
                self._bases.popitem(last=False)
        return made

    def _first(self, plan: SearchPlan, cancelled: Cancelled, *, final: bool) -> RankedBase:
        start = time.perf_counter()
        allowed = self._allowed(plan)
        lists, unknown = self._listed(plan, allowed)
        unknown += [
            f"{piece}: has no letter or digit, and is not looked for"
            for piece in words_left_out(plan.query.filter.words)
        ]
        if not plan.whole:
            return self._fused(plan, lists, {}, unknown, {}, final=final)
        asked = ask(
            self.collection, self.vectors, plan.query.parts, plan.whole,
            moved=self._moved(plan.marks) if plan.marks is not None else None,
        )  # fmt: skip
        ms = {"encode": _ms(start)}
        warnings = [*unknown, *asked.warnings, *self._words_on_models(plan)]
        start = time.perf_counter()
        scorers = list(asked.scorers.values())
        if plan.in_time:
            return self._in_time(plan, scorers, warnings, ms, cancelled, final=final)
        bayesian = plan.marks is not None and plan.marks.method == "bayes"
        found, words = self._searched(plan, scorers, allowed, HEAD if bayesian else plan.depth, cancelled)
        warnings += words
        scored = {name: self._scored_by(name, allowed) for name in found}
        lists |= found
        if bayesian:
            lists, words = self._bayes(plan, lists, cancelled)
            warnings += words
        ms["scan"] = _ms(start)
        return self._fused(plan, lists, scored, warnings, ms, final=final)

    def _rescored(self, plan: SearchPlan, before: RankedBase, cancelled: Cancelled) -> RankedBase:
        """The list with the scores of models for the first shots of the list before."""
        start = time.perf_counter()
        head = before.fused.shots[: self.collection.options.rescore]
        lists = {} if plan.only_candidates else dict(before.lists)
        scored = {} if plan.only_candidates else dict(before.scored)
        if not head:
            return replace(before, final=True)
        try:
            asked = ask(self.collection, self.vectors, plan.query.parts, plan.later)
        except (Refusal, DataError) as error:
            if plan.only_candidates:
                raise
            return replace(before, final=True, warnings=[*before.warnings, f"{', '.join(plan.later)}: {error.what}"])
        for name, scorer in asked.scorers.items():
            source = self._source_of(name, head)
            lists[name] = search([scorer], [plan.topic], source, k=len(head), cancelled=cancelled)[name][0]
            scored[name] = len(source)
        ms = {**before.ms, "rescore": _ms(start)}
        return self._fused(plan, lists, scored, [*before.warnings, *asked.warnings], ms, final=True)

    def _source_of(self, model: str, shots: Sequence[str]) -> BlockSource:
        """The features that a trained model reads of a few shots."""
        searcher = self.collection.searcher
        view_of = {id(view.store): view for view in self.collection.stores.values()}
        features = searcher.features_of(searcher.systems[model])
        return source_of(self.collection, {key: view_of[id(one)] for key, one in features.items()}, shots)

    def _searched(
        self, plan: SearchPlan, scorers: Sequence[Scorer], allowed: np.ndarray | None, k: int, cancelled: Cancelled
    ) -> tuple[dict[str, RankedList], list[str]]:
        """The k best of all shots by each scorer, those of embedded models by the models; and what is not sure."""
        kept = self.collection.embedded
        embedded = [one for one in scorers if isinstance(one, EmbeddedScorer | WeighedScorer) and one.name in kept]
        asked, words = plan.depth + margin(plan.depth), []
        most = max(k, asked) if embedded else k
        found = self.split.lists(scorers, plan.topic, allowed, k=most, cancelled=cancelled)
        lists = {name: _head(ranked, k) for name, ranked in found.items()}
        for scorer in embedded:
            candidates = _head(found[scorer.name], asked)
            source = self._source_of(scorer.name, candidates.shots)
            lists[scorer.name], sure = exact_list(scorer, candidates, source, k=plan.depth)
            words += [] if sure else [f"{scorer.name}: {UNSURE}"]
        return lists, words

    def _fused(
        self,
        plan: SearchPlan,
        lists: Mapping[str, RankedList],
        scored: Mapping[str, int],
        warnings: Sequence[str],
        ms: Mapping[str, float],
        *,
        final: bool,
    ) -> RankedBase:
        """One list of the lists of all systems."""
        start = time.perf_counter()
        fuller = {name: ranked for name, ranked in lists.items() if len(ranked)}
        words = list(warnings)
        if not fuller:
            empty = RankedList(plan.topic, (), np.empty(0))
            return RankedBase(empty, lists, scored, words, {}, final, ms)
        served = self.collection.fusers.get(plan.fused)
        if len(fuller) == 1 and (served is None or len(served.lists) == 1):
            return RankedBase(next(iter(fuller.values())), lists, scored, words, {}, final, ms)
        if served is not None and plan.topic in served.learned_from:
            words.append(f"{served.name} has learned from topic {plan.topic}: tuned on this topic")
        if plan.fused == WEIGHTED and self.collection.evaluator and plan.topic in self.collection.evaluator.topics:
            words.append(f"weights by hand, while the judgments of topic {plan.topic} are shown: tuned on this topic")
        if plan.fused == WEIGHTED and set(fuller) != set(plan.query.weights):
            words.append("a system has no list: the average of the others")
            plan = replace(plan, fused=AVERAGE)
        if served is not None and not final:
            words.append(f"{served.name} needs {', '.join(served.lists)}: until all are there, their average")
            plan = replace(plan, fused=AVERAGE)
        fuser, depth = fuser_of(plan, self.collection)
        pools = pool_runs({name: Run({plan.topic: one}, name) for name, one in fuller.items()}, depth=depth)
        run = fuse(fuser, pools, tag=plan.fused, limit=len(pools[plan.topic]))
        return RankedBase(
            run.lists[plan.topic], lists, scored, words, {}, final, {**ms, "fuse": _ms(start)}
        )  # fmt: skip

    def _in_time(
        self,
        plan: SearchPlan,
        scorers: Sequence[Scorer],
        warnings: Sequence[str],
        ms: dict[str, float],
        cancelled: Cancelled,
        *,
        final: bool,
    ) -> RankedBase:
        """The list of a question whose parts follow each other in time."""
        start = time.perf_counter()
        columns, parts = self.collection.columns, len(plan.query.parts)
        tables = [standardised(table) for table in self.split.tables(scorers, parts, cancelled=cancelled)]
        windows = self._windows_of(plan.query.within_s)
        totals = chain(mean_of_systems(tables), windows)
        allowed, total = self._allowed(plan), totals[0]
        if allowed is not None:
            total = np.where(allowed, total, -np.inf)
        best = TopK([plan.topic], columns.ids, k=plan.depth)
        for first in range(0, len(total), ROWS_AT_ONCE):
            block = total[first : first + ROWS_AT_ONCE]
            present = np.isfinite(block)
            best.add(block[present][None].astype(np.float32), first=first, present=present)
        (ranked,) = best.lists()
        rows = columns.rows(ranked.shots).tolist()
        chains = {
            shot: tuple(columns.ids[one] for one in follow(totals, windows, row))
            for shot, row in zip(ranked.shots, rows, strict=True)
        }
        scored = {scorer.name: len(columns) for scorer in scorers}
        return RankedBase(ranked, {}, scored, warnings, chains, final, {**ms, "scan": _ms(start)})

    def _windows_of(self, within_s: float) -> Windows:
        if within_s not in self._windows:
            self._windows[within_s] = Windows(self.collection.columns, within_s)
            if len(self._windows) > KEPT_WINDOWS:
                self._windows.popitem(last=False)
        return self._windows[within_s]

    def _listed(self, plan: SearchPlan, allowed: np.ndarray | None) -> tuple[dict[str, RankedList], list[str]]:
        """The topic's lists in files, of the shots that are allowed, and what is odd about them."""
        found, warnings = {}, []
        for name in plan.listed:
            ranked = self.collection.lists[name].run.lists.get(plan.topic)
            if ranked is None:
                warnings.append(f"{name} left out: it has no shots for topic {plan.topic}")
                continue
            rows = self.collection.columns.known_rows(ranked.shots)
            found[name] = ranked if allowed is None else _chosen(ranked, (rows >= 0) & allowed[rows])
            unknown = [shot for shot, row in zip(ranked.shots, rows.tolist(), strict=True) if row < 0]
            if unknown:
                warnings.append(f"{name}: {len(unknown)} shots are not in the collection: {some(unknown, shown=3)}")
        return found, warnings

    def _words_on_models(self, plan: SearchPlan) -> list[str]:
        words = [f"{name}: first {self.collection.options.rescore:,} only" for name in plan.later]
        words += [f"{name} left out: it does not score the whole collection" for name in plan.left_out]
        if plan.only_candidates:
            words.append(f"candidates by {', '.join(plan.whole)}")
        models = [name for name in (*plan.whole, *plan.later) if name in self.collection.models]
        if plan.marks is not None and models:
            words.append(f"{', '.join(models)}: not moved by the marks")
        return words

    def _moved(self, marks: MarkSet) -> MoveQuery | None:
        """How the marks move the query of a store; None: they do not."""
        if marks.method == "bayes":
            return None

        def move(view: StoreView, query: np.ndarray) -> np.ndarray:
            yes, no = marked_vectors(view, marks.yes), marked_vectors(view, marks.no)
            if marks.method == "rocchio":
                return rocchio(query, yes, no)
            columns = self.collection.columns
            marked = columns.known_rows([*marks.yes, *marks.no]).tolist()
            others = [columns.ids[row] for row in other_rows(len(columns), marked)]
            return linear(yes, no, marked_vectors(view, others))

        return move

    def _bayes(
        self, plan: SearchPlan, lists: Mapping[str, RankedList], cancelled: Cancelled
    ) -> tuple[dict[str, RankedList], list[str]]:
        """The lists of the stores in the order of PicHunter's probabilities."""
        assert plan.marks is not None
        found, columns = {}, self.collection.columns
        for name, ranked in lists.items():
            if name not in self.collection.stores or not len(ranked):
                found[name] = _head(ranked, plan.depth)
                continue
            view = self.collection.stores[name]
            head = ranked.shots[:HEAD]
            liked = marked_vectors(view, plan.marks.yes)
            seen = [shot for shot in (*plan.marks.no, *head[:MOST_SHOWN]) if shot not in plan.marks.yes]
            shown = marked_vectors(view, list(dict.fromkeys(seen))[:MOST_SHOWN])
            candidates = marked_vectors(view, [shot for shot in head if shot in columns])
            scores = bayes(ranked.scores[: len(head)], candidates, liked, shown)
            found[name] = RankedList.from_scores(plan.topic, head, scores, limit=plan.depth)
            if cancelled():
                raise SearchCancelled("the search was cancelled")
        words = [f"bayes: over the first {HEAD:,} shots of each store"]
        if not plan.marks.yes:
            words.append("bayes: no shot is marked yes, and marks of no alone change nothing: the list is as before")
        return found, words

    def _allowed(self, plan: SearchPlan) -> np.ndarray | None:
        """(N,) bool, the shots of videos and with words that the filter lets through; None: all."""
        chosen, columns, texts = plan.query.filter, self.collection.columns, self.collection.texts
        wanted, unwanted = chosen.videos, chosen.not_videos
        if not chosen.chooses:
            return None
        allowed = np.full(len(columns), not wanted, dtype=bool)
        for videos, let in ((wanted, True), (unwanted, False)):
            for video in videos:
                rows = columns.rows_of(video)
                allowed[rows.start : rows.stop] = let
        if texts is not None and (phrases_of(chosen.words) or chosen.kinds):
            allowed &= texts.matching(chosen.words, chosen.kinds)
        return allowed

    def _scored_by(self, name: str, allowed: np.ndarray | None) -> int:
        """Number of shots that a system scored in a search of the collection."""
        columns = self.collection.columns
        rows = np.arange(len(columns)) if allowed is None else np.flatnonzero(allowed)
        views = [self.collection.stores[name]] if name in self.collection.stores else self._views_of(name)
        there = np.logical_or.reduce([view.has(rows) for view in views])
        return int(there.sum())

    def _views_of(self, model: str) -> list[StoreView]:
        """The stores that a trained model reads."""
        searcher = self.collection.searcher
        read = {id(store) for store in searcher.features_of(searcher.systems[model]).values()}
        return [view for view in self.collection.stores.values() if id(view.store) in read]

    def _answer(self, plan: SearchPlan, base: RankedBase, everywhere: RankedBase) -> ServedAnswer:
        """The list as it is shown: without what the filter hides, at most k shots, folded.

        Args:
            everywhere: the list of all videos, which is measured.
        """
        list_id = f"{plan.list_key[:24]}-{2 if base.final else 1}"
        known = self.answer(list_id)
        if known is not None:
            return known
        start = time.perf_counter()
        hidden = set().union(*plan.hidden.values()) if plan.hidden else set()
        keep = np.array([shot not in hidden for shot in base.fused.shots], dtype=bool)
        places = np.flatnonzero(keep)[: plan.query.k]
        shown = RankedList(plan.topic, tuple(base.fused.shots[i] for i in places.tolist()), base.fused.scores[places])
        made = ServedAnswer(
            list_id, plan, _head(everywhere.fused, plan.query.k), shown, self._layout(plan, shown),
            [base.chains[shot] for shot in shown.shots] if base.chains else (), base.lists, base.scored,
            base.warnings, self._taken(plan, hidden), base.final, {**base.ms, "group": _ms(start)},
        )  # fmt: skip
        with self._lock:
            self._answers[list_id] = made
            while len(self._answers) > self.collection.options.limits.cached_lists:
                self._answers.popitem(last=False)
        return made

    def _layout(self, plan: SearchPlan, shown: RankedList) -> ListLayout:
        query = plan.query
        groups = None
        if query.duplicates is not None:
            named = [name for name in plan.whole if name in self.collection.stores]
            view = self.collection.stores[(named or list(self.collection.stores))[0]]
            groups = duplicate_groups(view, shown.shots, query.duplicates)
        return layout([shot[4 : shot.rindex("_")] for shot in shown.shots], query.group, groups)

    def _taken(self, plan: SearchPlan, hidden: set[str]) -> dict[str, int]:
        """Filter -> shots of the collection that it takes away by itself."""
        columns, query = self.collection.columns, plan.query
        taken = {f"hide {kind}": sum(shot in columns for shot in shots) for kind, shots in plan.hidden.items()}
        inside = sum(len(columns.rows_of(video)) for video in set(query.filter.videos))
        if query.filter.videos:
            taken["videos"] = len(columns) - inside
        if query.filter.not_videos:
            taken["not_videos"] = sum(len(columns.rows_of(video)) for video in set(query.filter.not_videos))
        texts, chosen = self.collection.texts, query.filter
        if texts is not None and (phrases_of(chosen.words) or chosen.kinds):
            matching = texts.matching(chosen.words, chosen.kinds)
            taken["words" if phrases_of(chosen.words) else "kinds"] = len(columns) - int(matching.sum())
        return taken


def _chosen(ranked: RankedList, keep: np.ndarray) -> RankedList:
    """The shots of a list where (L,) `keep` is true."""
    places = np.flatnonzero(keep)
    return RankedList(ranked.topic, tuple(ranked.shots[place] for place in places.tolist()), ranked.scores[places])


def _head(ranked: RankedList, k: int) -> RankedList:
    return RankedList(ranked.topic, ranked.shots[:k], ranked.scores[:k])


def _ms(start: float) -> float:
    """Milliseconds since `start`."""
    return round((time.perf_counter() - start) * 1000, 3)
