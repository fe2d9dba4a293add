"""What each process tells of its work on a store: a log of its own beside the parts, which decides nothing.

    parts/logs/<owner>.jsonl    a line of JSON that says who it is, then one for each job that it finished

The line of a job is written before its part, so whoever finds all parts finds all lines. A job that was lost in between
is done again, and has two lines. Logs are not synced: a line that a kill cut short is left out when they are read, and
so is the log of another avs. A disk that is full ends the log and not the work.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FORMAT = 1
LOGS = "logs"


@dataclass(frozen=True, slots=True)
class WorkingProcess:
    """A process that fills a store.

    Attributes:
        owner: its name in the folder of the parts.
        host, pid: its machine, for people, and its number.
        device: that encodes.
        batch_size, workers: how it ran; 0 workers: it decoded itself.
        stores: number of stores that share its pass over the videos.
        began_s: when it began, in seconds since 1970 by the clock of its machine.
    """

    owner: str
    host: str
    pid: int
    device: str
    batch_size: int
    workers: int
    stores: int
    began_s: float


@dataclass(frozen=True, slots=True)
class VideoWork:
    """What it took to decode some shots of one video.

    Attributes:
        decode_s: seconds.
        shots: number of the shots.
        shots_s: seconds of video in them.
    """

    decode_s: float
    shots: int
    shots_s: float

    def __add__(self, other: VideoWork) -> VideoWork:
        return VideoWork(self.decode_s + other.decode_s, self.shots + other.shots, self.shots_s + other.shots_s)


def summed(works: Iterable[Mapping[str, VideoWork]]) -> dict[str, VideoWork]:
    """The works of all, added up for each video."""
    total: dict[str, VideoWork] = {}
    for videos in works:
        for video, work in videos.items():
            total[video] = total[video] + work if video in total else work
    return total


@dataclass(frozen=True, slots=True)
class JobWork:
    """What a process did from the end of its job before to the end of this one.

    Attributes:
        job: number of the job.
        shots, failed: of the job.
        frames: number of images that were encoded for the store; of clips, the frames in them.
        end_s: when it ended, as began_s.
        busy_s: seconds since the job before ended; of the first job, since the first batch came.
        device_waited_s: of these, those in which nothing could be encoded, because no batch was there.
        decoders_waited_s: those in which a worker could not go on, as its batches were not taken; sum over workers.
        queued_s: those that batches waited until they were taken, summed over batches.
        videos: of the job.
    """

    job: int
    shots: int
    failed: int
    frames: int
    end_s: float
    busy_s: float
    device_waited_s: float
    decoders_waited_s: float
    queued_s: float
    videos: Mapping[str, VideoWork] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The fields; of a video its numbers."""
        fields = {name: round(value, 4) if isinstance(value, float) else value for name, value in _shallow(self)}
        videos = {name: [round(w.decode_s, 4), w.shots, round(w.shots_s, 3)] for name, w in self.videos.items()}
        return fields | {"videos": videos}

    @staticmethod
    def from_json(fields: Mapping[str, Any]) -> JobWork:
        """What to_json gave.

        Raises:
            ValueError, TypeError, KeyError, AttributeError: it did not give this.
        """
        return JobWork(
            job=int(fields["job"]),
            shots=int(fields["shots"]),
            failed=int(fields["failed"]),
            frames=int(fields["frames"]),
            end_s=float(fields["end_s"]),
            busy_s=float(fields["busy_s"]),
            device_waited_s=float(fields["device_waited_s"]),
            decoders_waited_s=float(fields["decoders_waited_s"]),
            queued_s=float(fields["queued_s"]),
            videos={name: VideoWork(float(a), int(b), float(c)) for name, (a, b, c) in fields["videos"].items()},
        )


def _shallow(work: JobWork) -> Iterator[tuple[str, Any]]:
    return ((name, getattr(work, name)) for name in JobWork.__slots__ if name != "videos")


class WorkLog:
    """The log that this process writes.

    Args:
        parts: folder of the store's parts.
        process: this one.

    Attributes:
        error: what ended the log; None: nothing.
    """

    def __init__(self, parts: Path, process: WorkingProcess) -> None:
        self.path = parts / LOGS / f"{process.owner}.jsonl"
        self._lines = json.dumps({"format": FORMAT, **asdict(process)}) + "\n"  # that are not written yet
        self.error: OSError | None = None

    def add(self, work: JobWork) -> None:
        """Append a job. If the folder of the parts is gone, the store is finished, and nobody reads the log."""
        if self.error is not None or not self.path.parent.parent.is_dir():
            return
        self._lines += json.dumps(work.to_json()) + "\n"
        try:
            self.path.parent.mkdir(exist_ok=True)
            with open(self.path, "ab", buffering=0) as file:
                _write(file.fileno(), self._lines.encode())
            self._lines = ""
        except FileNotFoundError:
            return
        except OSError as error:
            self.error = error


def _write(descriptor: int, data: bytes) -> None:
    while data:  # a disk that becomes full takes some, and then refuses the rest
        data = data[os.write(descriptor, data) :]


@dataclass(frozen=True, slots=True)
class ReadLogs:
    """The logs of a folder.

    Attributes:
        work: each process, and its jobs in their order.
        unread: names of the logs that this avs does not understand.
    """

    work: list[tuple[WorkingProcess, list[JobWork]]] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


def read_logs(parts: Path) -> ReadLogs:
    """What all processes told; nothing, if the folder of the parts is gone."""
    read = ReadLogs()
    for path in sorted((parts / LOGS).glob("*.jsonl")):
        try:
            lines = path.read_bytes().splitlines(keepends=True)
            if not lines or not lines[0].endswith(b"\n"):
                continue  # its process was killed while it wrote the first one
            read.work.append((_process(lines[0]), list(_jobs(lines[1:]))))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            read.unread.append(path.name)
    return read


def _process(line: bytes) -> WorkingProcess:
    fields = dict(json.loads(line))
    if fields.pop("format") != FORMAT:
        raise ValueError("another format")
    return WorkingProcess(**fields)


def _jobs(lines: list[bytes]) -> Iterator[JobWork]:
    for line in lines:
        if line.endswith(b"\n"):
            yield JobWork.from_json(json.loads(line))
