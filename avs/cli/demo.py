"""Do all of it on a small collection made on the spot, or on your own videos.

Every step is a command you could type; the demo prints it and runs it. Run again, it goes on where it was.
"""

from __future__ import annotations

import io
import json as json_
import shlex
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from avs.cli.options import RUNTIME, Debug, Force, Json, Quiet

if TYPE_CHECKING:
    from avs.core.progress import Reporter

EXAMPLES = """
avs demo
avs demo --shots 2000 --seed 1 -o big-demo
avs demo --videos my-videos --topics my-topics.txt -o my-demo
"""

MODELS = ("mini-clip", "mini-blip", "mini-blip2")
OWN_TOPICS = "1  a person outdoors\n2  a car on a street\n3  an animal\n4  a flower\n5  a green tree\n"
LAFF = "laff"
# As many shots and epochs as leave the demo within three minutes; the small encoders' vectors have some 100 dimensions.
TRAINING_SHOTS = 2  # for each of the collection's
TRAINING_FRAMES = 4  # of each shot
LAFF_OPTIONS = ("--head-dim", 128, "--epochs", 10, "--batch-size", 256, "--learning-rate", 0.0004)
WORKERS = 2
TOLERANT = ("--max-failed", 0.5)  # a few broken files among your own are no reason to show nothing
FUSED = {"average": ("--method", "average"), "ltr": ("--ltr", "--study")}
DESCRIPTIONS = {
    LAFF: "LAFF over all encoders, trained on captions",
    "average": "the average of all lists",
    "ltr": "learning to rank over all lists, out of fold",
    "random": "shots in random order",
}
INPUTS, OUTPUT = "Inputs", "Output"


