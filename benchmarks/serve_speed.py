"""`avs serve` over 1,425,454 x 512 float16: what a client waits for, beside the bare search in the same run.

It makes stores of random unit vectors, a checkpoint of CLIP with random weights that encodes sentences into their
space, and a shot table. It starts the server twice, without and with the columns in the cache, and asks as a page does:
new sentences, the same one again, pages of a list, two parts in time, a shot, feedback; and four clients, one question
a second each. Bare: encoding and `search()` in a process of its own, each sentence once. Other load disturbs all of it.

With --page a person works at the page in Chromium (page_speed.py). With --faiss-python one query is asked of faiss too
(pass_speed.py). With --laff a LAFF of random weights, 8 heads of 512, scores the first 1,000 shots and then, embedded,
all of them: that takes 12 GB of disk and minutes.

    python benchmarks/serve_speed.py --work /tmp/serve-speed --repeats 20 --page --faiss-python /tmp/faiss/bin/python
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from page_speed import make_pictures, page_times
from pass_speed import pass_speed
from search_speed import SHOTS, machine, make_store

RESULTS = Path(__file__).parent / "results" / "serve_speed.json"
WORDS = "red blue green small large car boat person dog street night two moving falling left".split()
STORES, PER_VIDEO, SHOT_S = ("one", "two", "three"), 100, 4.0
TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}


def make_encoder(folder: Path, seed: int) -> None:
    """A CLIP of random weights whose space has 512 dimensions, with a tokenizer of letters."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    folder.mkdir(parents=True)
    letters = [chr(i) for i in range(33, 127)]
    entries = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    names = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    files: dict[str, Any] = {
        "vocab.json": {entry: number for number, entry in enumerate(entries)},
        "tokenizer_config.json": {
            "tokenizer_class": "CLIPTokenizer", "pad_token": "<|endoftext|>", "model_max_length": 77, **names,
        },
        "preprocessor_config.json": {
            "do_normalize": True, "do_resize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 3,
            "size": 224, "do_center_crop": True, "crop_size": 224,
        },
    }  # fmt: skip
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    torch.manual_seed(seed)
    count = len(entries)
    ends = {"bos_token_id": count - 2, "eos_token_id": count - 1, "pad_token_id": count - 1}
    text = {"vocab_size": count, "max_position_embeddings": 77, "hidden_act": "quick_gelu", **TINY, **ends}
    vision = {"image_size": 224, "patch_size": 32, "hidden_act": "quick_gelu", **TINY}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=512)
    CLIPModel(config).save_pretrained(folder)


def make_collection(work: Path, shots: int, stores: int) -> None:
    """Stores, encoders and shot table; those that are there are kept."""
    from avs.core.artifacts import Manifest, write_manifest
    from avs.features.embedder import read_spec

    for number, name in enumerate(STORES[:stores]):
        folder = work / "features" / name / "shot"
        if folder.is_dir():
            continue
        make_encoder(work / "weights" / name, number)
        make_store(folder, shots)
        spec = replace(read_spec("clip", weights=work / "weights" / name), normalised=True)
        write_manifest(folder, Manifest("feature-store", {"level": "shot"}, {}, spec.to_json()))
    table = work / "shots.tsv"
    if not table.is_file():
        with open(table, "w", encoding="utf-8") as file:
            file.write("shot\tvideo\tstart_s\tend_s\n")
            for row in range(shots):
                video, number = divmod(row, PER_VIDEO)
                start_s = number * SHOT_S
                times = f"{start_s:.6f}\t{start_s + SHOT_S:.6f}"
                file.write(f"shot{video:05d}_{number + 1}\t{video:05d}\t{times}\n")


def sentences(count: int, seed: int) -> list[str]:
    """Sentences that differ."""
    rng = np.random.default_rng(seed)
    return [f"a {' '.join(rng.choice(WORDS, 4))} {seed}-{number}" for number in range(count)]


def bare(work: Path, repeats: int) -> dict[str, Any]:
    """Encoding and searching of single sentences, without a server."""
    code = f"""if True:
        import json, sys, time
        from avs.pipeline.search.searcher import Searcher
        searcher = Searcher.open([{str(work / "features" / "one" / "shot")!r}])
        times = []
        for text in json.loads(sys.argv[1]):
            start = time.perf_counter()
            searcher.search(text)
            times.append(time.perf_counter() - start)
        print(json.dumps(times))
    """
    words = [sys.executable, "-c", code, json.dumps(sentences(repeats + 2, 1))]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return percentiles(json.loads(done.stdout)[2:])


def percentiles(seconds: list[float]) -> dict[str, Any]:
    """Milliseconds: median, the 95th percentile, the least."""
    found = np.array(seconds) * 1000
    return {
        "p50_ms": round(float(np.percentile(found, 50)), 1), "p95_ms": round(float(np.percentile(found, 95)), 1),
        "least_ms": round(float(found.min()), 1), "count": len(found),
    }  # fmt: skip


