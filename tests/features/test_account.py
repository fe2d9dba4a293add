"""extraction.json: what the logs of all processes add up to, and what of it is said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from avs.features.account import (
    ACCOUNT,
    KINDS_SAID,
    account,
    failures_by_reason,
    main_figures,
    read_account,
    said_of,
    write_account,
)
from avs.features.work_log import JobWork, ReadLogs, VideoWork, WorkingProcess, WorkLog

ONE = WorkingProcess("far-1-ab", "far", 1, "cuda:0", 32, 4, 2, 1000.0)
WORK = JobWork(0, 100, 2, 600, 1060.0, 50.0, 20.0, 40.0, 75.0, {"00001": VideoWork(12.5, 100, 400.0)})


def test_one_process() -> None:
    told = account(ReadLogs([(ONE, [WORK, replace(WORK, job=1, end_s=1120.0)])]), jobs=2)
    assert (told["seconds"], told["jobs"], told["jobs_told"]) == (120.0, 2, 2)
    assert (told["shots"], told["frames"], told["frames_per_s"]) == (200, 1200, 10.0)
    assert told["shots_per_s"] == pytest.approx(200 / 120, rel=1e-5)
    assert (told["device_waits_share"], told["decoders_wait_share"], told["queue_batches"]) == (0.4, 0.2, 1.5)
    (process,) = told["processes"]
    assert {"owner": "far-1-ab", "device": "cuda:0", "workers": 4, "jobs": 2, "failed": 4}.items() <= process.items()
    assert (process["seconds"], process["device_waits_share"]) == (120.0, 0.4)
    assert told["slowest_videos"] == [
        {"video": "00001", "decode_s": 25.0, "video_s": 800.0, "decode_s_per_video_s": 0.03125}
    ]
    json.dumps(told)


def test_time_in_which_nobody_was_at_work_does_not_count() -> None:
    """Killed at 1060 s, and gone on at 5000 s by two processes of two machines at once."""
    again = replace(ONE, owner="far-2-cd", pid=2, began_s=5000.0)
    beside = replace(ONE, owner="near-1-ef", host="near", workers=0, began_s=5010.0)
    logs = ReadLogs(
        [
            (beside, [replace(WORK, job=2, end_s=5090.0)]),
            (ONE, [WORK]),
            (again, [replace(WORK, job=1, end_s=5080.0)]),
        ]
    )
    told = account(logs, jobs=3)
    assert told["seconds"] == 60.0 + 90.0 and told["shots"] == 300
    assert told["decoders_wait_share"] == pytest.approx(3 * 40 / (2 * 50 * 4 + 50 * 1), rel=1e-5)
    assert [process["seconds"] for process in told["processes"]] == [80.0, 60.0, 80.0]
    assert main_figures(told).startswith(
        "made in 150 s by 3 processes on 2 machines; 2 shots/s, 12 frames/s; device waits"
    )


def test_a_job_that_two_did_counts_once_for_the_store() -> None:
    other = replace(ONE, owner="near-1-ef", host="near")
    told = account(ReadLogs([(ONE, [WORK]), (other, [WORK])], ["x.jsonl"]), jobs=2)
    assert (told["jobs_told"], told["shots"], told["decode_s"]) == (1, 100, 12.5)
    assert [process["shots"] for process in told["processes"]] == [100, 100]
    assert told["unread_logs"] == ["x.jsonl"]
    assert main_figures(told).endswith("nothing is known of 1 of 2 jobs")


def test_nothing_is_known_without_logs() -> None:
    told = account(ReadLogs(), jobs=3)
    assert (told["seconds"], told["shots_per_s"], told["device_waits_share"], told["slowest_videos"]) == (
        0.0,
        None,
        None,
        [],
    )
    assert main_figures(told) == "made in 0 s by 0 processes; nothing is known of 3 of 3 jobs" and said_of(told) == []


def test_failures_are_counted_by_kind() -> None:
    problems = [
        ("shot00001_3", "failed", "0/4 frames, decode error at 3.2 s"),
        ("shot00001_4", "failed", "0/4 frames, decode error at 14 s"),
        ("shot00001_5", "partial", "3/4 frames, decode error at 15.0 s"),
        ("shot00001_6", "partial", "2/4 frames, decode error at 16.0 s"),
        ("shot00001_7", "partial", "1/9 frames, decode error at 17.0 s"),
        ("shotfilm-a_1", "failed", "no video file has this id (film-a)"),
        ("shot00002_1", "failed", "no video file has this id (00002)"),
        ("shotfilm-b_1", "failed", "no video file has this id (film-b)"),
    ]
    found = failures_by_reason(problems)
    assert [(one["status"], one["shots"], one["reason"]) for one in found] == [
        ("failed", 2, "N/N frames, decode error at N s"),
        ("failed", 2, "no video file has this id (VIDEO)"),
        ("failed", 1, "no video file has this id (N)"),
        ("partial", 3, "N/N frames, decode error at N s"),
    ]
    assert found[0]["example"] == {"shot": "shot00001_3", "reason": "0/4 frames, decode error at 3.2 s"}
    assert said_of(account(ReadLogs(), jobs=0) | {"failures": found})[0] == (
        "2 failed: N/N frames, decode error at N s (such as shot00001_3)"
    )


def test_of_many_kinds_the_most_frequent_are_said_and_the_others_counted() -> None:
    kinds = ["x" * number for number in range(1, KINDS_SAID + 4)]
    problems = [(f"shot1_{n + 1}", "failed", f"{kinds[n % len(kinds)]}!") for n in range(3 * len(kinds))]
    lines = said_of(account(ReadLogs(), jobs=0) | {"failures": failures_by_reason(problems)})
    assert len(lines) == KINDS_SAID + 1 and lines[-1] == f"9 others of 3 more kinds: {ACCOUNT} has all"


def told_of(**videos: VideoWork) -> dict[str, Any]:
    return account(ReadLogs([(ONE, [replace(WORK, videos=videos)])]), jobs=1)


def test_the_ten_slowest_videos() -> None:
    told = told_of(**{f"v{n:02d}": VideoWork(1.0 + n, 10, 100.0) for n in range(12)})
    assert [one["video"] for one in told["slowest_videos"]] == [f"v{n:02d}" for n in range(11, 1, -1)]
    assert (told["videos"], told["decode_s"], told["video_s"]) == (12, 78.0, 1200.0)
    assert said_of(told) == [], "none takes much longer than others"


def test_a_video_that_is_slow_beyond_others_is_said() -> None:
    usual = {f"v{n:02d}": VideoWork(2.0, 10, 100.0) for n in range(10)}
    odd = {"av1": VideoWork(30.0, 10, 100.0), "vp9": VideoWork(40.0, 10, 100.0), "long": VideoWork(50.0, 900, 9000.0)}
    assert told_of(**usual, **odd)["slowest_videos"][0]["video"] == "long"
    (line,) = said_of(told_of(**usual, **odd))
    assert line == (
        "slow to decode: vp9 (40 s for 100 s of video, 29.1 times the mean), "
        "av1 (30 s for 100 s of video, 21.9 times the mean)"
    )
    few = {name: usual[name] for name in list(usual)[:7]}
    assert said_of(told_of(**few, **odd)) == [], "of ten videos nobody needs a list"
    short = {"short": VideoWork(0.9, 1, 0.1)}
    assert said_of(told_of(**usual, **short)) == [], "less than a second is not worth a line"


def test_the_file_of_a_store(tmp_path: Path) -> None:
    log = WorkLog(tmp_path, ONE)
    log.add(WORK)
    (tmp_path / "problems.tsv").write_text("shot1_1\tfailed\tcut off\nshot1_2\tpartial\ta\tb\n", encoding="utf-8")
    write_account(tmp_path / ACCOUNT, parts=tmp_path, jobs=1, versions={"avs": "1"})
    told = read_account(tmp_path)
    assert told is not None and told["versions"] == {"avs": "1"} and told["frames"] == 600
    assert [one["reason"] for one in told["failures"]] == ["cut off", "a\tb"]


@pytest.mark.parametrize("text", ["", "{", "[]", "1", '{"format": 2}', '{"format": 1}', "[" * 100_000])
def test_a_file_that_is_no_account_is_none(tmp_path: Path, text: str) -> None:
    assert read_account(tmp_path) is None
    (tmp_path / ACCOUNT).write_text(text)
    assert read_account(tmp_path) is None
