"""A judge looks at the frames of the best candidates: does the shot show the topic, yes or no?

Only a few candidates of a list are judged: a judge is some thousand times slower than a dot product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from avs.core.errors import ConfigError, DataError, Problems, VideoError
from avs.core.frames import ShotFrames
from avs.core.progress import Reporter
from avs.reranking.judge_cache import Candidate, JudgeCache
from avs.reranking.material import Judge, Material, Question
from avs.reranking.methods.reranker import RERANKERS, Reranker

FramesOf = Callable[[Sequence[str]], Iterator[ShotFrames]]


def judge_evidence(material: Material) -> list[np.ndarray]:
    """(N,) probability that the judge says yes, for each list.

    Raises:
        UnknownIdError, VideoError, DataError, FormatError: see Judging.pictures, judge_candidates and JudgeCache.
    """
    judging = material.judging
    assert judging is not None
    shots = dict.fromkeys(shot for candidates in material.topics for shot in candidates.shots)
    pictures = judging.pictures(list(shots), material.reporter)
    questions = [Candidate(one.text, shot, pictures[shot]) for one in material.topics for shot in one.shots]
    cache = JudgeCache(judging.cache, judging.judge.fingerprint)
    known = sum(cache.get(question) is not None for question in questions)
    material.reporter.say(f"{len(questions)} questions, {known} of them answered in {judging.cache}")
    yes = judge_candidates(
        questions,
        judging.judge,
        frames_of=judging.frames_of,
        cache=cache,
        batch_size=judging.batch_size,
        reporter=material.reporter,
    )
    return np.split(yes, np.cumsum([len(candidates.shots) for candidates in material.topics])[:-1])


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

    Only questions that `cache` lacks are asked, each once. The answers of each batch are kept before the next batch is
    asked: a run that is killed can be run again, and goes on.

    Args:
        frames_of: gives the frames of shots, in any order; it is called once, with each shot that is asked about.
        cache: answers of this judge.

    Raises:
        ConfigError: the batch size is below 1.
        VideoError: shots have no frames; names all of them, after the others were judged and kept.
        DataError: the judge did not answer with probabilities.
    """
    if batch_size < 1:
        raise ConfigError("the batch size must be at least 1", got=batch_size)
    questions: dict[str, list[Candidate]] = {}
    for candidate in dict.fromkeys(candidates):
        if cache.get(candidate) is None:
            questions.setdefault(candidate.shot, []).append(candidate)
    if questions:
        _ask(questions, judge, frames_of(list(questions)), cache, batch_size, reporter or Reporter())
    return np.array([cache.get(candidate) for candidate in candidates], dtype=np.float64)


def _ask(
    questions: dict[str, list[Candidate]],
    judge: Judge,
    shots: Iterator[ShotFrames],
    cache: JudgeCache,
    batch_size: int,
    reporter: Reporter,
) -> None:
    """Have `judge` answer all questions, shot -> the questions about it, and keep the answers."""
    waiting: list[tuple[Candidate, Question]] = []
    unseen = Problems("shots that cannot be judged")
    total, partial = sum(map(len, questions.values())), 0
    with reporter.stage("judge", total, "questions") as stage:
        for frames in shots:
            wanted = questions.pop(frames.shot)
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
        reporter.say(f"{partial} shots were judged by fewer frames than --frames: the others could not be decoded")
    for shot in questions:
        unseen.add(shot, "it has no frames")
    unseen.raise_if_any(
        VideoError,
        next_step="repair these videos and run this again (the answers are kept), or remove their shots from the list",
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


RERANKERS.register("judge")(
    Reranker(
        help="a vision-language model says whether the shot shows the topic",
        evidence=judge_evidence,
        needs=("topics", "judge"),
        alpha=0.5,
        depth=100,  # a judge is slow
    )
)
