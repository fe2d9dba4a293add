"""Candidates judged by someone who looks at their pictures: does the shot show what the topic says, yes or no?

This asks about the few best candidates of a list only: a judge is some thousand times slower than a dot product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from avs.core.errors import ConfigError, DataError, Problems, VideoError
from avs.core.frames import ShotFrames
from avs.core.progress import Reporter
from avs.rerank.judge_cache import Candidate, JudgeCache

FramesOf = Callable[[Sequence[str]], Iterator[ShotFrames]]


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """Does the shot with these frames show what the topic says?

    Attributes:
        topic: the topic's text.
        frames: (F, H, W, 3) uint8 RGB in time order, F >= 1.
    """

    topic: str
    frames: np.ndarray


class Judge(Protocol):
    """Answers questions.

    Attributes:
        fingerprint: tells judges apart whose answers may differ: the model's weights, its prompt, its precision.
    """

    @property
    def fingerprint(self) -> str: ...

    def judge(self, questions: Sequence[Question]) -> np.ndarray:
        """(B,) probability of "yes", in [0, 1], for each of `questions`; each as if it were asked alone."""
        ...


def judge_candidates(
    candidates: Sequence[Candidate],
    judge: Judge,
    *,
    frames_of: FramesOf,
    cache: JudgeCache,
    batch_size: int,
    reporter: Reporter | None = None,
) -> np.ndarray:
    """(N,) float64 probability that each of `candidates` shows its topic.

    Only what `cache` lacks is asked, each question once, and each batch is kept before the next is asked: a killed run,
    run again, goes on.

    Args:
        frames_of: the frames of shots, in any order; called once, with the shots that must be looked at, each once.
        cache: of this judge.

    Raises:
        VideoError: shots without frames, all of them at once, after the others were judged and kept.
        DataError: the judge did not answer with probabilities.
    """
    if batch_size < 1:
        raise ConfigError("the batch size must be at least 1", got=batch_size)
    asked: dict[str, list[Candidate]] = {}
    for candidate in dict.fromkeys(candidates):
        if cache.get(candidate) is None:
            asked.setdefault(candidate.shot, []).append(candidate)
    if asked:
        _ask(asked, judge, frames_of(list(asked)), cache, batch_size, reporter or Reporter())
    return np.array([cache.get(candidate) for candidate in candidates], dtype=np.float64)


def _ask(
    asked: dict[str, list[Candidate]],
    judge: Judge,
    shots: Iterator[ShotFrames],
    cache: JudgeCache,
    batch_size: int,
    reporter: Reporter,
) -> None:
    """Have `judge` answer all of `asked`, shot -> what is asked about it, and keep the answers."""
    waiting: list[tuple[Candidate, Question]] = []
    unseen = Problems("shots that cannot be judged")
    total, partial = sum(map(len, asked.values())), 0
    with reporter.stage("judge", total, "questions") as stage:
        for frames in shots:
            wanted = asked.pop(frames.shot)
            partial += frames.status == "partial"
            if frames.status == "failed":
                unseen.add(frames.shot, frames.reason)
                stage.advance(len(wanted), failed=len(wanted))
                continue
            waiting += [(candidate, Question(candidate.topic, frames.data)) for candidate in wanted]
            while len(waiting) >= batch_size:
                _answer(waiting[:batch_size], judge, cache)
                stage.advance(batch_size)
                waiting = waiting[batch_size:]
        if waiting:
            _answer(waiting, judge, cache)
            stage.advance(len(waiting))
    if partial:
        reporter.say(f"{partial} shots were judged by fewer frames than wanted: the others could not be decoded")
    for shot in asked:
        unseen.add(shot, "its frames were not given")
    unseen.raise_if_any(
        VideoError,
        next_step="mend these videos and run this again (what was judged is kept), or take their shots off the list",
    )


def _answer(batch: Sequence[tuple[Candidate, Question]], judge: Judge, cache: JudgeCache) -> None:
    yes = judge.judge([question for _, question in batch])
    if yes.shape != (len(batch),) or not ((yes >= 0) & (yes <= 1)).all():  # NaN compares false
        raise DataError(
            "the judge did not answer with a probability for each question",
            where=", ".join(candidate.shot for candidate, _ in batch[:3]),
            got=f"{yes.shape}, {np.array2string(yes, threshold=4)}",
            wanted=f"({len(batch)},) in [0, 1]",
        )
    cache.add([candidate for candidate, _ in batch], yes.tolist())
