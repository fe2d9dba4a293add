"""The command of the README: video files become runs that check-run accepts, and their scores."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest
import typer
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
    assert all(picture.startswith("data:image/jpeg;base64,/9j/") for picture in pictures)
    assert page.count('<li class="relevant">') > 30 < page.count('<li class="not-judged">')
    clips = {unquote(link.partition("#t=")[0]) for link in re.findall(r'<a class="pic" href="([^"]+)"', page)}
    assert clips and clips <= {f"collection/videos/{video.name}" for video in (demo / "collection/videos").iterdir()}
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


def test_the_server_gives_the_lists_and_scores_of_the_verbs(demo: Path, tmp_path: Path) -> None:
    """Stores, the trained model and their average, over HTTP."""
    import httpx
    from live_server import ask, running

    from avs.trecvid.trec import read_trec

    with running(_served(demo, tmp_path)) as server, httpx.Client(base_url=server.root, timeout=60) as client:
        topics = client.get("/api/v1/topics").json()["topics"]
        systems = ["mini-clip-shot", "mini-blip-shot", "mini-blip2-shot", "laff"]
        for name, by in (("mini-clip-shot", ["mini-clip-shot"]), ("laff", ["laff"]), ("average", systems)):
            run = read_trec(demo / "lists" / f"{name}.trec")
            for topic in topics[:3]:
                answer = ask(client, topic["text"], topic=topic["id"], by=by)
                found = client.get(f"/api/v1/lists/{answer['list']}/ids").json()["shots"]
                assert tuple(found) == run.lists[topic["id"]].shots, (name, topic["id"])
                assert answer["stamp"] == "automatic"
        table = client.get("/api/v1/study").json()
        scores = json.loads((demo / "summary.json").read_text())["xinfAP"]
        for name, mean in zip(table["lists"], table["means"], strict=True):
            assert mean["text"] == f"{scores[name.removesuffix(' (list)').removesuffix('-shot')]:.4f}"


def test_a_model_scores_the_head_of_a_larger_collection(demo: Path, tmp_path: Path) -> None:
    """The first answer is that of the stores; the final one has the model's scores of its first shots."""
    import httpx
    from live_server import answers, ask, running

    from avs.trecvid.trec import read_trec

    head = 40
    options = _served(demo, tmp_path).model_copy(update={"rescore": head})
    with running(options) as server, httpx.Client(base_url=server.root, timeout=60) as client:

        def shots(answer: dict) -> list[str]:
            return client.get(f"/api/v1/lists/{answer['list']}/ids").json()["shots"]

        topic = client.get("/api/v1/topics").json()["topics"][0]
        one = ask(client, topic["text"], by=["mini-clip-shot"])
        alone, fused = (
            answers(client, {"parts": [{"text": topic["text"]}], "by": by})
            for by in (["laff"], ["mini-clip-shot", "laff"])
        )
        assert [line["stage"] for line in fused] == ["first", "final"] == [line["stage"] for line in alone]
        assert shots(fused[0]) == shots(one)
        whole = read_trec(demo / "lists" / "laff.trec").lists[topic["id"]].shots
        known = {line["name"]: line["scored"] for line in fused[1]["systems"]}
        assert known == {"mini-clip-shot": one["of"], "laff": head}
        assert f"laff: first {head} only" in fused[1]["warnings"]
        candidates = set(shots(alone[0])[:head])
        assert shots(alone[1]) == [shot for shot in whole if shot in candidates]
        assert any(line.startswith("candidates by mini-clip-shot") for line in alone[1]["warnings"])
        again = answers(client, {"parts": [{"text": topic["text"]}], "by": ["laff"]})
        assert [line["stage"] for line in again] == ["final"] and shots(again[0]) == shots(alone[1])
        two = [{"text": "a red car"}, {"text": "a blue boat"}]
        in_time = answers(client, {"parts": two, "by": ["mini-clip-shot", "laff"]})
        assert [line["stage"] for line in in_time] == ["final"]
        assert "laff left out: it does not score the whole collection" in in_time[0]["warnings"]
        refused = client.post("/api/v1/search", json={"parts": two, "by": ["laff"]})
        assert refused.status_code == 422 and "needs a system that scores the whole collection" in refused.text
        like = answers(client, {"parts": [{"shot": whole[0]}], "by": ["mini-clip-shot", "laff"]})
        assert like[-1]["stage"] == "final" and "a trained model is asked with sentences alone" in " ".join(
            like[-1]["warnings"]
        )


