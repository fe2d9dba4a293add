"""From the recipe of a submission to its plan: which commands, in which order, make its runs. Nothing is run here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from avs.core.config import load_config
from avs.core.errors import AvsError, did_you_mean
from avs.core.ids import some
from avs.core.list_files import model_name, store_name
from avs.pipeline.submission.plan import Step, SubmissionPlan, SubmissionRun
from avs.pipeline.submission.recipe import FusionRecipe, RunRecipe, SubmissionRecipe
from avs.pipeline.submission.verb_options import Verb
from avs.trecvid.checked_run import WORD, run_file_name
from avs.trecvid.editions import Edition, get_edition

SECTIONS = ("lists", "searches", "fusions", "reranks")
RUN_ATTRIBUTES = {"trtype": "trType", "class": "class", "task": "task", "novelty": "novelty", "algo": "algo"}
SET_BY_RECIPE = ("edition", "edition-file", "shots", "pid", "dropped", "priority")
"""Options of make-run that a run cannot have itself."""
LEARNED_OPTION = {"fuse": "fuser", "rerank": "reranker"}
"""Verb -> the option with the folder of what the verb has learned; the YAML uses the same word."""
CHECK = "check-run"

Location = tuple[object, ...]


def read_submission(config: Path, folder: Path, verb: Callable[[str], Verb]) -> SubmissionPlan:
    """The plan of a YAML file.

    Args:
        folder: for everything that is made: lists/, fusions/, reranks/, runs/.
        verb: gives the options of a verb by its name.

    Raises:
        ConfigError: unknown keys, names or options, impossible runs; all of them at once, before anything is run.
    """
    planners: list[_Planner] = []

    def check(recipe: SubmissionRecipe) -> list[tuple[Location, str]]:
        planners.append(_Planner(recipe, folder, verb))
        return planners[-1].problems

    load_config(config, SubmissionRecipe, check=check)
    return planners[-1].plan


class _Planner:
    """Reads a recipe once. Errors are collected in `problems`; `plan` is complete only if there are none."""

    def __init__(self, recipe: SubmissionRecipe, folder: Path, verb: Callable[[str], Verb]) -> None:
        self.recipe, self.folder, self.verb = recipe, folder, verb
        self.problems: list[tuple[Location, str]] = []
        self.sections = {name: section for section in reversed(SECTIONS) for name in getattr(recipe, section)}
        self.steps: dict[str, Step] = {}
        self.lists: dict[str, tuple[Path, ...]] = {}
        self._planning: list[str] = []
        self._file_of_run: dict[int, Path] = {}
        self._check_names()
        self._check_top()
        self._check_files()
        edition = self._edition()
        for section in SECTIONS:
            for name in getattr(recipe, section):
                self._plan(name)
        planned = [self._run(number, run, edition) for number, run in enumerate(recipe.runs)] if edition else []
        runs = [run for run in planned if run is not None]
        self._check_runs(runs, edition)
        self.plan = SubmissionPlan(tuple(self.steps.values()), tuple(sorted(runs, key=lambda run: run.priority)))

    def wrong(self, *location: object, what: str) -> None:
        self.problems.append((location, what))

    def _check_names(self) -> None:
        for section in SECTIONS:
            for name in getattr(self.recipe, section):
                if WORD.fullmatch(name) is None:
                    self.wrong(section, name, what="a name is a plain word of letters, digits, '.', '_' and '-'")
                elif name == CHECK:
                    self.wrong(section, name, what="the last step has this name")
                elif self.sections[name] != section:
                    self.wrong(section, name, what=f"{self.sections[name]} has the same name")

    def _check_top(self) -> None:
        verb, fields = self.verb("make-run"), SubmissionRecipe.model_fields
        for key, what in verb.words(self.recipe.model_extra or {}, taken=("priority",))[1]:
            known = [*fields, *verb.options]
            unknown = key.replace("_", "-") not in verb.options
            self.wrong(key, what=f"unknown key{did_you_mean(key, known)}" if unknown else what)

    def _check_files(self) -> None:
        for key, paths in (("topics", self.recipe.topics), ("shots", [self.recipe.shots])):
            for path in paths:
                if not path.is_file():
                    self.wrong(key, what=f"no such file: {path}")

    def _edition(self) -> Edition | None:
        try:
            return get_edition(self.recipe.edition, self.recipe.edition_file)
        except AvsError as error:
            self.wrong("edition", what="; ".join(filter(None, (error.what, error.next_step))))
            return None

    # Lists, and the steps that make them

    def _plan(self, name: str) -> tuple[Path, ...]:
        """The lists with this name, after planning the step that makes them and the steps it needs."""
        if name in self._planning:
            circle = " -> ".join([*self._planning[self._planning.index(name) :], name])
            self.wrong(self.sections[name], name, what=f"is made from itself: {circle}")
            return ()
        if name not in self.lists:
            self._planning.append(name)
            self.lists[name] = getattr(self, f"_plan_{self.sections[name]}")(name)
            self._planning.pop()
        return self.lists[name]

    def _plan_lists(self, name: str) -> tuple[Path, ...]:
        path = self.recipe.lists[name]
        if not path.is_file():
            self.wrong("lists", name, what=f"no such file: {path}")
        return (path,)

    def _plan_searches(self, name: str) -> tuple[Path, ...]:
        options = dict(self.recipe.searches[name])
        words = self._words(("searches", name), "search", self._shared("search", options) | options)
        folder = self.folder / "lists" / name
        models = [model_name(Path(path)) for path in _of(words, "checkpoint")]
        if "--zero-shot" in words or not models:
            models += [store_name(Path(path)) for path in _of(words, "store")]
        for repeated in sorted({model for model in models if models.count(model) > 1}):
            self.wrong("searches", name, what=f"two of its lists would be called {repeated}")
        makes = tuple(folder / f"{model}.trec" for model in dict.fromkeys(models))
        # Always a folder, also for one list, so that the lists of a search over past topics have the same names.
        self._step(("searches", name), "search", [*words, "-o", f"{folder}/"], needs=(), makes=makes)
        return makes

    def _plan_fusions(self, name: str) -> tuple[Path, ...]:
        fusion, place = self.recipe.fusions[name], ("fusions", name)
        files, needs = self._files(fusion, place)
        if not files:
            return ()  # the problem is recorded already
        options = self._with_learned("fuse", name, dict(fusion.model_extra or {}), needs)
        words = self._words(place, "fuse", self._shared("fuse", options) | options, taken=("past",))
        for folder, steps in (self._past(one, (*place, "past")) for one in fusion.past):
            words += ["--past", str(folder)]
            needs += steps
        makes = self.folder / "lists" / f"{name}.trec"
        self._step(place, "fuse", [*map(str, files), *words, "-o", str(makes)], needs=needs, makes=(makes,))
        return (makes,)

    def _plan_reranks(self, name: str) -> tuple[Path, ...]:
        rerank, place = self.recipe.reranks[name], ("reranks", name)
        file, needs = self._one(rerank.list_, (*place, "list"))
        options = self._with_learned("rerank", name, dict(rerank.model_extra or {}), needs)
        if "qrels" in options:
            learned = LEARNED_OPTION["rerank"]
            what = f"fit the reranking first: avs rerank PAST --qrels Q --{learned} DIR; then write {learned}: DIR here"
            self.wrong(*place, "qrels", what=what)
        words = self._words(place, "rerank", self._shared("rerank", options) | options)
        makes = self.folder / "lists" / f"{name}.trec"
        self._step(place, "rerank", [str(file), *words, "-o", str(makes)], needs=needs, makes=(makes,))
        return (makes,)

    def _files(self, fusion: FusionRecipe, place: Location) -> tuple[list[Path], list[str]]:
        files: list[Path] = []
        needs: list[str] = []
        for number, reference in enumerate(fusion.lists):
            lists, steps = self._lists(reference, (*place, "lists", number))
            files += lists
            needs += steps
        stems = [file.stem for file in files]
        for repeated in sorted({stem for stem in stems if stems.count(stem) > 1}):
            which = " and ".join(str(file) for file in files if file.stem == repeated)
            self.wrong(*place, "lists", what=f"two lists are called {repeated}: {which}")
        return files, needs

    def _lists(self, reference: str, place: Location) -> tuple[list[Path], list[str]]:
        """The lists that `NAME` or `SEARCH/PATTERN` means, and the steps that make them."""
        name, _, pattern = reference.partition("/")
        if name not in self.sections:
            self.wrong(*place, what=f'no list is called "{name}"{did_you_mean(name, self.sections)}')
            return [], []
        files = [path for path in self._plan(name) if not pattern or fnmatchcase(path.stem, pattern)]
        if pattern and not files and self.lists.get(name):
            known = [path.stem for path in self.lists[name]]
            what = f'no list of {name} is called "{pattern}"{did_you_mean(pattern, known)}; it has {", ".join(known)}'
            self.wrong(*place, what=what)
        return files, [name] if self.sections[name] != "lists" else []

    def _one(self, reference: str, place: Location) -> tuple[Path, list[str]]:
        files, needs = self._lists(reference, place)
        if len(files) > 1:
            names = some([f"{reference}/{path.stem}" for path in files], shown=3)
            self.wrong(*place, what=f"means {len(files)} lists; fuse them, or name one of {names}")
        return (files or [Path(reference)])[0], needs

    def _past(self, reference: str, place: Location) -> tuple[Path, list[str]]:
        if reference in self.recipe.searches:
            self._plan(reference)
            return self.folder / "lists" / reference, [reference]
        if not Path(reference).is_dir():
            what = f'neither a search nor a folder: "{reference}"{did_you_mean(reference, self.recipe.searches)}'
            self.wrong(*place, what=what)
        return Path(reference), []

    def _with_learned(self, verb: str, name: str, options: dict[str, Any], needs: list[str]) -> dict[str, Any]:
        """The options with the folder of what is learned: the step's own, or that of the step named in the options."""
        section, option = self.sections[name], LEARNED_OPTION[verb]
        source = options.get(option)
        if self.sections.get(str(source)) == section and source != name:
            self._plan(str(source))
            needs.append(str(source))
            return options | {option: str(self.folder / section / str(source))}
        learns = options.get("qrels") and not options.get("study")
        return options | {option: str(self.folder / section / name)} if source is None and learns else options

    # Runs

    def _run(self, number: int, run: RunRecipe, edition: Edition) -> SubmissionRun | None:
        place = ("runs", number)
        file, needs = self._one(run.list_, (*place, "list"))
        self._file_of_run[number] = file
        of_all, own = dict(self.recipe.model_extra or {}), dict(run.model_extra or {})
        verb = self.verb("make-run")
        options = {key: value for key, value in (of_all | own).items() if key.replace("_", "-") in verb.options}
        self.problems += [((*place, key), what) for key, what in verb.words(own, taken=SET_BY_RECIPE)[1]]
        attributes = {name: str(options[key]) for key, name in RUN_ATTRIBUTES.items() if options.get(key) is not None}
        attributes |= {"pid": self.recipe.pid, "priority": str(run.priority), "desc": str(options.get("desc", ""))}
        self._check_values(place, attributes, edition)
        try:
            name = run_file_name(edition, attributes)
        except AvsError as error:
            self.wrong(*place, what=error.what.replace("\n", " "))
            return None
        path = self.folder / "runs" / name
        if path.stem in self.sections:
            self.wrong(self.sections[path.stem], path.stem, what=f"the name is the id of runs.{number}")
        shared = {"topics": [*map(str, self.recipe.topics)], **self._of_edition, "shots": self.recipe.shots}
        words, _ = verb.words(shared | options | {"pid": self.recipe.pid, "priority": run.priority})
        words = [str(file), *words, "-o", str(path.parent)]
        self._step(place, "make-run", words, needs=needs, makes=(path,), name=path.stem)
        return SubmissionRun(path.stem, run.priority, run.list_, path)

    def _check_values(self, place: Location, attributes: Mapping[str, str], edition: Edition) -> None:
        for attribute in edition.attributes:
            value = attributes.get(attribute.name)
            if attribute.values and value is not None and value not in attribute.values:
                what = f'is "{value}", must be one of {" ".join(attribute.values)} in {edition.id}'
                self.wrong(*place, attribute.name.lower(), what=what)

    def _check_runs(self, runs: Sequence[SubmissionRun], edition: Edition | None) -> None:
        first_use: dict[tuple[str, str, object], int] = {}
        for number, run in enumerate(self.recipe.runs):
            options = {**(self.recipe.model_extra or {}), **(run.model_extra or {})}
            kind = f"{options.get('task')} {options.get('novelty')}"
            file = self._file_of_run.get(number, run.list_)
            facts = {"priority": (run.priority, f"priority {run.priority}"), "list": (file, f"the list {run.list_}")}
            for key, (value, what) in facts.items():
                first = first_use.setdefault((kind, key, value), number)
                if first != number:
                    self.wrong("runs", number, key, what=f"{what} is used by runs.{first} already")
        if runs and edition:
            words = [*(str(run.path) for run in runs), *self.verb(CHECK).words(self._of_edition)[0]]
            words += ["--shots", str(self.recipe.shots)]
            extra = self.recipe.model_extra or {}
            words += ["--dropped", str(extra["dropped"])] if extra.get("dropped") else []
            words += [w for t in self.recipe.topics for w in ("--topics", str(t))] if not edition.topics else []
            self._step(("runs",), CHECK, words, needs=[run.id for run in runs], makes=(), name=CHECK)

    # Steps

    def _shared(self, verb: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """The topics and the edition of the submission, for a step without topics of its own."""
        if "topics" in options or "topics" not in self.verb(verb).options:
            return {}
        topics = {"topics": [str(path) for path in self.recipe.topics]}
        return topics | (self._of_edition if "edition" in self.verb(verb).options else {})

    @property
    def _of_edition(self) -> dict[str, str | None]:
        file = self.recipe.edition_file
        return {"edition": self.recipe.edition, "edition_file": str(file) if file else None}

    def _words(self, place: Location, verb: str, options: Mapping[str, Any], *, taken: Sequence[str] = ()) -> list[str]:
        words, problems = self.verb(verb).words(options, taken=taken)
        self.problems += [((*place, key), what) for key, what in problems]
        return words

    def _step(
        self, place: Location, verb: str, words: Sequence[str], *, needs: Sequence[str], makes: tuple[Path, ...],
        name: str | None = None,
    ) -> None:  # fmt: skip
        name = name or str(place[-1])
        refusal = self.verb(verb).refusal(words)
        told = any(location[: len(place)] == place for location, _ in self.problems)
        if refusal and refusal.startswith("Missing option"):  # topics or shots of the submission that are not there
            told |= any(location in (("topics",), ("shots",)) for location, _ in self.problems)
        if refusal and not told:
            self.wrong(*place, what=f"avs {verb}: {refusal}")
        self.steps.setdefault(name, Step(name, verb, tuple(words), tuple(dict.fromkeys(needs)), makes))


def _of(words: Sequence[str], option: str) -> list[str]:
    """The values that an option has in words of a command line."""
    return [value for word, value in zip(words, words[1:], strict=False) if word == f"--{option}"]
