"""avs import-narrations, and the way from narrated videos to a fine-tuned model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_videos import write_collection

from avs.captions.read import read_captions
from avs.cli.main import main
from avs.core.artifacts import read_manifest
from avs.core.shots import read_shot_table
from avs.features.embedder import read_spec
from avs.train.checkpoint import read_checkpoint
from avs.train.record import read_metrics

SAID = {"start": [0, 1.5, 3, 4.5], "end": [2, 3.2, 4.4, 5.9], "text": ["cut the onions", "put them in", "stir", "eat"]}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six films of 6 s, as files.tsv has them, in the current folder."""
    write_collection(tmp_path, 6)
    lines = [f"shot{n:05d}_1\t{n:05d}\t0.000000\t6.000000\n" for n in range(1, 7)]
    (tmp_path / "files.tsv").write_text("shot\tvideo\tstart_s\tend_s\n" + "".join(lines))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(videos: dict[str, Any], *, listed: str = "") -> None:
    Path("caption.json").write_text(json.dumps(videos))
    Path("list.csv").write_text(f"video_id,category_1,rank\n{listed}")


def make(*more: str, words: int = 9, out: str = "clips") -> int:
    given = ["--shots", "files.tsv", "--backbone", "mini-clip", "--max-words", str(words)]
    return main(["import-narrations", "caption.json", *given, "-o", out, *more])


