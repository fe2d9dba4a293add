"""Several `avs extract-features` on one folder: they share the work, and survive each other's deaths."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from quick_processes import QuickProcess, QuickProcesses, quick_processes
from tiny_checkpoints import make_clip
from tiny_videos import write_collection

from avs.cli.main import main
from avs.core.store import FeatureStore

FILMS, JOBS = 12, 24  # of 36 shots
NAMES = ("vectors.npy", "ids.txt", "problems.tsv", "offsets.npy", "pts_s.npy", "videos.tsv")


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with videos/, shots.tsv, a tiny checkpoint, and the stores of an undisturbed run in whole/."""
    root = tmp_path_factory.mktemp("collection")
    write_collection(root, films=FILMS)
    make_clip(root / "clip")
    assert main([*map(str, arguments(root, root / "whole")), "--quiet"]) == 0
    return root


def arguments(collection: Path, output: Path, *more: object) -> list[object]:
    where = ["--videos", collection / "videos", "--shots", collection / "shots.tsv", "-o", output]
    model = ["--model", "clip", "--weights", collection / "clip", "--level", "shot", "--level", "frame"]
    return ["extract-features", *where, *model, "--batch-size", 2, "--workers", 0, *more]


def same(collection: Path, output: Path) -> bool:
    files = [path for level in ("shot", "frame") for path in sorted((collection / "whole/clip" / level).iterdir())]
    assert len(files) == 4 + 6 + 2 * 3
    return all(
        path.read_bytes() == (output / path.relative_to(collection / "whole")).read_bytes()
        for path in files
        if path.name in NAMES
    )


