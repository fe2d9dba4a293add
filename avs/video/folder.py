"""Frames of shots from video files, of several samplings in one pass over a file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from avs.core.errors import AvsError, DataError, VideoError
from avs.core.frames import ShotFrames
from avs.core.shots import Shot
from avs.video.clips import ClipSampling, cut_clips
from avs.video.decode import Frame, Video, slack_s
from avs.video.frame_stack import FrameStack
from avs.video.preview import read_key_frames
from avs.video.sampling import KEY_FRAMES, Sampling, Times
from avs.video.sparing import SparingError

T = TypeVar("T")

INDEXED_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm")  # of decode.INDEXED_FORMATS


@dataclass(frozen=True, slots=True)
class VideoFolder:
    """Video files by id, and how their shots are sampled. It is picklable, and opens files only while `read` runs.

    Args:
        paths: video id -> file.
        sampling: which frames of a shot are read.
        threads: number of codec threads; several videos in several processes are faster.
    """

    paths: Mapping[str, Path]
    sampling: Times = field(default_factory=Sampling)
    threads: int = 1

    def read(self, video: str, shots: Sequence[Shot]) -> Iterator[ShotFrames]:
        """The sampled frames of `shots`, which are of one video, in their order, in one pass over the file.

        Every shot is yielded as soon as it is complete; one without any frame is "failed", with the reason. Shots may
        overlap. They should be in time order: a late shot before an early one makes the others wait in memory.
        """
        for (frames,) in self.read_each(video, shots, [self.sampling]):
            yield frames

    def read_each(
        self, video: str, shots: Sequence[Shot], samplings: Sequence[Times]
    ) -> Iterator[tuple[ShotFrames, ...]]:
        """As `read`; of every shot the frames of each of `samplings`, which one pass serves.

        Key frames alone are read in a pass of their own, which costs little.
        """
        skipping = [place for place, sampling in enumerate(samplings) if self._skips(video, sampling)]
        others = [place for place in range(len(samplings)) if place not in skipping]
        together = in_order(self._collect(video, shots, [samplings[place] for place in others])) if others else None
        alone = [in_order(self._key_frames(video, shots, samplings[place])) for place in skipping]
        for _ in shots:
            found = dict(zip(others, next(together), strict=True)) if together else {}
            found |= {place: next(frames) for place, frames in zip(skipping, alone, strict=True)}
            yield tuple(found[place] for place in range(len(samplings)))

    def begins_anywhere(self, video: str) -> bool:
        """Whether the format of a video's file has an index to seek by; by its name, so that all processes agree."""
        return video in self.paths and self.paths[video].suffix.lower() in INDEXED_SUFFIXES

    def _skips(self, video: str, sampling: Times) -> bool:
        """Whether a sampling takes key frames alone, of a video that is there."""
        return isinstance(sampling, Sampling) and sampling.policy == KEY_FRAMES and video in self.paths

    def _key_frames(self, video: str, shots: Sequence[Shot], sampling: Times) -> Iterator[tuple[int, ShotFrames]]:
        """Positions in `shots` and their frames, as they become complete."""
        assert isinstance(sampling, Sampling)
        middle = replace(self, sampling=Sampling("middle"))
        return read_key_frames(self.paths[video], shots, sampling, partial(middle._one_by_one, video))

    def _one_by_one(self, video: str, shots: Sequence[Shot], keys_s: Sequence[float]) -> Iterator[ShotFrames]:
        """What `read` gives of a few shots, when nothing is decoded after the last wanted frame of each.

        They should be in time order: one that begins before the place that was reached opens the file anew.

        Args:
            keys_s: when the key frames of the video are on screen, where that is known.
        """
        reached_s = math.inf
        with ExitStack() as opened:
            for shot in shots:
                try:
                    collector = _Collector(shot, self.sampling)
                    if reached_s > collector.on_screen_s:
                        opened.close()
                        source, reached_s = opened.enter_context(self._open(video, keys_s)), 0.0
                    for frame in source.frames([(shot.start_s, shot.end_s)]):
                        reached_s = frame.until_s
                        if collector.on_screen_s < frame.until_s:
                            collector.offer(frame)
                        if collector.complete:
                            break
                    yield collector.finish(source)
                except (DataError, VideoError) as error:
                    yield _failed(shot, error)

    def _collect(
        self, video: str, shots: Sequence[Shot], samplings: Sequence[Times]
    ) -> Iterator[tuple[int, tuple[ShotFrames, ...]]]:
        """Positions in `shots` and their frames by each of `samplings`, in the order in which shots end.

        Frames that need not be decoded are spared. Where the file is not in order, the shots that are left are read
        again without sparing any.
        """
        left = set(range(len(shots)))
        try:
            for place, found in self._pass(video, shots, samplings, sparing=True):
                left.remove(place)
                yield place, found
        except SparingError:
            places = sorted(left)
            for number, found in self._pass(video, [shots[place] for place in places], samplings, sparing=False):
                yield places[number], found

    def _pass(
        self, video: str, shots: Sequence[Shot], samplings: Sequence[Times], *, sparing: bool
    ) -> Iterator[tuple[int, tuple[ShotFrames, ...]]]:
        """One pass over the file for `_collect`.

        Raises:
            SparingError: frames were spared, and the file is not in order.
        """
        order = sorted(range(len(shots)), key=lambda place: shots[place].start_s)
        waiting: list[tuple[int, _Collectors]] = []
        for place in reversed(order):
            try:
                waiting.append((place, _Collectors(shots[place], samplings)))
            except DataError as error:
                yield place, (_failed(shots[place], error),) * len(samplings)
        open_shots: list[tuple[int, _Collectors]] = []
        try:
            with self._open(video) as source:
                needed = _needed([collectors for _, collectors in waiting], source) if sparing else None
                for frame in source.frames([(shot.start_s, shot.end_s) for shot in shots], needed=needed):
                    while waiting and waiting[-1][1].on_screen_s < frame.until_s:
                        open_shots.append(waiting.pop())
                    for _, collectors in open_shots:
                        collectors.offer(frame, source)
                    for place, collectors in [item for item in open_shots if item[1].complete]:
                        yield place, collectors.finish(source)
                    open_shots = [item for item in open_shots if not item[1].complete]
                for place, collectors in [*open_shots, *reversed(waiting)]:
                    yield place, collectors.finish(source)
        except VideoError as error:
            for place, collectors in [*open_shots, *reversed(waiting)]:
                yield place, collectors.fail(error)

    def _open(self, video: str, keys_s: Sequence[float] = ()) -> Video:
        if video not in self.paths:
            raise VideoError("no video file has this id", got=video)
        return Video(self.paths[video], threads=self.threads, keys_s=keys_s)