class Started:
    """A server in a process of its own, with what starting it took.

    Args:
        more: further options.
    """

    def __init__(self, work: Path, stores: int, *more: str) -> None:
        named = [word for name in STORES[:stores] for word in ("--store", str(work / "features" / name / "shot"))]
        places = ["--cache", str(work / "cache"), "--sessions", str(work / "sessions"), "--port", "0"]
        start = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "avs", "serve", *named, "--shots", str(work / "shots.tsv"), *places, *more],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        root = self.process.stdout.readline().strip()
        self.listening_s = time.perf_counter() - start
        self.client = httpx.Client(base_url=root, timeout=120)
        while not self.client.get("/api/v1/status").json()["ready"]:
            time.sleep(0.02)
        self.ready_s = time.perf_counter() - start

    def memory_mb(self) -> float:
        """Anonymous memory: mapped files are not in it."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        found = re.search(r"RssAnon:\s+(\d+)", status)
        assert found is not None
        return int(found[1]) / 1024

    def ask(self, query: dict[str, Any], session: str = "one") -> tuple[float, dict[str, Any]]:
        """Seconds until the last answer is at the client, and that answer."""
        start = time.perf_counter()
        answer = self.client.post("/api/v1/search", json=query, headers={"Avs-Session": session})
        seconds = time.perf_counter() - start
        assert answer.status_code == 200, answer.text
        last: dict[str, Any] = json.loads(answer.text.splitlines()[-1])
        assert last["stage"] == "final", last["stage"]
        return seconds, last

    def end(self) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait()


def asked(server: Started, repeats: int, stores: int) -> dict[str, Any]:
    """What a page waits for."""
    one = {"by": ["one-shot"]}

    def times(make: Callable[[int], dict[str, Any]]) -> dict[str, Any]:
        server.ask(make(-1))
        return percentiles([server.ask(make(number))[0] for number in range(repeats)])

    texts, seconds = sentences(2 * repeats + 4, 2), sentences(2 * repeats + 4, 3)
    found: dict[str, Any] = {}
    found["first answer, one store"] = times(lambda n: {"parts": [{"text": texts[n]}], **one})
    found["two parts in time"] = times(lambda n: {"parts": [{"text": texts[n]}, {"text": seconds[n]}], **one})
    found["more like a shot"] = times(lambda n: {"parts": [{"shot": f"shot{n + 5:05d}_7"}], **one})
    if stores > 1:
        found[f"{stores} stores fused"] = times(lambda n: {"parts": [{"text": texts[n]}]})
    query = {"parts": [{"text": texts[0]}], **one}
    _, answer = server.ask(query)
    found["the same question again"] = percentiles([server.ask(query)[0] for _ in range(repeats)])
    pages = []
    for _ in range(repeats):
        start = time.perf_counter()
        server.client.get(f"/api/v1/lists/{answer['list']}?from=100&count=500").raise_for_status()
        pages.append(time.perf_counter() - start)
    found["500 more of a list"] = percentiles(pages)
    found["rocchio"] = feedback(server, repeats, texts)
    return found


def feedback(server: Started, repeats: int, texts: list[str]) -> dict[str, Any]:
    """Rocchio's answer to five marks, for other sentences each time."""
    seconds = []
    for number in range(repeats):
        topic = f"t{number}"
        shots = [f"shot{number:05d}_{n}" for n in range(1, 6)]
        server.client.post("/api/v1/marks", json={"topic": topic, "shots": shots, "mark": "yes"}).raise_for_status()
        made = server.client.post("/api/v1/feedback", json={"topic": topic}).json()["feedback"]
        query = {"parts": [{"text": texts[number]}], "by": ["one-shot"], "topic": topic, "feedback": made}
        seconds.append(server.ask(query)[0])
    return percentiles(seconds)


def page(work: Path, repeats: int) -> dict[str, Any]:
    """What a person at the page waits for, with a picture of every shot of the list and judgments of its topic."""
    (work / "keyframes").mkdir(exist_ok=True)
    (work / "topics.txt").write_text("661  a red circle\n", encoding="utf-8")
    query = {"parts": [{"text": "a red circle"}], "topic": "661", "by": ["one-shot"]}
    judgments, topics = work / "qrels", ["--topics", str(work / "topics.txt")]
    if not judgments.is_file():
        server = Started(work, 1, *topics)
        try:
            _, answer = server.ask(query)
            shots = server.client.get(f"/api/v1/lists/{answer['list']}/ids").json()["shots"]
        finally:
            server.end()
        make_pictures(work / "keyframes", shots)
        lines = [f"1661 0 {shot} {1 + at % 3} {(1, 0, -1)[at % 3]}\n" for at, shot in enumerate(shots)]
        judgments.write_text("".join(lines), encoding="utf-8")
    server = Started(work, 1, *topics, "--qrels", str(judgments), "--keyframes", str(work / "keyframes"))
    try:
        return page_times(str(server.client.base_url), query, repeats)
    finally:
        server.end()