def test_clips_and_captions_of_the_listed_videos(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write({"00002": SAID, "00001": SAID, "00003": SAID}, listed="00001,Food,1\n00002,Food,1\n00001,Food,2\n")
    assert make("--list", "list.csv") == 0
    said = capsys.readouterr().err
    assert "1 videos are listed more than once and taken once: 00001" in said
    assert "1 videos have captions and are not in the list; they were not read" in said
    assert "next: avs train-clip4clip --backbone mini-clip --loss mil-nce --captions clips/captions.txt" in said
    table, captions = read_shot_table(Path("clips/shots.tsv")), read_captions(Path("clips/captions.txt"))
    assert set(table.video_ids) == {"00001", "00002"} and set(captions.videos) == set(table.ids)
    assert " ".join(captions.of_videos([shot.id for shot in table.of_video("00001")]).texts) == " ".join(SAID["text"])
    assert Path("clips/problems.tsv").read_text() == ""
    counts = read_manifest(Path("clips"))["counts"]
    assert (counts["videos"], counts["clips"], counts["captions"]) == (2, len(table), 8)
    assert make("--list", "list.csv") == 0 and "up to date: clips" in capsys.readouterr().err
    assert make("--list", "list.csv", words=20) == 2 and "config.max_words" in capsys.readouterr().err
    assert make("--list", "list.csv", "--force", words=32) == 0
    assert [(one.start_s, one.end_s) for one in read_shot_table(Path("clips/shots.tsv"))] == [(0, 5.9), (0, 5.9)]


def test_no_clip_has_more_tokens_than_a_training_reads(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["a red car", "two birds", "a blue bird", "a green car"]
    write({"00001": {**SAID, "text": texts}})
    assert make("--max-failed", "0.9", words=7) == 0
    assert read_captions(Path("clips/captions.txt")).texts == ("a red car two birds", "a blue bird", "a green car")
    given = ["--captions", "clips/captions.txt", "--videos", "videos", "--shots", "clips/shots.tsv"]
    sizes = ["--max-words", "7", "--max-frames", "2", "--epochs", "1", "--frame-cache", "none"]
    capsys.readouterr()
    assert main(["train-clip4clip", "--backbone", "mini-clip", *given, *sizes, "-o", "model"]) == 0
    assert "captions are cut" not in capsys.readouterr().err


def test_all_that_is_wrong_is_told_at_once_and_nothing_is_written(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = {"start": [1, 0, 1, 70, 1], "end": [0.5, 99, 2, 80, None], "text": ["a", "b", "", "c", "d"]}
    late = {"start": [9], "end": [10], "text": ["a"]}
    videos = {"00001": bad, "00002": {"start": [1]}, "00003": SAID, "00004": late, "gone": SAID, "odd\n\ud800": SAID}
    write(videos, listed="".join(f"{name},x,1\n" for name in ("00001", "00002", "00003", "00004", "gone", "silent")))
    assert make("--list", "list.csv") == 1
    said = capsys.readouterr().err
    for line in (
        "4 of 6 videos of the list give no clip:",
        "  00002: no list of end, text",
        "  00004: no caption can be used",
        "  gone: no such video in the shot table",
        "  silent: no captions",
        "5 of 10 captions are left out:",
        "  00001[0]: it ends at 0.5 s and starts at 1 s",
        "  00001[2]: its text is empty",
        "  00001[3]: it starts at 70 s, and the video ends at 6 s",
        "  00001[4]: its end is 'None', wanted seconds from 0",
        "  00004[0]: it starts at 9 s, and the video ends at 6 s",
        "1 of 10 captions are cut to the end of their video:",
        "  00001[1]: ends at 99 s; cut to the end of the video at 6 s",
        "1 videos have captions and are not in the list; they were not read",
        "4 of 6 videos give no clip; no clips were written",
        "with --max-failed 0.67",
    ):
        assert f"{line}\n" in said
    rows = [line.split("\t") for line in Path("clips/problems.tsv").read_text().splitlines()]
    assert len(rows) == 10 and {len(row) for row in rows} == {3}
    assert not Path("clips/shots.tsv").exists() and not Path("clips/manifest.json").exists()
    assert make("--list", "list.csv", "--max-failed", "0.67") == 0
    assert set(read_shot_table(Path("clips/shots.tsv")).video_ids) == {"00001", "00003"}


def test_clips_of_before_do_not_stay_where_new_ones_fail(here: Path) -> None:
    write({f"{n:05d}": SAID for n in range(1, 7)})
    assert make() == 0 and Path("clips/shots.tsv").exists()
    write({"00001": SAID})
    assert make("--force") == 1
    assert [path.name for path in Path("clips").glob("[!.]*")] == ["problems.tsv"]


def test_without_a_list_the_videos_are_those_of_the_table(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write({"00001": SAID, "elsewhere": SAID, "odd\n\ud800": SAID})
    assert make("--max-failed", "1") == 0
    said = capsys.readouterr().err
    assert "5 of 6 videos of the shot table give no clip:\n  00002: no captions\n" in said
    assert "2 videos have captions and are not in the shot table; they were not read\n" in said


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"00001": {}, "b": {}, "00001": {}, "b": {}}', "00001: the video occurs twice\n  b: the video occurs twice"),
        ("[1, 2]", "not JSON of HowTo100M"),
        ("{}", "no video gives a clip"),
        ('{"elsewhere": {}}', "no video gives a clip"),
    ],
)
def test_captions_that_cannot_be_used_at_all(
    here: Path, text: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("caption.json").write_text(text)
    assert make("--max-failed", "1") == 2
    assert told in capsys.readouterr().err
    assert not Path("clips/shots.tsv").exists()


def test_another_folder_is_not_replaced(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write({"00001": SAID})
    assert make("--force", out="videos") == 2
    assert "something else is where the narrated-clips should go" in capsys.readouterr().err
    assert len(list(Path("videos").iterdir())) == 6


def test_from_narrated_videos_to_a_fine_tuned_model(here: Path) -> None:
    said = ["a red car", "two birds", "a blue bird", "a green car"]
    write({f"{n:05d}": {**SAID, "text": said[n % 4 :] + said[: n % 4]} for n in range(1, 7)})
    assert make("--quiet") == 0
    clips = "{captions: clips/captions.txt, videos: videos, shots: clips/shots.tsv}"
    model = "{architecture: clip4clip, backbone: mini-clip, loss: mil-nce, positives: 3, max_frames: 2, max_words: 9}"
    Path("post.yaml").write_text(
        f"collections: {{clips: {clips}}}\nmodel: {model}\nvalidation: {{share: 0.3}}\nframes: {{cache: none}}\n"
        "training: {optimiser: adam, weight_decay: 0, batch_size: 4, epochs: 1, learning_rate: 1.0e-3}\n"
    )
    assert main(["train-clip4clip", "--config", "post.yaml", "-o", "post", "--quiet"]) == 0
    (row,) = read_metrics(Path("post"))
    assert 0 < row["loss"] < 10
    Path("c.txt").write_text("".join(f"{shot.id}#0 a car\n" for shot in read_shot_table(Path("shots.tsv"))))
    collection = ["--videos", "videos", "--shots", "shots.tsv"]
    assert main(["extract-features", *collection, "--model", "post", "-o", "features", "--quiet"]) == 0
    assert main(["eval-retrieval", "--captions", "c.txt", "--store", "features/post/shot", "--quiet"]) == 0
    tuned = ["--captions", "c.txt", *collection, "--frame-cache", "none", "--max-frames", "2", "--max-words", "9"]
    start = ["--backbone", "post/best/backbone", "--head", "seqTransf", "--epochs", "1", "-o", "tuned"]
    assert main(["train-clip4clip", *tuned, *start, "--quiet"]) == 0
    config = read_checkpoint(Path("tuned")).config
    assert (config["head"], config["loss"], config["positives"]) == ("seqTransf", "cross-entropy", 1)
    assert (
        read_manifest(Path("tuned"))["inputs"]["backbone"] == read_spec("clip", weights="post/best/backbone").revision
    )
