from __future__ import annotations

import hashlib
import json
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from avs.cli.main import main
from avs.core.artifacts import Manifest, fingerprint_file, input_paths, manifest_path, read_manifest
from avs.core.shots import read_shot_table
from avs.video.fingerprints import read_videos

HEADER = "startframe\tstarttime\tendframe\tendtime\n"


def write_video(path: Path) -> None:
    """Two seconds at 25 fps, black, then white from 1 s on."""
    path.parent.mkdir(exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        for n in range(50):
            frame = av.VideoFrame.from_ndarray(np.full((64, 96, 3), 0 if n < 25 else 255, np.uint8), format="rgb24")
            frame.pts, frame.time_base = n, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    for name in ("00001.mp4", "00002.mp4"):
        write_video(tmp_path / "videos" / name)
    return tmp_path / "videos"


def shots(*args: object) -> int:
    return main(["shots", *map(str, args)])


def test_cuts_are_found_unless_told_otherwise_and_the_next_command_is_named(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "shots.tsv"
    assert shots("--videos", videos, "-o", out, "--workers", 1) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert f"wrote {out}: 4 shots of 2 videos (hard cuts)" in said.err
    assert f"next: avs extract-features --videos {videos} --shots {out} --model" in said.err
    table = read_shot_table(out)
    assert table.ids == ("shot00001_1", "shot00001_2", "shot00002_1", "shot00002_2")
    assert table.of_video("00001")[0].end_s == table.of_video("00001")[1].start_s == 1.0
    assert read_manifest(out)["counts"] == {"videos": 2, "shots": 4, "failed_videos": 0}


def test_a_second_time_it_is_up_to_date_and_other_settings_ask_for_force(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "shots.tsv"
    assert shots("--videos", videos, "-o", out, "--workers", 1) == 0
    assert shots("--videos", videos, "-o", out, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"path": str(out), "up_to_date": True}
    assert shots("--videos", videos, "-o", out, "--per-file") == 2
    assert "changed: config.shots" in capsys.readouterr().err
    assert shots("--videos", videos, "-o", out, "--per-file", "--force", "--json", "--workers", 2) == 0
    assert json.loads(capsys.readouterr().out)["shots"] == 2
    write_video(videos / "00003.mp4")
    assert shots("--videos", videos, "-o", out, "--per-file") == 2
    assert "changed: inputs.videos" in capsys.readouterr().err


def test_the_table_does_not_depend_on_the_number_of_processes(videos: Path, tmp_path: Path) -> None:
    tables = []
    for number, workers in enumerate((["--workers", 0], ["--workers", 2], [])):
        tables.append(tmp_path / f"{number}.tsv")
        assert shots("--videos", videos, "-o", tables[-1], *workers) == 0
    assert len({table.read_bytes() for table in tables}) == 1


def flip_a_byte(path: Path) -> None:
    """Other content of the same size at the same time."""
    before, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_video_changed_within_its_size_is_noticed(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "shots.tsv"
    assert shots("--videos", videos, "-o", out, "--per-file", "--workers", 1) == 0
    hashes = [file.fingerprint for file in read_videos(tmp_path / "shots.videos.tsv")]
    assert hashes == [fingerprint_file(videos / name) for name in ("00001.mp4", "00002.mp4")]
    assert input_paths(out) == {"videos": videos}
    flip_a_byte(videos / "00002.mp4")
    assert shots("--videos", videos, "-o", out, "--per-file") == 2
    assert "changed: inputs.videos" in capsys.readouterr().err


def test_a_table_made_before_videos_were_hashed_stands(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "shots.tsv"
    assert shots("--videos", videos, "-o", out, "--per-file", "--workers", 1) == 0
    sizes = "\n".join(f"{name}\t{(videos / f'{name}.mp4').stat().st_size}" for name in ("00001", "00002"))
    old = Manifest(
        "shot-table",
        read_manifest(out)["config"],
        {"videos": f"sha256:{hashlib.sha256(sizes.encode()).hexdigest()}"},
    )
    manifest_path(out).write_text(json.dumps({"inputs": old.inputs, "type": old.type, "fingerprint": old.fingerprint}))
    capsys.readouterr()
    assert shots("--videos", videos, "-o", out, "--per-file") == 0
    assert capsys.readouterr().err.endswith(f"up to date: {out}\n")
    (videos / "00002.mp4").write_bytes(b"shorter")
    assert shots("--videos", videos, "-o", out, "--per-file") == 2
    assert "changed: " in capsys.readouterr().err


def test_master_shots_of_the_videos_at_hand(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "msb").mkdir()
    for video in ("00001", "00002", "00009"):
        (tmp_path / f"msb/{video}.tsv").write_text(HEADER + "0\t0.0\t24\t0.96\n25\t1.0\t49\t1.96\n")
    out = tmp_path / "shots.tsv"
    assert shots("--videos", videos, "--msb", tmp_path / "msb", "-o", out) == 0
    assert "left out 1 master shot tables" in capsys.readouterr().err
    assert len(read_shot_table(out)) == 4
    assert shots("--msb", tmp_path / "msb", "-o", tmp_path / "all.tsv") == 0
    assert len(read_shot_table(tmp_path / "all.tsv")) == 6


def test_a_name_with_spaces_has_one_id_for_its_table_and_the_table_of_videos_tells_the_file(tmp_path: Path) -> None:
    write_video(tmp_path / "videos/my film #1.mp4")
    (tmp_path / "msb").mkdir()
    (tmp_path / "msb/my film #1.tsv").write_text(HEADER + "0\t0.0\t49\t1.96\n")
    out = tmp_path / "shots.tsv"
    assert shots("--videos", tmp_path / "videos", "--msb", tmp_path / "msb", "-o", out) == 0
    assert read_shot_table(out).ids == ("shotx--my.20film.20.231_1",)
    (file,) = read_videos(tmp_path / "shots.videos.tsv")
    assert (file.video, file.file) == ("x--my.20film.20.231", "my film #1.mp4")


def test_tables_in_frames_take_the_rate_of_the_video(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "00001.msb.csv").write_text("0,24\n25,49\n")
    out = tmp_path / "shots.tsv"
    assert shots("--videos", videos, "--msb", tmp_path / "00001.msb.csv", "-o", out, "--max-failed", 0.5) == 0
    assert [(shot.start_s, shot.end_s) for shot in read_shot_table(out)] == [(0.0, 1.0), (1.0, 2.0)]
    assert (tmp_path / "shots.problems.tsv").read_text() == "00002\tfailed\tno master shot table\n"


def test_tables_of_other_videos(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "7.tsv").write_text(HEADER + "0\t0.0\t24\t0.96\n")
    assert shots("--videos", videos, "--msb", tmp_path / "7.tsv", "-o", tmp_path / "shots.tsv") == 2
    err = capsys.readouterr().err
    assert "no video has a master shot table" in err
    assert "videos 00001, 00002; tables of 7" in err


def test_videos_that_fail_are_listed_and_counted_against_the_limit(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (videos / "00003.mp4").touch()
    out = tmp_path / "shots.tsv"
    assert shots("--videos", videos, "-o", out, "--workers", 1) == 1
    err = capsys.readouterr().err
    assert "1 of 3 videos failed; no shot table was written" in err
    assert "allow them with --max-failed 0.34" in err
    assert not out.exists()
    assert shots("--videos", videos, "-o", out, "--workers", 1, "--max-failed", 0.34, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["shots"], summary["failed_videos"]) == (4, 1)
    assert Path(summary["problems"]).read_text() == "00003\tfailed\tthe file is empty\n"


@pytest.mark.parametrize(
    "options", [["--detect", "--per-file"], ["--msb", "x", "--detect"], ["--msb", "x", "--per-file"]]
)
def test_one_way_at_a_time(
    videos: Path, tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert shots("--videos", videos, *options, "-o", tmp_path / "shots.tsv") == 2
    assert "give --videos, and one of --msb, --detect and --per-file" in capsys.readouterr().err


def test_nothing_to_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shots("-o", tmp_path / "shots.tsv") == 2
    assert shots("--videos", tmp_path, "-o", tmp_path / "shots.tsv") == 2
    err = capsys.readouterr().err
    assert "no video files" in err
    assert "an empty folder" in err


def test_two_files_of_one_stem(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_video(videos / "00001.mkv")
    assert shots("--videos", videos, "-o", tmp_path / "shots.tsv") == 2
    assert "--video-ids name" in capsys.readouterr().err
    assert shots("--videos", videos, "--video-ids", "name", "--per-file", "-o", tmp_path / "shots.tsv") == 0
    assert read_shot_table(tmp_path / "shots.tsv").video_ids == ("00001-mkv", "00001-mp4", "00002-mp4")
