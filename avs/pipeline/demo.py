"""The demo: all steps from video files to runs, on the mini collection or on your own videos.

Each step is an avs command, which the demo prints and then runs.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np

from avs.core.artifacts import require_path
from avs.core.errors import ConfigError
from avs.core.progress import Reporter
from avs.core.ranking import RankedList, Run
from avs.core.shots import read_shot_table
from avs.core.topic import Topic
from avs.demo.collection import CollectionPaths, Split, generate_collection
from avs.metrics.measures import parse_measures
from avs.pipeline.commands import Commands, RunVerb, repeated
from avs.pipeline.evaluation import evaluate_runs
from avs.pipeline.static_page import ShownSystem, StaticPage, reduced_picture
from avs.trecvid.qrels import read_qrels
from avs.trecvid.secure_xml import looks_like_xml
from avs.trecvid.topics import ID, read_topics, write_topics
from avs.trecvid.trec import read_trec, write_trec

ENCODERS = ("mini-clip", "mini-blip", "mini-blip2")
OWN_TOPICS = ("a person outdoors", "a car on a street", "an animal", "a flower", "a green tree")
LAFF = "laff"
# So few training shots and epochs that the demo takes two minutes; the small encoders have 96 or 128 dimensions.
TRAINING_SHOTS = 2  # per shot of the collection
TRAINING_FRAMES = 4  # per training shot
SHOWN_SHOTS, SHOWN_SIDE = 8, 160  # per topic and system, on the page of results; pixels of their pictures
LAFF_OPTIONS = ("--head-dim", 128, "--epochs", 10, "--batch-size", 256, "--learning-rate", 0.0004)
TOLERANT = ("--max-failed", 0.5)  # a few broken files among your videos do not stop the demo
ONLY_MINI = (
    "The encoders of the demo have seen drawn shapes and nothing of the world: what they rank first in your videos is "
    "close to chance. Run this again with --model clip-vit-b32, or another encoder of the catalog."
)
DESCRIPTIONS = {
    LAFF: "LAFF over all encoders, trained on captions",
    "average": "the average of all lists",
    "ltr": "learning to rank over all lists, out of fold",
    "random": "shots in random order",
}


@dataclass(frozen=True, slots=True)
class DemoSummary:
    """What the demo made.

    Attributes:
        runs: name of a list -> its run file.
        xinfap: name of a list -> mean xinfAP; empty without judgments.
        gallery: HTML page with the best shots of every topic.
        serve: the command that shows all of it in the browser.
    """

    seconds: float
    runs: Mapping[str, Path]
    xinfap: Mapping[str, float]
    gallery: Path
    serve: str

    def to_json(self) -> dict[str, Any]:
        """The summary as `avs demo --json` prints it."""
        return {
            "seconds": round(self.seconds, 1),
            "runs": {name: str(path) for name, path in self.runs.items()},
            "xinfAP": dict(self.xinfap),
            "gallery": str(self.gallery),
        }


class Demo:
    """The steps of the demo.

    Args:
        folder: everything is written there.
        run_verb: runs one avs command.
        workers: number of processes; None: one per core.
        force: replace what was made from other inputs.
        models: encoders of the catalog; default: the small ones that know the mini collection.
        weights: of these, as `avs extract-features` takes them.
    """

    def __init__(
        self,
        folder: Path,
        reporter: Reporter,
        run_verb: RunVerb,
        *,
        workers: int | None = None,
        force: bool = False,
        models: Sequence[str] = (),
        weights: Sequence[str] = (),
    ) -> None:
        self.folder, self.reporter = folder, reporter
        self.workers, self.force = workers, force
        self._avs = Commands(reporter, run_verb, force=force)
        self.models, self.weights = tuple(models) or ENCODERS, weights
        self.start = perf_counter()

    def mini_collection(self, size: int, seed: int) -> DemoSummary:
        """Search a rendered collection of `size` shots with every encoder and a trained LAFF, fuse, and score all runs.

        Raises:
            SystemExit: a command failed; with its exit code.
            AvsError: as raised by the command that failed.
        """
        collection = self._generate(self.folder, size, seed, "test")
        assert collection.topics and collection.qrels and collection.qrels_full  # every test split has them
        table = self._import_shots(collection, self.folder)
        self._extract(collection.videos, table, self.folder)
        laff = self._train_laff(size, seed)
        single = self._search([collection.topics], laff)
        fused = {"average": self._fuse("average", single), "ltr": self._fuse("ltr", single, collection.qrels)}
        lists = {**single, **fused, "random": self._shuffle(table, collection.topics)}
        runs = self._make_runs(lists, [collection.topics], "mini", collection.valid_shots)
        self._avs("check-run", *runs.values(), "--edition", "mini", "--shots", collection.valid_shots)
        xinfap = self._score(runs, collection.qrels)
        best_first = {name: lists[name] for name in sorted([*single, *fused], key=lambda name: -xinfap[name])}
        shown = self._scored(best_first, {"xinfAP": collection.qrels, "AP": collection.qrels_full})
        gallery = self._show(shown, [collection.topics], table, collection.videos, qrels=collection.qrels)
        judged = ["--checkpoint", laff, "--qrels", collection.qrels]
        serve = self._serve(table, collection.videos, [collection.topics], *judged)
        return DemoSummary(perf_counter() - self.start, runs, xinfap, gallery, serve)

    def own_videos(self, videos: Path, topics: Sequence[Path]) -> DemoSummary:
        """Detect the shots of video files, search them with every encoder, fuse, and make runs that check-run accepts.

        Args:
            videos: folder of video files.
            topics: topic files; none: five topics of the demo.

        Raises:
            SystemExit: a command failed; with its exit code.
            AvsError: as raised by the command that failed.
        """
        from avs.pipeline.extract import extraction_recipe, require_usable
        from avs.video.find import find_videos

        topics = self._own_topics(topics)
        encoders = require_usable(extraction_recipe(None, models=self.models, weights=self.weights))
        trained = [encoder.name for encoder in encoders if encoder.name not in self.models]
        if trained:
            raise ConfigError(
                "avs demo searches with encoders of the catalog, not with trained models",
                got=", ".join(trained),
                next_step="extract with the model (avs extract-features --model), and search its store (avs search)",
            )
        self._warn()
        stems = [path.stem for path in find_videos(videos, ids="name").values()]
        ids: Literal["stem", "name"] = "stem" if len(set(stems)) == len(stems) else "name"
        table = self.folder / "shots.tsv"
        self._avs("shots", "--videos", videos, "--video-ids", ids, "-o", table, *self._workers, *TOLERANT)
        self._extract(videos, table, self.folder, "--video-ids", ids, *TOLERANT)
        lists = self._search(topics)
        if len(lists) > 1:
            lists["average"] = self._fuse("average", lists)
        runs = self._make_runs(lists, topics, "custom", table)
        self._avs("check-run", *runs.values(), "--edition", "custom", "--shots", table, *repeated("--topics", topics))
        fused_first = sorted(lists, key=lambda name: name in self.models)
        shown = [ShownSystem(name, read_trec(lists[name]).lists) for name in fused_first]
        gallery = self._show(shown, topics, table, videos, ids=ids)
        self._warn()
        serve = self._serve(table, videos, topics, *(["--video-ids", ids] if ids == "name" else []))
        return DemoSummary(perf_counter() - self.start, runs, {}, gallery, serve)

    @property
    def _warning(self) -> str:
        return ONLY_MINI if set(self.models) <= set(ENCODERS) else ""

    def _warn(self) -> None:
        if self._warning:
            self.reporter.say(f"\nWARNING: {self._warning}")

    @property
    def _workers(self) -> list[object]:
        return [] if self.workers is None else ["--workers", self.workers]

    def _generate(self, folder: Path, size: int, seed: int, split: Split) -> CollectionPaths:
        """Render a mini collection in `folder/collection`."""
        return generate_collection(
            folder / "collection", shots=size, seed=seed, split=split, workers=self.workers, reporter=self.reporter,
            force=self.force,
        )  # fmt: skip

    def _import_shots(self, collection: CollectionPaths, folder: Path) -> Path:
        """The shot table of a mini collection, from its master shots."""
        table = folder / "shots.tsv"
        self._avs("shots", "--videos", collection.videos, "--msb", collection.msb, "-o", table, *self._workers)
        return table

    def _extract(self, videos: Path, table: Path, folder: Path, *options: object) -> None:
        """Features of all encoders; the videos are decoded once for all of them."""
        models = [*repeated("--model", self.models), *repeated("--weights", self.weights)]
        output = f"{folder / 'features'}/"
        self._avs(
            "extract-features", "--videos", videos, *options, "--shots", table, *models, "-o", output, *self._workers
        )

    def _train_laff(self, size: int, seed: int) -> Path:
        """LAFF over all encoders, trained on captioned shots that are not in the collection."""
        folder, shots = self.folder / "training", TRAINING_SHOTS * size
        self.reporter.say(f"\nrendering {shots} captioned shots to train on, in {folder / 'collection'}")
        collection = self._generate(folder, shots, seed, "train")
        table, model = self._import_shots(collection, folder), self.folder / "models" / LAFF
        self._extract(collection.videos, table, folder, "--policy", "uniform", "--frames", TRAINING_FRAMES)
        stores = repeated("--store", [folder / "features" / name / "shot" for name in self.models])
        self._avs("train-laff", "--captions", collection.captions, *stores, *LAFF_OPTIONS, "-o", model)
        return model

    def _search(self, topics: Sequence[Path], laff: Path | None = None) -> dict[str, Path]:
        """Name -> ranked lists of every encoder and, if there is one, of the trained model; all in one pass."""
        folder = self.folder / "lists"
        stores = repeated("--store", [self.folder / "features" / name / "shot" for name in self.models])
        trained = ["--checkpoint", laff, "--zero-shot"] if laff else []
        self._avs("search", *repeated("--topics", topics), *stores, *trained, "-o", f"{folder}/")
        lists = {name: folder / f"{name}-shot.trec" for name in self.models}
        return lists | ({LAFF: folder / f"{LAFF}.trec"} if laff else {})

    def _fuse(self, name: str, lists: Mapping[str, Path], qrels: Path | None = None) -> Path:
        """The lists fused: averaged or, with judgments, by learning to rank; each topic by what the others taught."""
        method = ("--ltr", "--study", "--qrels", qrels) if qrels else ("--method", "average")
        path = self.folder / "lists" / f"{name}.trec"
        self._avs("fuse", *lists.values(), *method, "-o", path)
        return path

    def _serve(self, table: Path, videos: Path, topics: Sequence[Path], *options: object) -> str:
        """The command that searches all of it in the browser."""
        stores = repeated("--store", [self.folder / "features" / name / "shot" for name in self.models])
        kept = ["--cache", self.folder / "served", "--sessions", self.folder / "sessions"]
        places = ["--shots", table, "--videos", videos, "--keyframes", self.folder / "keyframes"]
        lists = [*repeated("--topics", topics), "--lists", self.folder / "lists"]
        words = ["avs", "serve", *stores, *options, *places, *lists, *kept]
        return shlex.join(str(word) for word in words)

    def _shuffle(self, table: Path, topics: Path) -> Path:
        """Ranked lists in random order: their score is that of a system that knows nothing."""
        shots, rng = read_shot_table(table).ids, np.random.default_rng(0)
        lists = {t.id: RankedList.from_scores(t.id, shots, rng.random(len(shots))) for t in read_topics([topics])}
        path = self.folder / "lists" / "random.trec"
        write_trec(Run(lists, "random"), path)
        return path

    def _make_runs(
        self, lists: Mapping[str, Path], topics: Sequence[Path], edition: str, shots: Path
    ) -> dict[str, Path]:
        """Name -> run file; the first list has priority 1."""
        folder, runs = self.folder / "runs", {}
        for priority, (name, ranked) in enumerate(lists.items(), start=1):
            self._avs(
                "make-run", ranked, *repeated("--topics", topics), "--edition", edition, "--shots", shots,
                "--pid", "DEMO", "--priority", priority, "--class", "F", "--task", "M", "--novelty", "C",
                "--trtype", "D", "--desc", DESCRIPTIONS.get(name, f"{name}, zero-shot"), "--elapsed", 1, "-o", folder,
            )  # fmt: skip
            runs[name] = folder / f"F_M_C_D_DEMO.{edition}_{priority}.xml"
        return runs

    def _score(self, runs: Mapping[str, Path], qrels: Path) -> dict[str, float]:
        """Name -> mean xinfAP, as `avs eval --json` prints it."""
        scores = self._avs.answer("eval", *runs.values(), "--qrels", qrels, "--measures", "infAP")["runs"]
        return {name: of_run["all"]["infAP"] for name, of_run in zip(runs, scores, strict=True)}

    def _scored(self, lists: Mapping[str, Path], judgments: Mapping[str, Path]) -> list[ShownSystem]:
        """The systems with their scores; each measure has judgments of its own."""
        runs = {name: read_trec(path) for name, path in lists.items()}
        scores = {
            measure: evaluate_runs(runs.values(), read_qrels(path), parse_measures([measure]))
            for measure, path in judgments.items()
        }
        return [
            ShownSystem(
                name,
                run.lists,
                {
                    measure: {
                        topic: f"{value:.3f}"
                        for topic, value in zip(of[i].topics, of[i].values[:, 0].tolist(), strict=True)
                    }
                    for measure, of in scores.items()
                },
                {measure: f"{of[i].overall()[0]:.4f}" for measure, of in scores.items()},
            )
            for i, (name, run) in enumerate(runs.items())
        ]

    def _show(
        self,
        systems: Sequence[ShownSystem],
        topics: Sequence[Path],
        table: Path,
        videos: Path,
        *,
        qrels: Path | None = None,
        ids: Literal["stem", "name"] = "stem",
    ) -> Path:
        """The gallery: a page with the first shots of every topic, system by system."""
        from avs.video.find import find_videos
        from avs.video.folder import VideoFolder
        from avs.video.keyframes import keyframe_path, write_keyframes
        from avs.video.sampling import Sampling

        shots, pictures, files = read_shot_table(table), self.folder / "keyframes", find_videos(videos, ids=ids)
        asked = [*read_topics(topics)]
        page = StaticPage(
            "avs demo: the mini collection" if qrels else f"avs demo: {videos}",
            asked,
            systems,
            SHOWN_SHOTS,
            picture=lambda shot: _picture(keyframe_path(pictures, shot)),
            times_s=lambda shot: (shots.get(shot).start_s, shots.get(shot).end_s),
            clip=lambda video: files[video],
            facts=[f"{len(asked)} topics, {len(shots)} shots; the first {SHOWN_SHOTS} shots of every system"],
            judged=read_qrels(qrels).topics if qrels else {},
            warning="" if qrels else self._warning,
        )
        missing = {shot for shot in page.shown if not keyframe_path(pictures, shot).exists()}
        source = VideoFolder(files, Sampling("middle"))
        for video in shots.video_ids:
            write_keyframes(source.read(video, [s for s in shots.of_video(video) if s.id in missing]), pictures)
        page.write(self.folder / "results.html")
        return self.folder / "results.html"

    def _own_topics(self, paths: Sequence[Path]) -> Sequence[Path]:
        """Files that read_topics can read: those given, bare sentences with numbers, or the topics of the demo."""
        bare = [_bare_sentences(require_path(given, what="topic file")) for given in paths]
        if not all(bare):
            read_topics(paths)  # a mistake in them is an error before the work
            return paths
        path = self.folder / "topics.txt"
        sentences = [sentence for of_file in bare for sentence in of_file] or OWN_TOPICS
        topics = [Topic(str(number), sentence) for number, sentence in enumerate(sentences, start=1)]
        write_topics(topics, path)
        read_topics([path])
        return [path]


def _picture(path: Path) -> bytes | None:
    return reduced_picture(path.read_bytes(), SHOWN_SIDE) if path.is_file() else None


def _bare_sentences(path: Path) -> list[str]:
    """The lines of a text none of whose lines begins with a topic id; nothing of any other file."""
    data = path.read_bytes()
    try:
        lines = [] if looks_like_xml(data) else [line.strip() for line in data.decode("utf-8-sig").split("\n")]
    except UnicodeDecodeError:
        return []
    sentences = [line for line in lines if line]
    return [] if any(ID.fullmatch(line.split()[0]) for line in sentences) else sentences