def _needed(shots: Sequence[_Collectors], video: Video) -> np.ndarray | None:
    """(N,) bool: the frames of a video that may be wanted for some shots; None if it cannot spare the others."""
    times_s = video.times_s()
    if times_s is None:
        return None
    needed = np.zeros(len(times_s), dtype=bool)
    for collectors in shots:
        needed[collectors.needed(times_s)] = True
    return needed


def in_order(places: Iterator[tuple[int, T]]) -> Iterator[T]:
    """What has the places 0, 1, 2 ... in this order, as soon as it is there."""
    ready: dict[int, T] = {}
    turn = 0
    for place, item in places:
        ready[place] = item
        while turn in ready:
            yield ready.pop(turn)
            turn += 1


class _Collectors:
    """Those of one shot, one for every sampling. Each ends as if it were alone."""

    def __init__(self, shot: Shot, samplings: Sequence[Times]) -> None:
        self.shot = shot
        self._each = [_Collector(shot, sampling) for sampling in samplings]
        self._found: dict[int, ShotFrames] = {}
        self.on_screen_s = self._each[0].on_screen_s

    @property
    def complete(self) -> bool:
        return len(self._found) == len(self._each)

    def needed(self, times_s: np.ndarray) -> np.ndarray:
        """Numbers of the frames, at these times, that a sampling may want."""
        return np.concatenate([collector.needed(times_s) for collector in self._each])

    def offer(self, frame: Frame, video: Video) -> None:
        for place, collector in enumerate(self._each):
            if place not in self._found:
                collector.offer(frame)
                if collector.complete:
                    self._found[place] = collector.finish(video)

    def finish(self, video: Video) -> tuple[ShotFrames, ...]:
        """The frames of each sampling."""
        return self._with({place: collector.finish(video) for place, collector in self._left()})

    def fail(self, error: VideoError) -> tuple[ShotFrames, ...]:
        """The frames of those samplings that had all of theirs before the error; the others failed."""
        return self._with({place: _failed(self.shot, error) for place, _ in self._left()})

    def _left(self) -> list[tuple[int, _Collector]]:
        return [(place, collector) for place, collector in enumerate(self._each) if place not in self._found]

    def _with(self, others: Mapping[int, ShotFrames]) -> tuple[ShotFrames, ...]:
        found = {**self._found, **others}
        return tuple(found[place] for place in range(len(self._each)))