def make_laff(work: Path) -> Path:
    """A LAFF of 8 heads of 512 for the first store, hardly trained."""
    from avs.cli.main import main as avs
    from avs.core.artifacts import Manifest
    from avs.core.spec import EmbedderSpec
    from avs.core.store import FeatureStore
    from avs.core.store_writer import FeatureWriter, ShotFeatures

    folder, few = work / "models" / "laff", work / "few"
    if folder.is_dir():
        return folder
    spec: EmbedderSpec = FeatureStore(work / "features" / "one" / "shot").spec
    rows = np.random.default_rng(0).standard_normal((64, spec.dim))
    writer = FeatureWriter(few / "shot", Manifest("feature-store", {"level": "shot"}, {}, spec.to_json()))
    for row, vector in enumerate(rows / np.linalg.norm(rows, axis=1, keepdims=True)):
        writer.add(ShotFeatures(f"shot1_{row + 1}", vector[None], np.zeros(1)))
    writer.commit([f"shot1_{row + 1}" for row in range(len(rows))])
    words = [" ".join(WORDS)] * len(rows)
    lines = [f"shot1_{row + 1}#0 {text}\n" for row, text in enumerate(words)]
    (few / "few.caption.txt").write_text("".join(lines), encoding="utf-8")
    given = ["--captions", str(few / "few.caption.txt"), "--store", str(few / "shot"), "--text", "bow"]
    done = avs(
        ["train-laff", *given, "--heads", "8", "--head-dim", "512", "--epochs", "1", "-o", str(folder), "--quiet"]
    )
    assert done == 0
    return folder


def laff(work: Path, repeats: int) -> dict[str, Any]:
    """A trained model over the first 1,000 shots, and embedded over all."""
    model, found = make_laff(work), {}
    for what, option in (("over the first 1,000", "--checkpoint"), ("embedded", "--embed")):
        start = time.perf_counter()
        server = Started(work, 1, option, str(model))
        try:
            found[what] = {"ready_s": round(time.perf_counter() - start, 1)}
            for name, by in (("alone", ["laff"]), ("beside one store", ["one-shot", "laff"])):
                times = []
                for text in sentences(repeats + 1, 20)[:]:
                    times.append(server.ask({"parts": [{"text": f"{text} {name}"}], "by": by})[0])
                found[what][name] = percentiles(times[1:])
            found[what]["anonymous_mb"] = round(server.memory_mb(), 1)
        finally:
            server.end()
    return found


def four_clients(server: Started, seconds: int) -> dict[str, Any]:
    """Four clients, one question a second each."""
    before, times, lock = server.memory_mb(), list[float](), threading.Lock()
    errors: list[str] = []

    def client(number: int) -> None:
        texts = sentences(seconds, 10 + number)
        begin = time.perf_counter()
        for turn, text in enumerate(texts):
            time.sleep(max(0.0, begin + turn - time.perf_counter()))
            try:
                taken, _ = server.ask({"parts": [{"text": text}], "by": ["one-shot"]}, f"client-{number}")
                with lock:
                    times.append(taken)
            except Exception as error:  # counted
                errors.append(repr(error))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    growth = round(server.memory_mb() - before, 1)
    return {**percentiles(times), "errors": len(errors), "first_error": errors[:1], "memory_growth_mb": growth}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--shots", type=int, default=SHOTS)
    parser.add_argument("--stores", type=int, default=1, choices=(1, 2, 3))
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=60, help="of four clients; 0: none")
    parser.add_argument("--page", action="store_true", help="a person at the page, in Chromium")
    parser.add_argument("--laff", action="store_true", help="a trained model: minutes, and 12 GB in --work")
    parser.add_argument("--faiss-python", type=Path, help="a Python that has faiss-cpu")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    shutil.rmtree(given.work / "sessions", ignore_errors=True)  # marks of the run before
    make_collection(given.work, given.shots, given.stores)
    result: dict[str, Any] = {"machine": machine(), "shots": given.shots, "dim": 512}
    result["bare search and encode"] = bare(given.work, given.repeats)
    for what in ("without the cache", "with the cache"):
        server = Started(given.work, given.stores)
        try:
            result[what] = {
                "listening_s": round(server.listening_s, 2), "ready_s": round(server.ready_s, 2),
                "anonymous_mb": round(server.memory_mb(), 1),
            }  # fmt: skip
            if what == "with the cache":
                result["asked"] = asked(server, given.repeats, given.stores)
                if given.seconds:
                    result["four clients"] = four_clients(server, given.seconds)
                result["anonymous_mb at the end"] = round(server.memory_mb(), 1)
        finally:
            server.end()
    result["one query, 2 threads"] = pass_speed(
        given.work / "features" / "one" / "shot", given.repeats, given.faiss_python
    )
    if given.page:
        result["page"] = page(given.work, given.repeats)
    if given.laff:
        result["laff"] = laff(given.work, given.repeats)
    result["ratio to bare"] = round(
        result["asked"]["first answer, one store"]["p50_ms"] / result["bare search and encode"]["p50_ms"], 2
    )
    given.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
