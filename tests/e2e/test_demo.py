"""The command of the README: video files become runs that check-run accepts, and their scores."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest
from processes import end_by, started, wait_until

from avs.core.store import FeatureStore

REPOSITORY = Path(__file__).resolve().parents[2]
SHOTS = 150  # small, but large enough to tell a working encoder from chance


def avs(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "avs", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    done = avs("demo", "--size", SHOTS, "-o", folder, "--json")
    assert done.returncode == 0, done.stderr
    (folder / "summary.json").write_text(done.stdout)
    return folder


def test_every_encoder_is_far_above_chance(demo: Path) -> None:
    scores = json.loads((demo / "summary.json").read_text())["xinfAP"]
    assert set(scores) == {"mini-clip", "mini-blip", "mini-blip2", "laff", "average", "ltr", "random"}
    chance = scores.pop("random")
    assert min(scores.values()) > 3 * chance
    assert max(scores.values()) > 0.25


def test_the_runs_pass_the_check_and_a_wrong_one_does_not(demo: Path) -> None:
    runs = sorted((demo / "runs").glob("*.xml"))
    assert len(runs) == 7
    valid = demo / "collection" / "mini.validShotTable"
    assert avs("check-run", *runs, "--edition", "mini", "--shots", valid).returncode == 0
    wrong = demo / "wrong.xml"
    wrong.write_text(re.sub(r'shotId="shot\d+_', 'shotId="shot99999_', runs[0].read_text(), count=1))
    done = avs("check-run", wrong, "--edition", "mini", "--shots", valid)
    assert done.returncode == 2
    assert "shot99999_" in done.stdout + done.stderr


def test_the_python_of_the_pages_runs_on_what_the_demo_made(demo: Path, tmp_path: Path) -> None:
    """The README's lines, and the worked example with its plot."""
    block = (REPOSITORY / "README.md").read_text().split("```python\n")[1].split("```")[0]
    code = block.replace("avs-demo", str(demo))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("xinfAP") == 3 and "{'mini-clip-shot': Run(" in done.stdout
    example = [sys.executable, REPOSITORY / "docs" / "python_example.py", demo, tmp_path / "plot.svg"]
    done = subprocess.run(list(map(str, example)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Scores(") == 5 and "laff - average" in done.stdout
    assert (tmp_path / "plot.svg").read_text().count("<svg") == 1


def test_run_again_it_does_nothing_twice(demo: Path) -> None:
    vectors = demo / "features" / "mini-clip" / "shot" / "vectors.npy"
    before = vectors.stat().st_mtime_ns
    done = avs("demo", "--size", SHOTS, "-o", demo)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("up to date") >= 3
    assert vectors.stat().st_mtime_ns == before


def test_another_collection_in_the_same_folder_is_refused(demo: Path) -> None:
    done = avs("demo", "--size", SHOTS + 10, "-o", demo)
    assert done.returncode == 2
    assert "--force" in done.stderr and "Traceback" not in done.stderr


def test_the_page_shows_a_picture_for_every_listed_shot(demo: Path) -> None:
    page = (demo / "results.html").read_text()
    pictures = re.findall(r'src="([^"]+)"', page)
    assert len(pictures) == 30 * 8 * 6  # of every system but the random one
    assert all((demo / picture).is_file() for picture in pictures)
    assert page.count('<li class="relevant">') > 30 < page.count('<li class="not-judged">')
    clips = {unquote(link.partition("#t=")[0]) for link in re.findall(r'<a href="([^"]+)"', page)}
    assert clips <= {f"collection/videos/{video.name}" for video in (demo / "collection/videos").iterdir()}
    assert page.index("<td>") and 'class="warning"' not in page


def test_the_least_collection_ends_well(tmp_path: Path) -> None:
    done = avs("demo", "--size", 120, "-o", tmp_path, "--quiet")
    assert done.returncode == 0, done.stderr


def test_a_killed_extraction_goes_on_to_the_same_store(demo: Path, tmp_path: Path) -> None:
    arguments = ["extract-features", "--videos", demo / "collection/videos", "--shots", demo / "shots.tsv"]
    arguments += ["--model", "mini-clip", "--batch-size", "4", "--workers", "0", "-o", tmp_path]
    parts = tmp_path / "mini-clip/shot/parts"
    with started(["-m", "avs", *arguments]) as process:
        wait_until(parts.is_dir, process)
        end_by(process, signal.SIGKILL)
    again = avs(*arguments)
    assert again.returncode == 0, again.stderr
    whole, resumed = FeatureStore(demo / "features/mini-clip/shot"), FeatureStore(tmp_path / "mini-clip/shot")
    assert resumed.ids == whole.ids
    assert not parts.exists()
    # another batch size sums in another order, which may change the last bit of a float16
    assert abs(resumed.vectors.astype(float) - whole.vectors.astype(float)).max() < 2e-3


def test_real_video_files_become_a_valid_run(shared: Callable[[str], Path], tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for name in ("elf.mp4", "flower.mp4", "flower.webm", "pig.mp4"):
        (videos / name).symlink_to(shared(f"videos/clips/{name}"))
    done = avs("demo", "--videos", videos, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("WARNING: The encoders of the demo have seen drawn shapes") == 2
    assert 'class="warning"' in (tmp_path / "out/results.html").read_text()
    assert len(list((tmp_path / "out/runs").glob("*.xml"))) == 4
    assert (tmp_path / "out/keyframes").is_dir()
