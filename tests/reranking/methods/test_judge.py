"""Candidates judged: what is asked, in which batches, and what happens to shots without frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from avs.core.errors import ConfigError, DataError, VideoError
from avs.core.frames import ShotFrames
from avs.reranking.judge_cache import Candidate, JudgeCache
from avs.reranking.material import Question
from avs.reranking.methods.judge import judge_candidates

SHOTS = [f"shot00001_{n}" for n in range(1, 6)]


class Brightness:
    """Says yes as often as the pictures are bright and the topic is long; remembers its batches."""

    fingerprint = "brightness"

    def __init__(self, fail_after: int | None = None) -> None:
        self.batches: list[list[str]] = []
        self.fail_after = fail_after

    def judge(self, questions: Sequence[Question]) -> np.ndarray:
        if self.fail_after == len(self.batches):
            raise RuntimeError("the machine went away")
        self.batches.append([question.topic for question in questions])
        return np.array([one.frames.mean() / 255 / len(one.topic) for one in questions])


def bright(shot: str) -> ShotFrames:
    grey = 10 * int(shot[-1])
    return ShotFrames(shot, np.full((2, 4, 6, 3), grey, dtype=np.uint8), np.arange(2.0))


def frames_of(shots: Sequence[str]) -> Iterator[ShotFrames]:
    return (bright(shot) for shot in reversed(shots))


def asked(*topics: str, shots: Sequence[str] = SHOTS) -> list[Candidate]:
    return [Candidate(topic, shot, "hash 0.5") for topic in topics for shot in shots]


def expected(candidates: Sequence[Candidate]) -> np.ndarray:
    return np.array([10 * int(one.shot[-1]) / 255 / len(one.topic) for one in candidates])


@pytest.mark.parametrize("batch_size", [1, 3, 4, 100])
def test_every_candidate_gets_its_own_answer(tmp_path: Path, batch_size: int) -> None:
    candidates, judge = asked("dog", "a cat"), Brightness()
    cache = JudgeCache(tmp_path / "judged.tsv", judge.fingerprint)
    yes = judge_candidates(candidates, judge, frames_of=frames_of, cache=cache, batch_size=batch_size)
    np.testing.assert_allclose(yes, expected(candidates), rtol=1e-8)
    sizes = [len(batch) for batch in judge.batches]
    assert sum(sizes) == 10 and all(size == batch_size for size in sizes[:-1])


def test_a_question_is_asked_once(tmp_path: Path) -> None:
    candidates, judge = asked("dog", "dog"), Brightness()
    cache = JudgeCache(tmp_path / "judged.tsv", judge.fingerprint)
    yes = judge_candidates(candidates, judge, frames_of=frames_of, cache=cache, batch_size=2)
    np.testing.assert_allclose(yes, expected(candidates), rtol=1e-8)
    assert sum(map(len, judge.batches)) == 5


def test_a_broken_run_goes_on_and_looks_only_at_what_is_missing(tmp_path: Path) -> None:
    candidates, path, looked = asked("dog", "a cat"), tmp_path / "judged.tsv", []

    def noted(shots: Sequence[str]) -> Iterator[ShotFrames]:
        looked.append(list(shots))
        return frames_of(shots)

    def run(judge: Brightness) -> np.ndarray:
        cache = JudgeCache(path, judge.fingerprint)
        return judge_candidates(candidates, judge, frames_of=noted, cache=cache, batch_size=4)

    with pytest.raises(RuntimeError, match="went away"):
        run(Brightness(fail_after=1))
    second = Brightness()
    np.testing.assert_allclose(run(second), expected(candidates), rtol=1e-8)
    assert [len(batch) for batch in second.batches] == [4, 2]
    assert looked == [SHOTS, SHOTS[:3]]  # the last two were judged for both topics
    third = Brightness()
    np.testing.assert_allclose(run(third), expected(candidates), rtol=1e-8)
    assert third.batches == [] and len(looked) == 2


def test_shots_without_frames_are_named_after_the_others_are_kept(tmp_path: Path) -> None:
    empty = np.empty((0, 1, 1, 3), dtype=np.uint8)

    def broken(shots: Sequence[str]) -> Iterator[ShotFrames]:
        yield ShotFrames(SHOTS[0], empty, np.empty(0), "failed", "the video ends at 1.0 s")
        yield from (bright(shot) for shot in shots[2:])

    judge, path = Brightness(), tmp_path / "judged.tsv"
    with pytest.raises(VideoError) as caught:
        cache = JudgeCache(path, judge.fingerprint)
        judge_candidates(asked("dog"), judge, frames_of=broken, cache=cache, batch_size=2)
    assert f"{SHOTS[0]}: the video ends at 1.0 s" in str(caught.value)
    assert f"{SHOTS[1]}: it has no frames" in str(caught.value)
    assert len(JudgeCache(path, judge.fingerprint)) == 3


@pytest.mark.parametrize("answer", [[0.5], [0.5, np.nan], [0.5, 1.5], [[0.1], [0.2]]])
def test_answers_that_are_no_probabilities_are_refused_and_not_kept(tmp_path: Path, answer: list[float]) -> None:
    class Odd(Brightness):
        def judge(self, questions: Sequence[Question]) -> np.ndarray:
            return np.array(answer)

    cache = JudgeCache(tmp_path / "judged.tsv", "odd")
    with pytest.raises(DataError, match="did not answer with a probability for each question"):
        judge_candidates(asked("dog", shots=SHOTS[:2]), Odd(), frames_of=frames_of, cache=cache, batch_size=2)
    assert len(cache) == 0


def test_no_batch_is_smaller_than_one(tmp_path: Path) -> None:
    cache = JudgeCache(tmp_path / "judged.tsv", "x")
    with pytest.raises(ConfigError, match="batch size"):
        judge_candidates(asked("dog"), Brightness(), frames_of=frames_of, cache=cache, batch_size=0)
