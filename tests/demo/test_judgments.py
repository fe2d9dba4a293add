"""Judgments follow the patterns; the pool follows the full judgments."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from avs.core.qrels import UNJUDGED, Qrels
from avs.demo.collection import sample_collection, scenes_by_shot
from avs.demo.judgments import SAMPLED, full_judgments, pooled_judgments, write_qrels
from avs.demo.scenes import Scene
from avs.demo.topics import MINI_TOPICS

SHOTS = 240


@pytest.fixture(scope="module")
def scenes() -> dict[str, Scene]:
    return scenes_by_shot(sample_collection(shots=SHOTS, seed=8))


@pytest.fixture(scope="module")
def full(scenes: dict[str, Scene]) -> Qrels:
    return full_judgments(scenes, MINI_TOPICS)


def test_full_judgments_are_what_the_topics_ask_for(full: Qrels, scenes: dict[str, Scene]) -> None:
    """Three topics asked again without the pattern machinery."""
    by_hand = {
        "901": lambda s: any((t.kind, t.colour, t.motion) == ("car", "red", "right") for t in s.things),
        "911": lambda s: s.background == "sea"
        and any((t.kind, t.colour, t.count) == ("fish", "blue", 2) for t in s.things),
        "921": lambda s: any((t.kind, t.colour) == ("tree", "green") for t in s.things)
        and not any(t.kind == "house" for t in s.things),
    }  # fmt: skip
    for topic, holds in by_hand.items():
        judged = full.topics[topic]
        assert judged.shots == tuple(scenes)
        assert judged.judgments.tolist() == [int(holds(scene)) for scene in scenes.values()]


def test_prevalence_is_that_of_a_needle_in_a_haystack(full: Qrels) -> None:
    shares = np.array([judged.judgments.mean() for judged in full.topics.values()])
    assert shares.min() >= 4 / SHOTS and shares.max() < 0.05 and 0.012 < shares.mean() < 0.03


def test_pool_agrees_with_the_full_judgments(full: Qrels, scenes: dict[str, Scene]) -> None:
    pool = pooled_judgments(full, scenes, MINI_TOPICS, seed=8)
    for topic, judged in pool.topics.items():
        truth = dict(zip(full.topics[topic].shots, full.topics[topic].judgments.tolist(), strict=True))
        assert 0 < len(judged) < SHOTS and len(set(judged.shots)) == len(judged)
        assert set(judged.strata.tolist()) == {1, 2, 3}
        for shot, stratum, judgment in zip(judged.shots, judged.strata, judged.judgments, strict=True):
            assert judgment == truth[shot] or (judgment == UNJUDGED and stratum == 3)
        last = judged.judgments[judged.strata == 3]
        assert np.sum(last != UNJUDGED) == round(SAMPLED * len(last))


def test_pool_depends_on_the_seed_alone(full: Qrels, scenes: dict[str, Scene]) -> None:
    first, again, other = (pooled_judgments(full, scenes, MINI_TOPICS, seed=seed) for seed in (1, 1, 2))
    assert all(first.topics[t].shots == again.topics[t].shots for t in first.ids)
    assert any(first.topics[t].shots != other.topics[t].shots for t in first.ids)


def test_qrels_file_has_five_columns_and_the_leading_one(full: Qrels, tmp_path: Path) -> None:
    write_qrels(full, tmp_path / "q")
    lines = (tmp_path / "q").read_text().splitlines()
    assert len(lines) == SHOTS * len(MINI_TOPICS)
    judged = full.topics["901"]
    assert lines[0] == f"1901 0 {judged.shots[0]} 1 {judged.judgments[0]}"


@pytest.mark.parametrize("shots", [120, 150, 240])
def test_every_topic_has_a_relevant_judged_shot_in_every_collection_of_the_demo(shots: int) -> None:
    for seed in range(12):
        scenes = scenes_by_shot(sample_collection(shots=shots, seed=seed))
        full = full_judgments(scenes, MINI_TOPICS)
        for topic, judged in pooled_judgments(full, scenes, MINI_TOPICS, seed=seed).topics.items():
            assert judged.relevant and judged.relevant <= full.topics[topic].relevant, (seed, topic)
            assert len(set(judged.shots)) == len(judged)


@pytest.mark.parametrize(
    ("seed", "content"), [(0, "ab6f7c6b37f5a45b"), (1, "32b081cd8c335da2"), (2, "25c31e6dac952b7d")]
)
def test_the_collections_of_600_shots_are_judged_as_ever(seed: int, content: str, tmp_path: Path) -> None:
    """Figures of the documentation and of benchmarks/ rest on these judgments."""
    scenes = scenes_by_shot(sample_collection(shots=600, seed=seed))
    pool = pooled_judgments(full_judgments(scenes, MINI_TOPICS), scenes, MINI_TOPICS, seed=seed)
    write_qrels(pool, tmp_path / "q")
    assert hashlib.sha256((tmp_path / "q").read_bytes()).hexdigest().startswith(content)
