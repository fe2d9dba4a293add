"""The route that keeps weights by hand as a fuser."""

from __future__ import annotations

import threading
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from avs.core.errors import ChangedInputsError, typed
from avs.serve.journal.sessions import FUSERS
from avs.serve.opened.collection import Collection
from avs.serve.refusal import Refusal
from avs.serve.routes.asking import body_of, given, in_thread, opened
from avs.serve.search.plan import AVERAGE, RRF, WEIGHTED
from avs.serve.shapes import FuserRequest, FuserSaved

_SAVING = threading.Lock()


async def save(request: Request) -> Response:
    """POST /fusers"""
    collection, asked = opened(request).collection, await body_of(request, FuserRequest)
    return given(await in_thread(request, lambda: save_fuser(collection, asked)))


def save_fuser(collection: Collection, asked: FuserRequest) -> FuserSaved:
    """Write the fuser, and open it, so that questions can name it at once. Saving the same again changes nothing.

    Raises:
        Refusal: unknown systems; weights that are not theirs; the name of something else.
    """
    from avs.pipeline.fuse.by_hand import save_weights

    _require_weights(collection, asked)
    folder = collection.options.sessions / FUSERS / asked.name
    qrels = collection.options.qrels
    judged = collection.qrels is not None and asked.topic in collection.qrels.topics
    with _SAVING:
        _require_name(collection, asked.name, folder)
        weights = {name: asked.weights[name] for name in asked.systems}
        try:
            save_weights(
                folder, weights, topics=[asked.topic], inputs={"qrels 1": qrels} if qrels is not None and judged else {}
            )
        except ChangedInputsError as error:
            raise Refusal(
                409, "another fuser has this name", where=folder, got=error.got, next_step="choose another name"
            ) from error
        served = collection.open_fuser(folder)
    return FuserSaved(
        name=served.name, folder=str(folder), systems=list(served.lists), fitted_on=list(served.learned_from),
        fingerprint=served.fingerprint,
        next_step=f"open it again: avs serve --fuser {typed(folder)}; fuse the lists of other topics with it: "
        f"avs fuse LISTS --fuser {typed(folder)} -o lists/fused.trec",
    )  # fmt: skip


def _require_weights(collection: Collection, asked: FuserRequest) -> None:
    """Check that every system is there and has a weight, and that one is above 0."""
    collection.require_names(asked.systems)
    twice = len(set(asked.systems)) < len(asked.systems)
    if twice or set(asked.weights) != set(asked.systems) or not any(asked.weights.values()):
        raise Refusal(
            422, "a fuser needs a weight of every system, each once, and one above 0", where="weights",
            got=", ".join(f"{name[:40]}={weight:g}" for name, weight in asked.weights.items())[:400] or "none",
            wanted=", ".join(asked.systems),
        )  # fmt: skip


def _require_name(collection: Collection, name: str, folder: Path) -> None:
    """Check that nothing else is asked for by the name of the fuser."""
    fuser = collection.fusers.get(name)
    other = fuser is not None and fuser.folder.resolve() != folder.resolve()
    if other or name in (AVERAGE, RRF, WEIGHTED, *collection.ranking_names):
        raise Refusal(409, "something else has this name", got=name, next_step="choose another name for the fuser")


FUSER_ROUTES = {("POST", "/fusers"): save}