@pytest.fixture(scope="module")
def avs(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[QuickProcesses]:
    with quick_processes(tmp_path_factory.mktemp("printed"), collection / "clip") as processes:
        yield processes


def until(true: Callable[[], object], process: QuickProcess) -> None:
    """Return when `true()` is; fail when the process has ended without that."""
    while not true():
        ended = process.ended
        assert not ended or true(), process.err.read_text()
        time.sleep(0.01)


def test_processes_at_once_share_the_work_and_one_puts_it_together(
    collection: Path, tmp_path: Path, avs: QuickProcesses
) -> None:
    started = [avs.start(arguments(collection, tmp_path / "out", "--json")) for _ in range(3)]
    codes = [process.wait() for process in started]
    assert codes == [0] * 3, [process.err.read_text() for process in started]
    assert same(collection, tmp_path / "out")
    stores = [json.loads(process.out.read_text())["stores"] for process in started]
    for level in (0, 1):
        assert any(of_one[level]["finished"] for of_one in stores)
    for store in (store for of_one in stores for store in of_one if not store["finished"]):
        assert store["jobs"] == JOBS and store["jobs_done"] + sum(store["jobs_with"].values()) in (JOBS, JOBS + 1)
        assert store["extraction"]["jobs"] == JOBS >= store["extraction"]["jobs_told"]
    for level in ("shot", "frame"):
        assert_all_told(tmp_path / "out/clip" / level, [process.pid for process in started])


def assert_all_told(store: Path, pids: list[int], *, killed: int = 0) -> None:
    """extraction.json knows all jobs, and each was done by one of these processes; or by two, if one was killed."""
    told = json.loads((store / "extraction.json").read_text())
    assert (told["jobs"], told["jobs_told"], told["shots"], told["videos"]) == (JOBS, JOBS, 3 * FILMS, FILMS)
    assert {process["pid"] for process in told["processes"]} <= set(pids)
    assert sum(process["jobs"] for process in told["processes"]) in (JOBS, JOBS + killed)


HOLDING = """
import os, time
from avs.core.store_parts import StoreParts
write = StoreParts.write
def slow(parts, job, part):
    while job == 1 and not os.path.exists({go!r}):
        time.sleep(0.01)
    write(parts, job, part)
StoreParts.write = slow
"""  # the command itself, which has done its first job, and holds its second


@pytest.fixture
def holder(collection: Path, tmp_path: Path, avs: QuickProcesses) -> Iterator[QuickProcess]:
    """A process that holds job 1 of both stores until there is a file "go"."""
    before = HOLDING.format(go=str(tmp_path / "go"))
    process = avs.start(arguments(collection, tmp_path / "out"), before=before)
    until(lambda: len(list(tmp_path.glob("out/clip/*/parts/leases/000001.0"))) == 2, process)
    yield process
    process.signal(signal.SIGKILL)


def test_what_a_living_process_holds_is_left_to_it_and_said(
    collection: Path, tmp_path: Path, avs: QuickProcesses, holder: QuickProcess
) -> None:
    code, out, err = avs.run(arguments(collection, tmp_path / "out", "--json"))
    assert code == 0, err
    who = f"process {holder.pid} on {socket.gethostname()}"
    for level in ("shot", "frame"):
        assert f"{tmp_path / 'out/clip' / level}: 1 of {JOBS} jobs are with {who}; the last one puts" in err
    assert "next:" not in err
    stores = json.loads(out)["stores"]
    assert [(one["finished"], one["jobs"], one["jobs_done"], one["jobs_with"]) for one in stores] == [
        (False, JOBS, JOBS - 1, {who: 1})
    ] * 2
    code, _, err = avs.run(arguments(collection, tmp_path / "out", "--force"))
    assert code == 2 and "another process is writing here" in err and who in err and "hash videos" not in err
    (tmp_path / "go").touch()
    assert holder.wait() == 0, holder.err.read_text()
    assert same(collection, tmp_path / "out")


def test_a_job_of_a_process_that_was_killed_is_done_by_another(
    collection: Path, tmp_path: Path, avs: QuickProcesses, holder: QuickProcess
) -> None:
    holder.signal(signal.SIGKILL)
    holder.wait()
    other = avs.start(arguments(collection, tmp_path / "out"))
    assert other.wait() == 0, other.err.read_text()
    assert same(collection, tmp_path / "out")
    for level in ("shot", "frame"):
        assert_all_told(tmp_path / "out/clip" / level, [holder.pid, other.pid], killed=1)
    told = json.loads((tmp_path / "out/clip/frame/extraction.json").read_text())
    assert [process["jobs"] for process in told["processes"] if process["pid"] == holder.pid] == [1]


def test_a_stopped_process_that_wakes_up_does_no_harm(
    collection: Path, tmp_path: Path, avs: QuickProcesses, holder: QuickProcess
) -> None:
    holder.signal(signal.SIGSTOP)
    for owner in tmp_path.glob("out/clip/*/parts/owners/*"):
        long_ago = owner.stat().st_mtime - 1000
        os.utime(owner, (long_ago, long_ago))
    code, _, err = avs.run(arguments(collection, tmp_path / "out"))
    assert code == 0, err
    assert same(collection, tmp_path / "out")
    (tmp_path / "go").touch()
    holder.signal(signal.SIGCONT)
    assert holder.wait() == 0, holder.err.read_text()
    assert same(collection, tmp_path / "out") and not list(tmp_path.glob("out/clip/*/parts"))


def test_kills_at_random_moments_change_no_byte(collection: Path, tmp_path: Path, avs: QuickProcesses) -> None:
    """benchmarks/extraction_kills.py does so with 20 kills of a run over 200 shots, alone and of two that race."""
    words, moments = arguments(collection, tmp_path / "out", "--quiet"), random.Random(0)
    for _ in range(6):
        pair = [avs.start(words), avs.start(words)]
        time.sleep(moments.random() * 0.6)
        for process in pair:
            process.signal(signal.SIGKILL)
            process.wait()
        for level in ("shot", "frame"):
            if (tmp_path / "out/clip" / level / "manifest.json").exists():
                FeatureStore(tmp_path / "out/clip" / level)
    code, _, err = avs.run(words)
    assert code == 0, err
    assert same(collection, tmp_path / "out") and not list(tmp_path.glob("out/clip/*/parts"))


def test_a_full_disk_commits_nothing_and_names_the_file(collection: Path, tmp_path: Path, avs: QuickProcesses) -> None:
    words = arguments(collection, tmp_path / "out")
    code, _, err = avs.run(words, most_bytes=4000)
    assert code != 0 and "File too large" in err and "vectors.npy" in err and "Traceback" not in err
    assert not list(tmp_path.glob("out/clip/frame/*.*"))
    assert avs.run(words)[0] == 0
    assert same(collection, tmp_path / "out")


def test_a_folder_that_cannot_be_written_is_refused(
    collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path("/proc/self")  # where not even root can write
    if os.geteuid() != 0 or not folder.is_dir():
        folder = tmp_path / "out"
        folder.mkdir(mode=0o500)
    assert main([*map(str, arguments(collection, folder / "out"))]) == 2
    assert "the output cannot be written" in capsys.readouterr().err


def test_a_part_that_was_cut_short_is_named_and_the_same_command_repairs_it(
    collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(word) for word in arguments(collection, tmp_path / "out", "--quiet")]
    assert main([*words, "--shard", "0/2"]) == 0
    part = tmp_path / "out/clip/frame/parts/000004.part"
    os.truncate(part, part.stat().st_size - 1)
    assert main(words) == 2
    err = capsys.readouterr().err
    assert "parts of the store are damaged" in err and str(part) in err and "run the same command again" in err
    assert not (tmp_path / "out/clip/frame/manifest.json").exists()
    assert main(words) == 0 and same(collection, tmp_path / "out")


def test_shards_of_an_array_make_the_stores(
    collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(word) for word in arguments(collection, tmp_path / "out")]
    assert main([*words, "--shard", "2/2"]) == 2 and '"2/2" is no shard' in capsys.readouterr().err
    assert main([*words, "--shard", "1/2"]) == 0
    assert "12 of 24 jobs are left for other shards" in capsys.readouterr().err
    fewer = shutil.copytree(collection, tmp_path / "fewer")
    lines = (fewer / "shots.tsv").read_text().splitlines(keepends=True)
    (fewer / "shots.tsv").write_text("".join(lines[:-3]))
    other = [str(word) for word in arguments(fewer, tmp_path / "out")]
    assert main([*other, "--shard", "0/2"]) == 2
    err = capsys.readouterr().err
    assert "other inputs or settings" in err and "inputs.shots sha256:" in err and "shots of the table 36" in err
    assert main([*words, "--shard", "0/2", "--batch-size", "3"]) == 2
    assert "use --batch-size 2" in capsys.readouterr().err
    assert main([*words, "--shard", "0/2"]) == 0 and same(collection, tmp_path / "out")
    assert len(FeatureStore(tmp_path / "out/clip/shot")) == 36


def test_workers_of_another_version_are_refused_before_videos_are_hashed(
    collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(word) for word in arguments(collection, tmp_path / "out")]
    assert main([*words, "--shard", "0/2"]) == 0
    capsys.readouterr()
    record = tmp_path / "out/clip/frame/parts/manifest.json"
    made = json.loads(record.read_text())
    here, made["versions"]["torch"] = made["versions"]["torch"], "2.0.0"
    record.write_text(json.dumps(made))
    assert main(words) == 2
    err = capsys.readouterr().err
    assert "processes of different versions" in err and f"torch {here}" in err and "torch 2.0.0" in err
    assert "hash videos" not in err