def command(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for everything it writes.", rich_help_panel=OUTPUT)
    ] = Path("avs-demo"),
    shots: Annotated[
        int, typer.Option("--shots", min=120, help="Size of the made collection, in shots.", rich_help_panel=INPUTS)
    ] = 600,
    seed: Annotated[int, typer.Option("--seed", help="Of the made collection.", rich_help_panel=INPUTS)] = 0,
    videos: Annotated[
        Path | None,
        typer.Option("--videos", help="Your own videos instead of the made collection.", rich_help_panel=INPUTS),
    ] = None,
    topics: Annotated[
        Path | None, typer.Option("--topics", help="Topics to search your videos for.", rich_help_panel=INPUTS)
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes.", rich_help_panel=RUNTIME)] = WORKERS,
    quiet: Quiet = False,
    json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    from avs.core.errors import ConfigError
    from avs.core.progress import Reporter

    if topics is not None and videos is None:
        raise ConfigError("the made collection has topics of its own", next_step="give --videos with --topics")
    demo = _Demo(output, Reporter(quiet=quiet or json), workers=workers, force=force)
    if videos is None:
        summary = demo.made_collection(shots, seed)
    else:
        summary = demo.own_videos(videos, topics)
    if json:
        print(json_.dumps(summary))


class _Demo:
    """The steps, and the folder they write to."""

    def __init__(self, folder: Path, reporter: Reporter, *, workers: int, force: bool) -> None:
        self.folder, self.reporter, self.workers, self.force = folder, reporter, workers, force
        self.start = perf_counter()

    def made_collection(self, shots: int, seed: int) -> dict[str, Any]:
        """Make the mini collection, train LAFF on others, search with it and every encoder, fuse, score all runs."""
        from avs.demo.collection import generate_collection

        self.reporter.say(f"making a collection of {shots} shots in {self.folder / 'collection'}")
        made = generate_collection(
            self.folder / "collection", shots=shots, seed=seed, workers=self.workers, reporter=self.reporter
        )
        table = self.folder / "shots.tsv"
        self.run("shots", "--videos", made.videos, "--msb", made.msb, "-o", table, "--workers", self.workers)
        self.extract(made.videos, table, self.folder / "features")
        laff = self.train_laff(shots, seed)
        lists = self.search(made.topics, laff)
        lists |= self.fuse(lists, made.qrels)
        lists["random"] = self.random_lists(table, made.topics)
        runs = self.make_runs(lists, made.topics, "mini", made.valid_shots)
        self.run("check-run", *runs.values(), "--edition", "mini", "--shots", made.valid_shots)
        scores = self.scores(runs, made.qrels)
        gallery = self.gallery(
            max(lists, key=lambda name: scores[name]), lists, made.topics, table, made.videos, made.qrels
        )
        return self.report(runs, gallery, scores)

    def own_videos(self, videos: Path, topics: Path | None) -> dict[str, Any]:
        """Detect the shots of real video files, search them, and make runs that check-run accepts."""
        from avs.core.artifacts import atomic_write
        from avs.video.find import find_videos

        if topics is None:
            topics = self.folder / "topics.txt"
            with atomic_write(topics) as file:
                file.write(OWN_TOPICS)
        stems = [path.stem for path in find_videos(videos, ids="name").values()]
        ids = "stem" if len(set(stems)) == len(stems) else "name"
        table = self.folder / "shots.tsv"
        self.run("shots", "--videos", videos, "--video-ids", ids, "-o", table, "--workers", self.workers, *TOLERANT)
        self.extract(videos, table, self.folder / "features", "--video-ids", ids, *TOLERANT)
        lists = self.search(topics, None)
        lists |= self.fuse(lists, None)
        runs = self.make_runs(lists, topics, "custom", table)
        self.run("check-run", *runs.values(), "--edition", "custom", "--shots", table, "--topics", topics)
        return self.report(runs, self.gallery("average", lists, topics, table, videos, None, ids=ids), {})

    def run(self, *words: object) -> None:
        """Print a command and run it.

        Raises:
            SystemExit: it did not end well; with its exit code.
        """
        from avs.cli.main import main

        line = [str(word) for word in words]
        self.reporter.say(f"\n$ {shlex.join(['avs', *line])}")
        extra = [
            option
            for option, on in (
                ("--quiet", self.reporter.quiet),
                ("--force", self.force and line[0] not in ("check-run", "eval")),
            )
            if on
        ]
        code = main([*line, *extra])
        if code:
            raise SystemExit(code)

    def extract(self, videos: Path, table: Path, features: Path, *options: object) -> None:
        """Features of all small encoders. Videos are decoded once for all of them."""
        models = [word for model in MODELS for word in ("--model", model)]
        self.run(
            "extract-features", "--videos", videos, *options, "--shots", table, *models,
            "-o", features, "--workers", self.workers,
        )  # fmt: skip

    def train_laff(self, shots: int, seed: int) -> Path:
        """LAFF over all encoders, trained on captions of shots that are not in the collection."""
        from avs.demo.collection import generate_collection

        folder, shots = self.folder / "training", TRAINING_SHOTS * shots
        self.reporter.say(f"\nmaking {shots} captioned shots to train on in {folder / 'collection'}")
        made = generate_collection(
            folder / "collection", shots=shots, seed=seed, split="train", workers=self.workers, reporter=self.reporter
        )
        table, model = folder / "shots.tsv", self.folder / "models" / LAFF
        self.run("shots", "--videos", made.videos, "--msb", made.msb, "-o", table, "--workers", self.workers)
        self.extract(made.videos, table, folder / "features", "--policy", "uniform", "--frames", TRAINING_FRAMES)
        features = [word for name in MODELS for word in ("--store", folder / "features" / name / "shot")]
        self.run("train-laff", "--captions", made.captions, *features, *LAFF_OPTIONS, "-o", model)
        return model

    def search(self, topics: Path, laff: Path | None) -> dict[str, Path]:
        """Name -> its ranked lists, all of one pass."""
        folder = self.folder / "lists"
        stores = [word for model in MODELS for word in ("--store", self.folder / "features" / model / "shot")]
        trained = ["--checkpoint", laff, "--zero-shot"] if laff else []
        self.run("search", "--topics", topics, *stores, *trained, "-o", f"{folder}/")
        lists = {model: folder / f"{model}-shot.trec" for model in MODELS}
        return lists | ({LAFF: folder / f"{LAFF}.trec"} if laff else {})

    def fuse(self, lists: Mapping[str, Path], qrels: Path | None) -> dict[str, Path]:
        """The lists as one: their average; and learned, where there are judgments, from the topics of other folds."""
        made = {name: self.folder / "lists" / f"{name}.trec" for name in FUSED if name == "average" or qrels}
        for name, path in made.items():
            learn = ("--qrels", qrels) if name == "ltr" else ()
            self.run("fuse", *lists.values(), *FUSED[name], *learn, "-o", path)
        return made

    def random_lists(self, table: Path, topics: Path) -> Path:
        """Shots in random order: what a run scores that knows nothing."""
        import numpy as np

        from avs.core.ranking import RankedList, Run
        from avs.core.shots import read_shot_table
        from avs.trecvid.topics import read_topics
        from avs.trecvid.trec import write_trec

        shots, rng = read_shot_table(table).ids, np.random.default_rng(0)
        found = {t.id: RankedList.from_scores(t.id, shots, rng.random(len(shots))) for t in read_topics([topics])}
        path = self.folder / "lists" / "random.trec"
        write_trec(Run(found, "random"), path)
        return path

    def make_runs(self, lists: Mapping[str, Path], topics: Path, edition: str, shots: Path) -> dict[str, Path]:
        """Name -> its run file; the first has priority 1."""
        folder, runs = self.folder / "runs", {}
        for priority, (name, ranked) in enumerate(lists.items(), start=1):
            self.run(
                "make-run", ranked, "--topics", topics, "--edition", edition, "--shots", shots,
                "--pid", "DEMO", "--priority", priority, "--class", "F", "--task", "M", "--novelty", "C",
                "--trtype", "D", "--desc", DESCRIPTIONS.get(name, f"{name}, zero-shot"), "--elapsed", 1, "-o", folder,
            )  # fmt: skip
            runs[name] = folder / f"F_M_C_D_DEMO.{edition}_{priority}.xml"
        return runs

    def scores(self, runs: Mapping[str, Path], qrels: Path) -> dict[str, float]:
        """Name -> mean xinfAP, by `avs eval`."""
        answer = io.StringIO()
        with redirect_stdout(answer):
            self.run("eval", *runs.values(), "--qrels", qrels, "--measures", "infAP", "--json")
        found = json_.loads(answer.getvalue())["runs"]
        return {name: entry["all"]["infAP"] for name, entry in zip(runs, found, strict=True)}

    def gallery(
        self,
        name: str,
        lists: Mapping[str, Path],
        topics: Path,
        table: Path,
        videos: Path,
        qrels: Path | None,
        *,
        ids: Literal["stem", "name"] = "stem",
    ) -> Path:
        """A page with the first shots of every topic."""
        from avs.core.shots import read_shot_table
        from avs.demo.gallery import DEPTH, write_gallery
        from avs.trecvid.qrels import read_qrels
        from avs.trecvid.topics import read_topics
        from avs.trecvid.trec import read_trec
        from avs.video.find import find_videos
        from avs.video.folder import VideoFolder
        from avs.video.keyframes import keyframe_path, write_keyframes
        from avs.video.sampling import Sampling

        run, pictures = read_trec(lists[name]), self.folder / "keyframes"
        shots = read_shot_table(table)
        source = VideoFolder(find_videos(videos, ids=ids), Sampling("middle"))
        shown = {shot for ranked in run.lists.values() for shot in ranked.shots[:DEPTH]}
        for video in shots.video_ids:
            wanted = [s for s in shots.of_video(video) if s.id in shown and not keyframe_path(pictures, s.id).exists()]
            write_keyframes(source.read(video, wanted), pictures)
        relevant = None
        if qrels is not None:
            judged = read_qrels(qrels).topics
            relevant = {topic: pool.relevant for topic, pool in judged.items()}
        page = self.folder / "results.html"
        write_gallery(
            page, f"{name}: the first {DEPTH} shots of every topic", topics=read_topics([topics]), lists=run.lists,
            picture=lambda shot: keyframe_path(pictures, shot), relevant=relevant,
        )  # fmt: skip
        return page

    def report(self, runs: Mapping[str, Path], gallery: Path, scores: Mapping[str, float]) -> dict[str, Any]:
        """Print the table and say where everything is."""
        seconds = perf_counter() - self.start
        if not self.reporter.quiet:
            width = max(map(len, runs))
            print(f"\n{'':<{width}}  {'xinfAP' if scores else '':<6}  run")
            for name, path in runs.items():
                print(f"{name:<{width}}  {format(scores[name], '.4f') if scores else '':<6}  {path}")
        self.reporter.say(f"\nlook at {gallery}: the best shots of every topic")
        self.reporter.say(f"all of it is in {self.folder}; {seconds:.0f} s")
        self.reporter.say(
            "next: avs extract-features --help, to index videos of your own with an encoder of your choice"
        )
        return {
            "seconds": round(seconds, 1),
            "runs": {name: str(path) for name, path in runs.items()},
            "xinfAP": dict(scores),
            "gallery": str(gallery),
        }
