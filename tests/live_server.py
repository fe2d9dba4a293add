"""A server of avs on a socket of its own, in a thread of the test, and a small collection for it."""

from __future__ import annotations

import faulthandler
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from tiny_checkpoints import make_clip
from tiny_stores import make_store, shot_ids
from tiny_videos import write_film

from avs.features.embedder import read_spec
from avs.pipeline.serve_options import ServeOptions
from avs.serve.server import PageServer

SHOTS, PER_VIDEO, SECONDS = 60, 25, 0.24  # a film of six seconds has 25 shots
ENDING_S = 120


@dataclass(frozen=True)
class TinyServed:
    """A folder with two stores, shots, films, topics and judgments."""

    root: Path
    stores: Sequence[Path]
    shots: Path
    videos: Path
    topics: Path
    qrels: Path

    def options(self, work: Path, **more: Any) -> ServeOptions:
        """Options that open all of it, with cache and journals in `work`."""
        given: dict[str, Any] = {
            "stores": list(self.stores), "shots": self.shots, "videos": self.videos, "topics": [self.topics],
            "qrels": self.qrels, "cache": work / "cache", "sessions": work / "sessions", "port": 0,
        }  # fmt: skip
        return ServeOptions.model_validate({**given, **more})


def tiny_served(root: Path) -> TinyServed:
    """Two stores of two encoders: "one-shot" has every shot, "two-shot" lacks none and differs."""
    ids, stores = shot_ids(SHOTS), []
    rng = np.random.default_rng(3)
    for number, name in enumerate(("one", "two")):
        spec = read_spec("clip", weights=make_clip(root / f"weights-{name}", seed=number))
        vectors = rng.normal(size=(SHOTS, spec.dim))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        make_store(root / "features" / name / "shot", vectors, spec=spec)
        stores.append(root / "features" / name / "shot")
    lines = ["shot\tvideo\tstart_s\tend_s"]
    for shot in ids:
        video, number = shot[4:].split("_")
        start_s = (int(number) - 1) * SECONDS
        lines.append(f"{shot}\t{video}\t{start_s:.6f}\t{start_s + SECONDS:.6f}")
    (root / "shots.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (root / "videos").mkdir()
    for video in sorted({shot[4:].split("_")[0] for shot in ids}):
        write_film(root / "videos" / f"{video}.mp4", seed=int(video))
    (root / "topics.txt").write_text("661  a red circle\n662  two people dance\n663  a dog\n", encoding="utf-8")
    judged = [f"1{topic} 0 {shot} {1 + at % 2} {[1, 0, -1][(at + topic) % 3]}\n" for topic in (661, 662)
              for at, shot in enumerate(ids[:45])]  # fmt: skip
    (root / "qrels").write_text("".join(judged), encoding="utf-8")
    return TinyServed(root, stores, root / "shots.tsv", root / "videos", root / "topics.txt", root / "qrels")


@contextmanager
def running(options: ServeOptions, *, ready: bool = True) -> Iterator[PageServer]:
    """A server, until the block ends; it has opened everything when `ready`."""
    server = PageServer(options)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            server.run()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        if ready:
            wait_until_ready(server.root, thread, server.address.partition("#t=")[2])
        yield server
    finally:
        server.end()
        thread.join(ENDING_S)
        if thread.is_alive():
            faulthandler.dump_traceback()
            raise AssertionError("the server does not end")
        server.state.close()
    assert not errors, errors


def wait_until_ready(root: str, thread: threading.Thread, token: str) -> None:
    """Return when the server has opened everything; fail when it has ended without that."""
    while thread.is_alive():
        try:
            headers = {"authorization": f"Bearer {token or None}"}
            if httpx.get(f"{root}api/v1/status", headers=headers).json()["ready"]:
                return
        except (httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError):
            pass
        time.sleep(0.02)
    raise AssertionError("the server has ended")


def answers(client: httpx.Client, query: dict[str, Any], *, session: str = "test") -> list[dict[str, Any]]:
    """The lines of a question."""
    import json

    answer = client.post("/api/v1/search", json=query, headers={"Avs-Session": session})
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def ask(client: httpx.Client, text: str | None = None, **more: Any) -> dict[str, Any]:
    """The final answer to a sentence or to another question."""
    query = {"parts": [{"text": text}], **more} if text is not None else more
    last = answers(client, query)[-1]
    assert last["stage"] == "final", last
    return last
