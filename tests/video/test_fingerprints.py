from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from avs.core.errors import FormatError
from avs.core.progress import Reporter
from avs.video.fingerprints import (
    VideoFile,
    fingerprint_videos,
    listing_fingerprint,
    read_videos,
    write_videos,
)


def write(folder: Path, **contents: bytes) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / f"{name}.mp4").write_bytes(content)
    return {name: folder / f"{name}.mp4" for name in contents}


def test_every_video_is_hashed_in_the_order_asked_for(tmp_path: Path) -> None:
    contents = {f"v{n}": bytes([n]) * (1 + n) for n in range(20, 0, -1)}
    files = fingerprint_videos(write(tmp_path, **contents), tmp_path)
    assert files == [
        VideoFile(name, len(content), f"sha256:{hashlib.sha256(content).hexdigest()}", f"{name}.mp4")
        for name, content in contents.items()
    ]


def test_progress_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fingerprint_videos(write(tmp_path, a=b"1", b=b"2"), tmp_path, Reporter(quiet=False))
    assert "hash videos 2/2 videos" in capsys.readouterr().err


def test_a_changed_byte_changes_the_fingerprint_and_another_folder_does_not(tmp_path: Path) -> None:
    def of(folder: Path, **contents: bytes) -> str:
        return listing_fingerprint(fingerprint_videos(write(folder, **contents), folder))

    first = of(tmp_path / "here", a=b"123", b=b"456")
    assert of(tmp_path / "there", a=b"123", b=b"456") == first
    assert of(tmp_path / "here", a=b"124", b=b"456") != first
    assert of(tmp_path / "swapped", a=b"456", b=b"123") != first


def test_a_large_video_is_known_by_its_size_and_edges_which_alone_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avs.core.artifacts.WHOLE_FILE_BYTES", 20)
    monkeypatch.setattr("avs.core.artifacts.EDGE_BYTES", 10)
    contents = {
        "first": b"0123456789 the middle abcdefghij",
        "other_middle": b"0123456789 THE MIDDLE abcdefghij",
        "longer": b"0123456789 the longer middle abcdefghij",
        "other_head": b"X123456789 the middle abcdefghij",
        "other_tail": b"0123456789 the middle abcdefghiX",
    }
    prints = {file.video: file.fingerprint for file in fingerprint_videos(write(tmp_path, **contents), tmp_path)}
    assert prints["first"] == f"sha256-edges:{hashlib.sha256(b'320123456789abcdefghij').hexdigest()}"
    assert prints["other_middle"] == prints["first"]
    assert len(set(prints.values())) == 4


def test_the_table_comes_back_as_written(tmp_path: Path) -> None:
    files = fingerprint_videos(write(tmp_path / "v", a=b"123", b=b"4"), tmp_path)
    assert files[0].file == "v/a.mp4"
    write_videos(files, tmp_path / "videos.tsv")
    assert read_videos(tmp_path / "videos.tsv") == files


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "not a table of videos"),
        ("video\tsize\n", "not a table of videos"),
        ("video\tbytes\tfingerprint\tfile\na\tmany\tsha256:1\ta.mp4\n", "not a line of a table of videos"),
        ("video\tbytes\tfingerprint\tfile\na\t1\n", "not a line of a table of videos"),
    ],
)
def test_another_file_in_its_place(tmp_path: Path, text: str, error: str) -> None:
    (tmp_path / "videos.tsv").write_text(text)
    with pytest.raises(FormatError, match=error):
        read_videos(tmp_path / "videos.tsv")
