"""Why a shot is where it is in a list: what each system says of it, its share, its neighbours, its problems."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from avs.core.errors import DataError
from avs.core.ranking import RankedList, Run
from avs.fusion.methods.comb import Average
from avs.fusion.methods.rrf import ReciprocalRank
from avs.fusion.methods.weighted import Linear
from avs.fusion.pool import pool_runs
from avs.reranking.vectors import shot_vectors
from avs.serve.opened.collection import Collection
from avs.serve.refusal import Refusal
from avs.serve.search.engine import ServedAnswer
from avs.serve.search.plan import fuser_of
from avs.serve.shapes import Neighbour, ProblemOfShot, Reasons, Share

NEIGHBOURS, AMONG = 8, 1000


def explain(collection: Collection, answer: ServedAnswer, shot: str) -> Reasons:
    """What there is to say of a shot in a list.

    Raises:
        Refusal: the shot is neither in the collection nor in the list.
    """
    place = answer.shown.shots.index(shot) if shot in answer.shown.shots else None
    if place is None and shot not in collection.columns:
        raise Refusal(404, "no such shot", got=repr(shot[:80]))
    shares = _shares(collection, answer, shot)
    systems = []
    for name, ranked in answer.lists.items():
        at = ranked.shots.index(shot) if shot in ranked.shots else None
        score = None if at is None else float(ranked.scores[at])
        systems.append(Share(name=name, rank=None if at is None else at + 1, score=score, share=shares.get(name)))
    return Reasons(
        shot=shot,
        rank=None if place is None else place + 1,
        score=None if place is None else float(answer.shown.scores[place]),
        systems=systems,
        neighbours=_neighbours(collection, answer, shot),
        problems=[
            ProblemOfShot(store=name, status="failed" if one.status == "failed" else "partial", reason=one.reason)
            for name, one in collection.problems_of(shot)
        ],
    )


def _shares(collection: Collection, answer: ServedAnswer, shot: str) -> Mapping[str, float]:
    """System -> its share of the fused score; {} where the fuser does not tell.

    The average and weighted sums add up numbers of the lists on their common scale; RRF adds up 1 / (k + rank).
    """
    lists = {name: ranked for name, ranked in answer.lists.items() if len(ranked)}
    if len(lists) < 2 or answer.plan.in_time:
        return {}
    fuser, depth = fuser_of(answer.plan, collection)
    try:
        pool = pool_runs({name: _run(name, ranked) for name, ranked in lists.items()}, depth=depth)[answer.plan.topic]
    except DataError:
        return {}
    if shot not in pool.shots:
        return {}
    row = pool.shots.index(shot)
    if isinstance(fuser, ReciprocalRank):
        ranks = pool.ranks[row]
        parts = np.where(ranks > 0, 1 / (fuser.k + np.maximum(ranks, 1)), 0.0)
        names = pool.lists
    elif isinstance(fuser, Average):
        parts, names = fuser.scale(pool)[row], pool.lists
    elif isinstance(fuser, Linear) and set(fuser.lists) <= set(pool.lists):
        names = fuser.lists
        parts = fuser.scale(pool.columns(names))[row] * np.array([fuser.weights[name] for name in names])
    else:
        return {}
    positive = np.maximum(np.nan_to_num(parts), 0.0)
    total = float(positive.sum())
    return dict(zip(names, (positive / total).tolist(), strict=True)) if total > 0 else {}


def _run(name: str, ranked: RankedList) -> Run:
    return Run({ranked.topic: ranked}, name)


def _neighbours(collection: Collection, answer: ServedAnswer, shot: str) -> list[Neighbour]:
    """The shots at the head of the list that are most like it, in the first store that ranked them."""
    named = [name for name in answer.plan.whole if name in collection.stores] or list(collection.stores)
    view = collection.stores[named[0]]
    head = [one for one in answer.shown.shots[:AMONG] if one in collection.columns and one != shot]
    held = view.has(collection.columns.rows(head)).tolist()
    others = [one for one, there in zip(head, held, strict=True) if there]
    if shot not in collection.columns or not others or not view.has(collection.columns.rows([shot]))[0]:
        return []
    cosines = shot_vectors(view, others) @ shot_vectors(view, [shot])[0]
    rank = {one: number for number, one in enumerate(answer.shown.shots, start=1)}
    best = np.argsort(-cosines, kind="stable")[:NEIGHBOURS].tolist()
    return [Neighbour(shot=others[i], rank=rank[others[i]], cosine=float(cosines[i])) for i in best]
