"""Feedback finds more on the mini collection; a pair of shots in time is found wherever its second shot is."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import httpx
import numpy as np
import pytest
from live_server import SECONDS, TinyServed, ask, running
from pages import Watched, address, altered, expect
from tiny_stores import make_store, shot_ids

from avs.core.qrels import TopicQrels
from avs.demo.collection import sample_collection
from avs.demo.judgments import full_judgments, write_qrels
from avs.demo.render import FPS, ShotRenderer
from avs.demo.topics import MINI_TOPICS
from avs.features.embedder import load_embedder

MINI_SHOTS, YES, TOPICS = 300, 5, 10
PAIR_SHOTS = 1500


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> TinyServed:
    """The mini collection as one picture a shot, in the encoder that ships with avs, with its topics and judgments."""
    root = tmp_path_factory.mktemp("mini")
    scenes = [scene for video in sample_collection(shots=MINI_SHOTS).values() for scene in video]
    pictures = np.stack([ShotRenderer(scene).frame(round(scene.duration_s * FPS / 2) / FPS) for scene in scenes])
    encoder = load_embedder("mini-clip")
    vectors = np.concatenate(
        [encoder.encode_images(encoder.preprocess(pictures[at : at + 50])) for at in range(0, MINI_SHOTS, 50)]
    )
    make_store(root / "mini-clip" / "shot", vectors, spec=encoder.spec)
    (root / "topics").write_text("".join(f"{one.id}  {one.text}\n" for one in MINI_TOPICS), encoding="utf-8")
    judged = full_judgments(dict(zip(shot_ids(MINI_SHOTS), scenes, strict=True)), MINI_TOPICS)
    write_qrels(judged, root / "qrels")
    return TinyServed(root, [root / "mini-clip" / "shot"], root, root, root / "topics", root / "qrels")


def precision(shots: list[str], relevant: set[str]) -> float:
    """Average precision of a list."""
    ranks = [rank for rank, shot in enumerate(shots, start=1) if shot in relevant]
    return sum(count / rank for count, rank in enumerate(ranks, start=1)) / len(relevant)


def relevant_shots(judged: TopicQrels) -> list[str]:
    return [shot for shot, judgment in zip(judged.shots, judged.judgments.tolist(), strict=True) if judgment > 0]


def test_five_marks_raise_the_mean_over_ten_topics(mini: TinyServed, tmp_path: Path) -> None:
    """By 0.123. It is the marked shots that rise: of the others, one to three a topic, the mean falls by 0.03."""
    options = mini.options(tmp_path, shots=None, videos=None)
    gains = []
    with running(options) as server, httpx.Client(base_url=server.root, timeout=60) as client:
        qrels = server.state.opened.collection.qrels
        topics = sorted(qrels.topics, key=lambda one: -len(relevant_shots(qrels.topics[one])))[:TOPICS]
        for topic in topics:
            (text,) = [one.text for one in MINI_TOPICS if one.id == topic]
            relevant = set(relevant_shots(qrels.topics[topic]))
            before = whole_list(client, ask(client, text, topic=topic))
            yes = [shot for shot in before if shot in relevant][:YES]  # as who reads the list from its head
            client.post("/api/v1/marks", json={"topic": topic, "shots": yes, "mark": "yes"}).raise_for_status()
            made = client.post("/api/v1/feedback", json={"topic": topic}).json()
            after = whole_list(client, ask(client, text, topic=topic, feedback=made["feedback"]))
            assert sorted(after) == sorted(before)
            gains.append(precision(after, relevant) - precision(before, relevant))
            assert whole_list(client, ask(client, text, topic=topic)) == before
    assert len(gains) == TOPICS and np.mean(gains) > 0.1


def whole_list(client: httpx.Client, answer: dict[str, object]) -> list[str]:
    shots: list[str] = client.get(f"/api/v1/lists/{answer['list']}/ids").json()["shots"]
    return shots


def test_a_pair_is_first_whose_second_shot_is_far_behind(tiny: TinyServed, tmp_path: Path, watched: Watched) -> None:
    encoder = load_embedder("clip", weights=tiny.root / "weights-one")
    first, second = encoder.encode_texts(["a dog", "a red circle"])
    vectors = np.random.default_rng(4).normal(size=(PAIR_SHOTS, encoder.spec.dim))
    vectors -= 0.9 * (vectors @ first)[:, None] * first  # nothing else looks like a dog
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    order, here = np.argsort(-(vectors @ second)), 710
    vectors[[here + 1, order[1100]]] = vectors[[order[1100], here + 1]]
    vectors[here] = first
    assert (vectors @ second > vectors[here + 1] @ second).sum() > 1000
    make_store(tmp_path / "pairs" / "shot", vectors, spec=encoder.spec)
    ids = shot_ids(PAIR_SHOTS)
    times = [(shot, shot[4:9], (int(shot[10:]) - 1) * SECONDS) for shot in ids]
    (tmp_path / "shots.tsv").write_text(
        "shot\tvideo\tstart_s\tend_s\n" + "".join(f"{s}\t{v}\t{at:.6f}\t{at + SECONDS:.6f}\n" for s, v, at in times)
    )
    options = tiny.options(
        tmp_path, stores=[tmp_path / "pairs" / "shot"], shots=tmp_path / "shots.tsv", videos=None, topics=[], qrels=None
    )
    with running(options) as server:
        page = watched.page("about:blank")
        altered(page, "**/api/v1/status", media={"keyframes": True, "videos": False, "times": True, "missing": {}})
        picture = b'<svg xmlns="http://www.w3.org/2000/svg" width="16" height="9"/>'
        page.route("**/media/keyframe/**", lambda route: route.fulfill(body=picture, content_type="image/svg+xml"))
        page.goto(address(server.root, parts=[{"text": "a dog"}, {"text": "a red circle"}], within_s=0.1))
        tile = page.locator(".tile").first
        expect(tile).to_be_focused()
        expect(tile).to_have_attribute("data-shot", ids[here])
        shown = [unquote(one.get_attribute("src") or "") for one in tile.locator("img").all()]
        assert [one.split("/")[-1].split(".jpg")[0] for one in shown] == [ids[here], ids[here + 1]]
        with httpx.Client(base_url=server.root, timeout=60) as client:
            alone = whole_list(client, ask(client, "a red circle"))
        assert len(alone) == 1000 and ids[here + 1] not in alone
        page.close()
    watched.forget()
