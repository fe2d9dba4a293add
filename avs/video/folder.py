"""Frames of shots from video files: the FrameSource that extraction reads."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from avs.core.errors import AvsError, DataError, VideoError
from avs.core.frames import ShotFrames
from avs.core.shots import Shot
from avs.video.decode import Frame, Video, slack_s
from avs.video.preview import read_key_frames
from avs.video.sampling import KEY_FRAMES, Sampling, Times

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
        ready: dict[int, ShotFrames] = {}
        turn = 0
        for place, frames in self._places(video, shots):
            ready[place] = frames
            while turn in ready:
                yield ready.pop(turn)
                turn += 1

    def begins_anywhere(self, video: str) -> bool:
        """Whether the format of a video's file has an index to seek by; by its name, so that all processes agree."""
        return video in self.paths and self.paths[video].suffix.lower() in INDEXED_SUFFIXES

    def _places(self, video: str, shots: Sequence[Shot]) -> Iterator[tuple[int, ShotFrames]]:
        """Positions in `shots` and their frames, as they become complete."""
        if isinstance(self.sampling, Sampling) and self.sampling.policy == KEY_FRAMES and video in self.paths:
            middle = replace(self, sampling=Sampling("middle"))
            return read_key_frames(self.paths[video], shots, self.sampling, partial(middle._one_by_one, video))
        return self._collect(video, shots)

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

    def _collect(self, video: str, shots: Sequence[Shot]) -> Iterator[tuple[int, ShotFrames]]:
        """Positions in `shots` and their frames, in the order in which shots end."""
        order = sorted(range(len(shots)), key=lambda place: shots[place].start_s)
        waiting: list[tuple[int, _Collector]] = []
        for place in reversed(order):
            try:
                waiting.append((place, _Collector(shots[place], self.sampling)))
            except DataError as error:
                yield place, _failed(shots[place], error)
        open_shots: list[tuple[int, _Collector]] = []
        try:
            with self._open(video) as source:
                for frame in source.frames([(shot.start_s, shot.end_s) for shot in shots]):
                    while waiting and waiting[-1][1].on_screen_s < frame.until_s:
                        open_shots.append(waiting.pop())
                    for _, collector in open_shots:
                        collector.offer(frame)
                    for place, collector in [item for item in open_shots if item[1].complete]:
                        yield place, collector.finish(source)
                    open_shots = [item for item in open_shots if not item[1].complete]
                for place, collector in [*open_shots, *reversed(waiting)]:
                    yield place, collector.finish(source)
        except VideoError as error:
            for place, collector in [*open_shots, *reversed(waiting)]:
                yield place, _failed(collector.shot, error)

    def _open(self, video: str, keys_s: Sequence[float] = ()) -> Video:
        if video not in self.paths:
            raise VideoError("no video file has this id", got=video)
        return Video(self.paths[video], threads=self.threads, keys_s=keys_s)


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
        self.place = 0  # position of the next wanted time
        self.lost_s: list[float] = []
        self.latest: Frame | None = None  # on screen during the shot
        self.times_s: list[float] = []
        self.data: np.ndarray | None = None
        self.error_s: float | None = None

    @property
    def complete(self) -> bool:
        return self.place == len(self.wanted_s)

    def offer(self, frame: Frame) -> None:
        """Take `frame` if it is wanted, and record the wanted times that passed without a frame."""
        previous = self.latest
        if frame.time_s <= self.end_s:
            self.latest = frame
        while not self.complete and self.wanted_s[self.place] < frame.until_s:
            wanted_s = self.wanted_s[self.place]
            if frame.time_s <= wanted_s and frame.time_s < self.start_s:
                return  # the first frame of the shot will be taken instead
            if frame.time_s <= wanted_s:
                self._take(frame)
            elif previous is not None and previous.time_s < self.start_s and wanted_s < previous.until_s:
                self._take(frame if frame.time_s <= self.end_s else previous)
            else:
                self.lost_s.append(wanted_s)
            self.place += 1

    def _take(self, frame: Frame) -> None:
        if self.times_s and self.times_s[-1] == frame.time_s:
            return
        if self.data is None:
            first = frame.rgb()
            self.data = np.empty((len(self.wanted_s), *first.shape), dtype=np.uint8)
            self.data[0] = first
        else:  # a video may change its size midway
            self.data[len(self.times_s)] = frame.rgb(size=self.data.shape[1:3])
        self.times_s.append(frame.time_s)
        if frame.error_s is not None:
            self.error_s = frame.error_s

    def finish(self, video: Video) -> ShotFrames:
        """The collected frames, and the reason if some are missing."""
        if self.data is None and self.latest is not None:  # the video breaks off early in the shot
            self._take(self.latest)
            while not self.complete and self.wanted_s[self.place] < self.latest.until_s:
                self.place += 1
        lost_s = [*self.lost_s, *self.wanted_s[self.place :]]
        total = len(self.wanted_s)
        if self.data is None:
            return _failed(self.shot, f"0/{total} frames, {_why(lost_s[0], video)}")
        data, times_s = self.data[: len(self.times_s)], np.array(self.times_s)
        if lost_s:
            reason = f"{max(1, total - len(lost_s))}/{total} frames, {_why(lost_s[0], video)}"
        elif self.error_s is not None:
            reason = f"{total}/{total} frames, perhaps damaged by the decode error at {self.error_s:.1f} s"
        else:
            return ShotFrames(self.shot.id, data, times_s)
        return ShotFrames(self.shot.id, data, times_s, "partial", reason)


def _why(lost_s: float, video: Video) -> str:
    """The reason why there is no frame at `lost_s`."""
    if video.end_s is not None and lost_s >= video.end_s:
        return f"the video ends at {video.end_s:.1f} s"
    errors_s = [error_s for error_s in video.errors_s if error_s <= lost_s]
    return f"decode error at {max(errors_s):.1f} s" if errors_s else f"the file has no frame for {lost_s:.1f} s"


def _failed(shot: Shot, why: str | AvsError) -> ShotFrames:
    reason = why if isinstance(why, str) else why.what if why.got is None else f"{why.what} ({why.got})"
    return ShotFrames(shot.id, np.empty((0, 1, 1, 3), dtype=np.uint8), np.empty(0), "failed", reason)
