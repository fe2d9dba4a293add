"""The rehearsal: from rendered collections to checked runs, by the recipes and the commands of the real job.

Everything happens in one folder, which the recipes' paths are relative to. Each step is an avs command, which is
printed and then run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from pydantic import BaseModel

from avs.core.artifacts import require_place
from avs.core.config import load_config
from avs.core.errors import ConfigError, Problems, typed
from avs.core.ids import natural_key
from avs.core.progress import Reporter
from avs.pipeline.commands import Commands, RunVerb, repeated
from avs.pipeline.rehearsal.collections import (
    DATA,
    judgments_of,
    render_captioned,
    render_searched,
    require_renderable,
)
from avs.pipeline.rehearsal.recipe import RehearsalRecipe, is_inside, read_rehearsal
from avs.pipeline.rehearsal.renamed import write_renamed
from avs.pipeline.rehearsal.stand_ins import make_stand_in
from avs.pipeline.submission.recipe import SubmissionRecipe

WEIGHTS = Path("weights")  # of stand-ins
SIGN = "rehearsal.txt"  # tells the folder of a rehearsal, and what is in it
MEANING = (
    "The collections of this rehearsal are rendered, and {stand_ins} have small networks with random weights. It shows "
    "that the recipes work together; its figures say nothing about the system."
)


@dataclass(frozen=True, slots=True)
class RehearsedTraining:
    """A training of the rehearsal.

    Attributes:
        verb, words: its command, without the output.
        captions: name of a collection that it reads -> the file of its captions.
    """

    verb: str
    words: tuple[object, ...]
    captions: Mapping[str, Path]


@dataclass(frozen=True, slots=True)
class RehearsedSubmission:
    """A submission of the rehearsal.

    Attributes:
        runs: its run files, which avs check-run accepts.
        xinfap: name of a list, such as "laffs/webvid.all" or "step-1" -> its mean xinfAP.
    """

    runs: tuple[Path, ...]
    xinfap: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class RehearsalSummary:
    """What a rehearsal made, by the name of the submission.

    Attributes:
        meaning: what its figures can tell.
    """

    seconds: float
    submissions: Mapping[str, RehearsedSubmission]
    meaning: str

    def to_json(self) -> dict[str, Any]:
        """The summary as `avs demo --rehearse YAML --json` prints it."""
        return {
            "seconds": round(self.seconds, 1),
            "meaning": self.meaning,
            "submissions": {
                name: {"runs": [str(path) for path in made.runs], "xinfAP": dict(made.xinfap)}
                for name, made in self.submissions.items()
            },
        }


class Rehearsal:
    """The steps of a rehearsal.

    Args:
        config: its YAML.
        folder: everything is written there.
        run_verb: runs one avs command.
        seed: of the collections and of the random weights.
        workers: number of processes; None: one per core.
        force: replace what was made from other inputs.
    """

    def __init__(
        self,
        config: Path,
        folder: Path,
        reporter: Reporter,
        run_verb: RunVerb,
        *,
        seed: int = 0,
        workers: int | None = None,
        force: bool = False,
    ) -> None:
        self.recipe: RehearsalRecipe = read_rehearsal(config)
        self.origin, self.folder, self.reporter = Path.cwd(), folder, reporter
        self.seed, self.workers, self.force = seed, workers, force
        self._avs = Commands(reporter, run_verb, force=force)

    def run(self) -> RehearsalSummary:
        """Render, extract, train, search, fuse, rerank, make and check the runs, and score every list.

        Raises:
            SystemExit: a command failed; with its exit code.
            ConfigError: recipes that cannot be rehearsed, or a folder that holds something else.
            AvsError: what a command raised.
        """
        start = perf_counter()
        require_place(self.folder, "rehearsal", sign=SIGN)  # never a folder with data of the same names
        self.folder.mkdir(parents=True, exist_ok=True)
        self.reporter.say(f"$ cd {typed(self.folder)}")
        with chdir(self.folder):
            Path(SIGN).write_text(f"{self.meaning}\n", encoding="utf-8")
            features = self._feature_recipe()
            trainings = {Path(name): self._training(name) for name in self.recipe.training}
            submissions = [self._renamed(path, "runs", SubmissionRecipe) for path in self.recipe.submissions]
            for one in trainings.values():
                self._avs.answer(one.verb, *one.words, "--list")  # what is wrong with options is told before the work
            self._make_stand_ins()
            self._render_and_extract(features, trainings.values())
            for folder, one in trainings.items():
                self._avs(one.verb, *one.words, "-o", folder)
            for name in self.recipe.searched if self.recipe.models else ():
                models = repeated("--model", self.recipe.models)
                self._extract(name, *models, "--level", "shot")
            made = {path.stem: self._submit(path) for path in submissions}
        return RehearsalSummary(perf_counter() - start, made, self.meaning)

    @property
    def meaning(self) -> str:
        """What the figures can tell."""
        return MEANING.format(stand_ins=", ".join(self.recipe.stand_ins) or "no encoders")

    def _renamed(self, config: Path, kind: str, model: type[BaseModel], **options: Any) -> Path:
        """A recipe with other names, after a check of the user's own, whose lines an error then names."""
        load_config(self.origin / config, model)
        return write_renamed(self.origin / config, kind, self.recipe.names, **options)

    def _feature_recipe(self) -> Path:
        """The recipe of the features; those of stand-ins have the weights that are made here."""
        from avs.features.recipe import ExtractionRecipe
        from avs.pipeline.extract import extraction_recipe, require_usable

        def adjust(content: Any) -> None:
            for encoder in content["encoders"]:
                if encoder["model"] in self.recipe.stand_ins:
                    encoder["weights"] = str(WEIGHTS / encoder["model"])

        path = self._renamed(self.recipe.features, "features", ExtractionRecipe, adjust=adjust)
        require_usable(extraction_recipe(path))
        return path

    def _training(self, name: str) -> RehearsedTraining:
        """The training that writes a folder, which writes nothing outside this one."""
        from avs.pipeline.train.recipe import TrainRecipe

        training = self.recipe.training[name]
        config = self._renamed(training.config, "train", TrainRecipe)
        recipe = load_config(config, TrainRecipe)
        captions = {collection: one.captions for collection, one in recipe.collections.items()}
        problems = Problems(f"recipe {training.config}: files that would be written outside {self.folder}")
        for collection, path in captions.items():
            if not is_inside(path):
                problems.add(f"captions of {collection}", f"got {path}; wanted a path such as data/{collection}/c.txt")
        cache = recipe.frames.cache if recipe.frames else None
        if cache and not is_inside(Path(cache)):
            problems.add("frames.cache", f"got {cache}; wanted a path such as data/frames")
        problems.raise_if_any(ConfigError)
        options = [word for key, value in training.options.items() for word in (f"--{key}", value)]
        return RehearsedTraining(f"train-{recipe.architecture}", ("--config", config, *options), captions)

    def _make_stand_ins(self) -> None:
        for name in self.recipe.stand_ins:
            make_stand_in(name, WEIGHTS / name, seed=self.seed, force=self.force, reporter=self.reporter)

    def _render_and_extract(self, features: Path, trainings: Iterable[RehearsedTraining]) -> None:
        """All collections, with their shot tables and features."""
        options: dict[str, Any] = {"seed": self.seed, "workers": self.workers, "force": self.force}
        options["reporter"] = self.reporter
        captions: dict[str, dict[Path, None]] = {}
        for one in trainings:
            for name, path in one.captions.items():
                captions.setdefault(name, {})[path] = None
        require_renderable(captions, self.recipe.searched)
        made = {name: render_searched(name, one, **options) for name, one in self.recipe.searched.items()}
        shots = self.recipe.captioned_shots
        for number, (name, files) in enumerate(captions.items()):
            made[name] = render_captioned(name, number, [*files], shots, **options)
        for name, collection in made.items():
            videos = DATA / name / "VideoData"
            self._avs("shots", "--videos", videos, "--msb", collection.msb, "-o", _table(name), *self._workers)
            self._extract(name, "--config", features)

    def _extract(self, name: str, *what: object) -> None:
        """Stores of a collection."""
        data = DATA / name
        self._avs(
            "extract-features", "--videos", data / "VideoData", "--shots", _table(name), *what,
            "-o", data / "FeatureData", *self._workers,
        )  # fmt: skip

    @property
    def _workers(self) -> list[object]:
        return [] if self.workers is None else ["--workers", self.workers]

    def _submit(self, config: Path) -> RehearsedSubmission:
        """The runs of a submission, and the scores of its lists."""
        folder = Path("submissions", config.stem)
        self._avs("make-submission", config, "-o", folder)
        recipe = load_config(config, SubmissionRecipe)
        found = [*(folder / "lists").glob("*.trec")]
        for name, options in recipe.searches.items():
            found += [] if "topics" in options else (folder / "lists" / name).glob("*.trec")
        lists = {path.relative_to(folder / "lists").with_suffix("").as_posix(): path for path in found}
        lists = {name: lists[name] for name in sorted(lists, key=natural_key)}
        runs = tuple(self.folder / path for path in sorted((folder / "runs").glob("*.xml")))
        return RehearsedSubmission(runs, self._scores(lists, recipe.edition))

    def _scores(self, lists: Mapping[str, Path], edition: str) -> dict[str, float]:
        """Name of a list -> mean xinfAP; nothing of an edition whose judgments were not made."""
        names = [name for name, searched in self.recipe.searched.items() if edition in searched.editions]
        if not names:
            return {}
        qrels = judgments_of(names[0], edition)
        scores = self._avs.answer("eval", *lists.values(), "--qrels", qrels, "--measures", "infAP")["runs"]
        return {name: of_list["all"]["infAP"] for name, of_list in zip(lists, scores, strict=True)}


def _table(name: str) -> Path:
    """The shot table of a collection."""
    return DATA / name / "shots.tsv"