class _Collector:
    """Collects the wanted frames of one shot while the video is read.

    A wanted time means the frame on screen then: the last one that began at or before it. If that frame began before
    the shot, the first frame of the shot is taken instead, unless no frame begins in the shot. A shot that gets no
    frame by this rule, because the video breaks off, gets the last frame that was on screen during it.
    """

    def __init__(self, shot: Shot, sampling: Times) -> None:
        self.shot = shot
        tolerance_s = slack_s(shot.start_s, shot.end_s)
        self.start_s, self.end_s = shot.start_s - tolerance_s, shot.end_s - tolerance_s
        self.on_screen_s = shot.start_s + tolerance_s  # a frame that ends before this was not seen in the shot
        # A frame whose rounded time is just after the wanted time is the frame on screen then.
        self.wanted_s = [min(t + tolerance_s, self.end_s) for t in sampling.times(shot.start_s, shot.end_s).tolist()]
        self.wanted_clips = sampling.places(shot.start_s, shot.end_s) if isinstance(sampling, ClipSampling) else None
        self.given: list[int] = []  # of the wanted times that have passed, the position of the frame; -1: lost
        self.latest: Frame | None = None  # on screen during the shot
        self.stack = FrameStack(len(self.wanted_s))
        self.error_s: float | None = None

    @property
    def complete(self) -> bool:
        return len(self.given) == len(self.wanted_s)

    def needed(self, times_s: np.ndarray) -> np.ndarray:
        """Numbers of the frames that may be wanted, of a video that is whole and has frames at these times.

        They are those on screen at the wanted times. Where such a frame began before the shot, so is the next one.
        """
        on_screen = np.maximum(np.searchsorted(times_s, self.wanted_s, side="right") - 1, 0)
        early = on_screen[times_s[on_screen] < self.start_s]
        return np.concatenate([on_screen, np.minimum(early + 1, len(times_s) - 1)])

    def offer(self, frame: Frame) -> None:
        """Take `frame` if it is wanted, and record the wanted times that passed without a frame."""
        previous = self.latest
        if frame.time_s <= self.end_s:
            self.latest = frame
        while not self.complete and self.wanted_s[len(self.given)] < frame.until_s:
            wanted_s = self.wanted_s[len(self.given)]
            if frame.time_s <= wanted_s and frame.time_s < self.start_s:
                return  # the first frame of the shot will be taken instead
            if frame.time_s <= wanted_s:
                self.given.append(self._add(frame))
            elif previous is not None and previous.time_s < self.start_s and wanted_s < previous.until_s:
                self.given.append(self._add(frame if frame.time_s <= self.end_s else previous))
            else:
                self.given.append(-1)

    def _add(self, frame: Frame) -> int:
        """Keep a frame, if it is not kept; its position."""
        if not self.stack.times_s or self.stack.times_s[-1] != frame.time_s:
            self.stack.add(frame)
            if frame.error_s is not None:
                self.error_s = frame.error_s
        return len(self.stack.times_s) - 1

    def finish(self, video: Video) -> ShotFrames:
        """The collected frames, and the reason if some are missing."""
        if not self.stack.times_s and self.latest is not None:  # the video breaks off early in the shot
            only = self._add(self.latest)
            while not self.complete and self.wanted_s[len(self.given)] < self.latest.until_s:
                self.given.append(only)
        total = len(self.wanted_s)
        self.given += [-1] * (total - len(self.given))
        lost_s = [wanted_s for wanted_s, given in zip(self.wanted_s, self.given, strict=True) if given < 0]
        if not self.stack.times_s:
            return _failed(self.shot, f"0/{total} frames, {_why(lost_s[0], video)}")
        found = ShotFrames(self.shot.id, self.stack.data, self.stack.pts_s)
        if lost_s:
            reason = f"{max(1, total - len(lost_s))}/{total} frames, {_why(lost_s[0], video)}"
            found = replace(found, status="partial", reason=reason)
        elif self.error_s is not None:
            reason = f"{total}/{total} frames, perhaps damaged by the decode error at {self.error_s:.1f} s"
            found = replace(found, status="partial", reason=reason)
        return found if self.wanted_clips is None else cut_clips(found, np.array(self.given), self.wanted_clips)


def _why(lost_s: float, video: Video) -> str:
    """The reason why there is no frame at `lost_s`."""
    if video.end_s is not None and lost_s >= video.end_s:
        return f"the video ends at {video.end_s:.1f} s"
    errors_s = [error_s for error_s in video.errors_s if error_s <= lost_s]
    return f"decode error at {max(errors_s):.1f} s" if errors_s else f"the file has no frame for {lost_s:.1f} s"


def _failed(shot: Shot, why: str | AvsError) -> ShotFrames:
    reason = why if isinstance(why, str) else why.what if why.got is None else f"{why.what} ({why.got})"
    return ShotFrames(shot.id, np.empty((0, 1, 1, 3), dtype=np.uint8), np.empty(0), "failed", reason)