def test_five_marks_raise_mean_ap(demo: Path, tmp_path: Path) -> None:
    """Over ten topics, by Rocchio; reverting gives the very list before. The marked shots count in AP."""
    import httpx
    import numpy as np
    from live_server import ask, running

    from avs.core.ranking import RankedList, Run
    from avs.metrics.measures import parse_measures
    from avs.pipeline.evaluation import evaluate_runs
    from avs.trecvid.qrels import read_qrels

    judged = read_qrels(demo / "collection/qrels/avs.qrels.mini.full")
    lists: dict[str, dict[str, RankedList]] = {"before": {}, "after": {}}
    with running(_served(demo, tmp_path)) as server, httpx.Client(base_url=server.root, timeout=60) as client:

        def asked(text: str, topic: str, **more: str) -> RankedList:
            answer = ask(client, text, topic=topic, by=["mini-clip-shot"], **more)
            found = client.get(f"/api/v1/lists/{answer['list']}/ids").json()
            return RankedList(topic, tuple(found["shots"]), np.array(found["scores"]))

        for topic in client.get("/api/v1/topics").json()["topics"][:10]:
            before = asked(topic["text"], topic["id"])
            yes = [shot for shot in before.shots if shot in judged.topics[topic["id"]].relevant][:5]
            marks = {"topic": topic["id"], "shots": yes, "mark": "yes"}
            client.post("/api/v1/marks", json=marks).raise_for_status()
            made = client.post("/api/v1/feedback", json={"topic": topic["id"]}).json()["feedback"]
            lists["before"][topic["id"]] = before
            lists["after"][topic["id"]] = asked(topic["text"], topic["id"], feedback=made)
            assert asked(topic["text"], topic["id"]).shots == before.shots
    of_ten = type(judged)({topic: judged.topics[topic] for topic in lists["before"]})
    runs = [Run(of_run, name) for name, of_run in lists.items()]
    before_ap, after_ap = (float(one.overall()[0]) for one in evaluate_runs(runs, of_ten, parse_measures(["AP"])))
    assert after_ap > before_ap + 0.1, (before_ap, after_ap)


def test_the_command_that_serves_the_demo_is_one_that_avs_takes(demo: Path) -> None:
    from avs.cli.main import app_for, module_of

    done = avs("demo", "--size", SHOTS, "-o", demo)
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("search it in the browser: ")]
    words = shlex.split(line.partition(": ")[2])
    assert words[:2] == ["avs", "serve"]
    typer.main.get_command(app_for(module_of("serve"))).make_context("serve", words[2:])
    named = {Path(word).name: Path(word) for word in words if word.startswith(str(demo))}
    assert {name for name, path in named.items() if not path.exists()} <= {"served", "sessions"}  # serve makes these


def _served(demo: Path, work: Path):
    """Options of a server of everything that the demo has made."""
    from avs.pipeline.serve_options import ServeOptions

    return ServeOptions(
        stores=[demo / "features" / name / "shot" for name in ("mini-clip", "mini-blip", "mini-blip2")],
        checkpoints=[demo / "models" / "laff"], shots=demo / "shots.tsv", videos=demo / "collection" / "videos",
        topics=[demo / "collection/topics/mini.avs.topics.txt"], qrels=demo / "collection/qrels/avs.qrels.mini",
        lists=[demo / "lists"], cache=work / "cache", sessions=work / "sessions", port=0,
    )  # fmt: skip
