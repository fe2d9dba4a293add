"""What making a store took, as `extraction.json` in the store tells it: rates, waits, slow videos, failures by reason.

It decides nothing: no hash of it is recorded, and a store without it is as good.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from avs.core.artifacts import atomic_write
from avs.core.errors import FormatError
from avs.core.ids import parse_shot_id
from avs.core.progress import three_digits
from avs.core.store_parts import PARTS
from avs.features.work_log import JobWork, ReadLogs, VideoWork, WorkingProcess, read_logs, summed

ACCOUNT = "extraction.json"
FORMAT = 1
SLOWEST, SLOWEST_SAID = 10, 3  # videos in the file, and in the summary
SLOW, SLOW_S = 3.0, 1.0  # the summary names a video that takes so many times the mean, and so many seconds
KINDS_SAID = 20  # of failures, in the summary; the file has all


def write_account(path: Path, *, parts: Path, jobs: int, versions: Mapping[str, str]) -> None:
    """Write the account of a store of which all other files lie beside `path`.

    Args:
        parts: folder of the parts, with the logs of all processes.
        jobs: number of all jobs.
        versions: of what made it.
    """
    with open(path.with_name("problems.tsv"), encoding="utf-8") as file:
        failures = failures_by_reason(line.rstrip("\n").split("\t", 2) for line in file)
    told = account(read_logs(parts), jobs=jobs) | {"failures": failures, "versions": dict(versions)}
    with atomic_write(path) as file:
        json.dump(told, file, indent=2)
        file.write("\n")


def read_account(store: Path) -> dict[str, Any] | None:
    """The account of a store; None if there is none that this avs understands."""
    try:
        told = dict(json.loads((store / ACCOUNT).read_text(encoding="utf-8")))
        if told["format"] != FORMAT:
            return None
        main_figures(told), said_of(told)  # a file that somebody changed is as good as none
        return told
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def account_so_far(store: Path, *, jobs: int) -> dict[str, Any]:
    """The account of a store that is not finished, without the failures, which nobody has put together yet."""
    return account(read_logs(store / PARTS), jobs=jobs)


def account(logs: ReadLogs, *, jobs: int) -> dict[str, Any]:
    """What the logs tell, of a store with so many jobs.

    A job that two processes did counts for both of them, and once for the store.
    """
    first: dict[int, JobWork] = {}
    for _, works in logs.work:
        for work in works:
            first.setdefault(work.job, work)
    seconds = _at_work_s([(process.began_s, works[-1].end_s) for process, works in logs.work if works])
    shots, frames = (sum(getattr(work, what) for work in first.values()) for what in ("shots", "frames"))
    return {
        "format": FORMAT,
        "seconds": round(seconds, 3),
        "jobs": jobs,
        "jobs_told": len(first),
        "shots": shots,
        "frames": frames,
        "shots_per_s": _ratio(shots, seconds),
        "frames_per_s": _ratio(frames, seconds),
        **_waits(logs.work),
        "processes": [_of_process(process, works) for process, works in logs.work],
        "unread_logs": logs.unread,
        **_of_videos(first.values()),
    }


def _at_work_s(spans_s: Sequence[tuple[float, float]]) -> float:
    """Seconds in which at least one of several was at work."""
    total_s, until_s = 0.0, float("-inf")
    for began_s, end_s in sorted(spans_s):
        total_s += max(0.0, end_s - max(began_s, until_s))
        until_s = max(until_s, end_s)
    return total_s


def _of_process(process: WorkingProcess, works: Sequence[JobWork]) -> dict[str, Any]:
    sums = {what: sum(getattr(work, what) for work in works) for what in ("shots", "failed", "frames")}
    return {
        "owner": process.owner,
        "host": process.host,
        "pid": process.pid,
        "device": process.device,
        "batch_size": process.batch_size,
        "workers": process.workers,
        "stores_in_its_pass": process.stores,
        "jobs": len(works),
        **sums,
        "seconds": round(works[-1].end_s - process.began_s, 3) if works else 0.0,
        **_waits([(process, works)]),
    }


def _waits(work: Iterable[tuple[WorkingProcess, Sequence[JobWork]]]) -> dict[str, float | None]:
    """Shares of the time in which batches came, and the mean number of batches that were ready."""
    busy_s = decoders_s = device_waited_s = decoders_waited_s = queued_s = 0.0
    for process, works in work:
        own_s = sum(one.busy_s for one in works)
        busy_s += own_s
        decoders_s += own_s * max(1, process.workers)
        device_waited_s += sum(one.device_waited_s for one in works)
        decoders_waited_s += sum(one.decoders_waited_s for one in works)
        queued_s += sum(one.queued_s for one in works)
    return {
        "device_waits_share": _ratio(device_waited_s, busy_s),
        "decoders_wait_share": _ratio(decoders_waited_s, decoders_s),
        "queue_batches": _ratio(queued_s, busy_s),
    }


def _of_videos(works: Iterable[JobWork]) -> dict[str, Any]:
    videos = summed(work.videos for work in works)
    slowest = sorted(videos.items(), key=lambda item: (-item[1].decode_s, item[0]))[:SLOWEST]
    total = sum(videos.values(), VideoWork(0.0, 0, 0.0))
    return {
        "videos": len(videos),
        **_of_video(total),
        "slowest_videos": [{"video": video, **_of_video(one)} for video, one in slowest],
    }


def _of_video(work: VideoWork) -> dict[str, Any]:
    return {
        "decode_s": round(work.decode_s, 3),
        "video_s": round(work.shots_s, 3),
        "decode_s_per_video_s": _ratio(work.decode_s, work.shots_s),
    }


def _ratio(value: float, of: float) -> float | None:
    """To six digits; None where nothing is known."""
    return float(f"{value / of:.6g}") if of > 0 else None


def failures_by_reason(problems: Iterable[Sequence[str]]) -> list[dict[str, Any]]:
    """The failed shots, and then the partial ones, by the kind of the reason: "decode error at N s" is one.

    Args:
        problems: shot, status and reason.

    Returns:
        Kinds with their status, their number of shots, and the first shot as an example; the most frequent come first.
    """
    kinds: dict[tuple[str, str], dict[str, Any]] = {}
    for shot, status, reason in problems:
        kind = _kind(shot, reason)
        new = {"status": status, "reason": kind, "shots": 0, "example": {"shot": shot, "reason": reason}}
        kinds.setdefault((status, kind), new)["shots"] += 1
    return sorted(kinds.values(), key=lambda one: (one["status"] != "failed", -one["shots"], one["reason"]))


def _kind(shot: str, reason: str) -> str:
    """A reason without its numbers and the name of its video."""
    try:
        video = parse_shot_id(shot).video
        reason = re.sub(rf"(?<!\w){re.escape(video)}(?!\w)", "N" if video.isdecimal() else "VIDEO", reason)
    except FormatError:
        pass
    return re.sub(r"\d+(?:\.\d+)?", "N", reason)


def main_figures(told: Mapping[str, Any]) -> str:
    """The rates and waits of an account, in a line."""
    count, hosts = len(told["processes"]), len({process["host"] for process in told["processes"]})
    who = f"{count} process{'es' * (count != 1)}" + (f" on {hosts} machines" if hosts > 1 else "")
    figures = [f"made in {three_digits(told['seconds'])} s by {who}"]
    if told["shots_per_s"] is not None:
        figures += [f"{three_digits(told['shots_per_s'])} shots/s, {three_digits(told['frames_per_s'])} frames/s"]
    if told["device_waits_share"] is not None:
        figures += [waits(told["device_waits_share"], told["decoders_wait_share"])]
    if told["jobs_told"] < told["jobs"]:
        figures += [f"nothing is known of {told['jobs'] - told['jobs_told']} of {told['jobs']} jobs"]
    return "; ".join(figures)


def waits(device: float, decoders: float) -> str:
    """Shares of time, in words."""
    return f"device waits {100 * device:.0f} %, decoders wait {100 * decoders:.0f} %"


def account_lines(told: Mapping[Path, Mapping[str, Any] | None]) -> list[str]:
    """What a summary says of the accounts of stores; what is the same for stores of one pass is said of the first.

    Args:
        told: the account of each store; None: there is none.
    """
    lines: dict[str, None] = {}
    passes: set[tuple[str, ...]] = set()
    for folder, one in told.items():
        if one is None:
            continue
        owners = tuple(process["owner"] for process in one["processes"])
        if owners not in passes:
            lines[f"{folder}: {main_figures(one)}"] = None
        passes.add(owners)
        lines |= dict.fromkeys(said_of(one))
    return list(lines)


def said_of(told: Mapping[str, Any]) -> list[str]:
    """What a summary says of an account besides: every kind of failure, and videos that are slow beyond others."""
    failures = told.get("failures", [])
    lines = [f"{one['shots']} {one['status']}: {one['reason']} (such as {one['example']['shot']})" for one in failures]
    if len(lines) > KINDS_SAID:
        rest = sum(one["shots"] for one in failures[KINDS_SAID:])
        lines[KINDS_SAID:] = [f"{rest} others of {len(failures) - KINDS_SAID} more kinds: {ACCOUNT} has all"]
    mean = told["decode_s_per_video_s"]
    if told["videos"] > SLOWEST and mean:
        slow = [one for one in told["slowest_videos"] if _is_slow(one, mean)][:SLOWEST_SAID]
        words = [f"{one['video']} ({_slowness(one, mean)})" for one in slow]
        lines += [f"slow to decode: {', '.join(words)}"] if words else []
    return lines


def _is_slow(video: Mapping[str, Any], mean: float) -> bool:
    return video["decode_s"] >= SLOW_S and (video["decode_s_per_video_s"] or 0.0) >= SLOW * mean


def _slowness(video: Mapping[str, Any], mean: float) -> str:
    spent, long = three_digits(video["decode_s"]), three_digits(video["video_s"])
    return f"{spent} s for {long} s of video, {three_digits(video['decode_s_per_video_s'] / mean)} times the mean"
