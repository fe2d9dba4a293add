"""A submission as a plan: which commands in which order make its runs. Nothing is run here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from avs.core.config import load_config
from avs.core.errors import AvsError, did_you_mean
from avs.pipeline.search.names import model_name, store_name
from avs.pipeline.submission.plan import Step, SubmissionPlan, SubmissionRun
from avs.pipeline.submission.recipe import Fusion, PlannedRun, SubmissionRecipe
from avs.pipeline.submission.verb_options import Verb
from avs.trecvid.editions import Edition, get_edition
from avs.trecvid.submission import WORD, submission_name

SECTIONS = ("lists", "searches", "fusions", "reranks")
RUN_ATTRIBUTES = {"trtype": "trType", "class": "class", "task": "task", "novelty": "novelty", "algo": "algo"}
OF_ALL_RUNS = ("edition", "shots", "pid", "dropped", "ranked", "priority")
CHECK = "check-run"

Location = tuple[object, ...]


def read_submission(config: Path, folder: Path, verb: Callable[[str], Verb]) -> SubmissionPlan:
    """The plan of a YAML file.

    Args:
        folder: for everything that is made: lists/, fusions/, reranks/, runs/.
        verb: what a verb takes, by its name.

    Raises:
        ConfigError: keys, names, options or runs that cannot be; all of them at once, before anything is run.
    """
    planners: list[_Planner] = []

    def check(recipe: SubmissionRecipe) -> list[tuple[Location, str]]:
        planners.append(_Planner(recipe, folder, verb))
        return planners[-1].problems

    load_config(config, SubmissionRecipe, check=check)
    return planners[-1].plan


class _Planner:
    """Reads a recipe once; what is wrong is collected in `problems`, and `plan` is of use when there is nothing."""

    def __init__(self, recipe: SubmissionRecipe, folder: Path, verb: Callable[[str], Verb]) -> None:
        self.recipe, self.folder, self.verb = recipe, folder, verb
        self.problems: list[tuple[Location, str]] = []
        self.sections = {name: section for section in reversed(SECTIONS) for name in getattr(recipe, section)}
        self.steps: dict[str, Step] = {}
        self.lists: dict[str, tuple[Path, ...]] = {}
        self._planning: list[str] = []
        self._ranked: dict[int, Path] = {}
        self._check_names()
        self._check_top()
        self._check_files()
        edition = self._edition()
        for section in SECTIONS:
            for name in getattr(recipe, section):
                self._plan(name)
        runs = [self._run(number, run, edition) for number, run in enumerate(recipe.runs)] if edition else []
        made = [run for run in runs if run is not None]
        self._check_runs(made, edition)
        self.plan = SubmissionPlan(tuple(self.steps.values()), tuple(sorted(made, key=lambda run: run.priority)))

    def wrong(self, *location: object, what: str) -> None:
        self.problems.append((location, what))

    def _check_names(self) -> None:
        for section in SECTIONS:
            for name in getattr(self.recipe, section):
                if WORD.fullmatch(name) is None:
                    self.wrong(section, name, what="a name is a plain word of letters, digits, '.', '_' and '-'")
                elif name == CHECK:
                    self.wrong(section, name, what="the name is that of the last step")
                elif self.sections[name] != section:
                    self.wrong(section, name, what=f"the name stands in {self.sections[name]} as well")

    def _check_top(self) -> None:
        verb, fields = self.verb("make-run"), SubmissionRecipe.model_fields
        for key, what in verb.words(self.recipe.model_extra or {}, taken=("ranked", "priority"))[1]:
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
            return get_edition(self.recipe.edition)
        except AvsError as error:
            self.wrong("edition", what=error.what)
            return None

    # Lists, and the steps that make them

    def _plan(self, name: str) -> tuple[Path, ...]:
        """The lists that go by a name, and the step that makes them planned behind those it needs."""
        if name in self._planning:
            circle = " -> ".join([*self._planning[self._planning.index(name) :], name])
            self.wrong(self.sections[name], name, what=f"is made of itself: {circle}")
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
        given = dict(self.recipe.searches[name])
        words = self._words(("searches", name), "search", self._shared("search", given) | given)
        folder = self.folder / "lists" / name
        models = [model_name(Path(path)) for path in _of(words, "checkpoint")]
        if "--zero-shot" in words or not models:
            models += [store_name(Path(path)) for path in _of(words, "store")]
        for twice in sorted({model for model in models if models.count(model) > 1}):
            self.wrong("searches", name, what=f"two of its lists would be called {twice}")
        makes = tuple(folder / f"{model}.trec" for model in dict.fromkeys(models))
        # A folder, however many lists: a search over past topics then has the same names.
        self._step(("searches", name), "search", [*words, "-o", f"{folder}/"], needs=(), makes=makes)
        return makes

    def _plan_fusions(self, name: str) -> tuple[Path, ...]:
        fusion, place = self.recipe.fusions[name], ("fusions", name)
        files, needs = self._files(fusion, place)
        if not files:
            return ()  # said already why
        given = self._with_learned("fuser", name, dict(fusion.model_extra or {}), needs)
        words = self._words(place, "fuse", self._shared("fuse", given) | given, taken=("past",))
        for folder, before in (self._past(one, (*place, "past")) for one in fusion.past):
            words += ["--past", str(folder)]
            needs += before
        makes = self.folder / "lists" / f"{name}.trec"
        self._step(place, "fuse", [*map(str, files), *words, "-o", str(makes)], needs=needs, makes=(makes,))
        return (makes,)

    def _plan_reranks(self, name: str) -> tuple[Path, ...]:
        rerank, place = self.recipe.reranks[name], ("reranks", name)
        file, needs = self._one(rerank.list_, (*place, "list"))
        given = self._with_learned("reranker", name, dict(rerank.model_extra or {}), needs)
        if "qrels" in given:
            what = "fit the reranker first: avs rerank PAST --qrels Q --reranker DIR; then write reranker: DIR here"
            self.wrong(*place, "qrels", what=what)
        words = self._words(place, "rerank", self._shared("rerank", given) | given)
        makes = self.folder / "lists" / f"{name}.trec"
        self._step(place, "rerank", [str(file), *words, "-o", str(makes)], needs=needs, makes=(makes,))
        return (makes,)

    def _files(self, fusion: Fusion, place: Location) -> tuple[list[Path], list[str]]:
        files: list[Path] = []
        needs: list[str] = []
        for number, reference in enumerate(fusion.lists):
            found, before = self._lists(reference, (*place, "lists", number))
            files += found
            needs += before
        stems = [file.stem for file in files]
        for twice in sorted({stem for stem in stems if stems.count(stem) > 1}):
            which = " and ".join(str(file) for file in files if file.stem == twice)
            self.wrong(*place, "lists", what=f"two lists are called {twice}: {which}")
        return files, needs

    def _lists(self, reference: str, place: Location) -> tuple[list[Path], list[str]]:
        """The lists that `NAME` or `SEARCH/PATTERN` stands for, and the steps that make them."""
        name, _, pattern = reference.partition("/")
        if name not in self.sections:
            self.wrong(*place, what=f'no list is called "{name}"{did_you_mean(name, self.sections)}')
            return [], []
        found = [path for path in self._plan(name) if not pattern or fnmatchcase(path.stem, pattern)]
        if pattern and not found and self.lists.get(name):
            known = [path.stem for path in self.lists[name]]
            what = f'no list of {name} is called "{pattern}"{did_you_mean(pattern, known)}; it has {", ".join(known)}'
            self.wrong(*place, what=what)
        return found, [name] if self.sections[name] != "lists" else []

    def _one(self, reference: str, place: Location) -> tuple[Path, list[str]]:
        found, needs = self._lists(reference, place)
        if len(found) > 1:
            names = ", ".join(f"{reference}/{path.stem}" for path in found[:3])
            self.wrong(*place, what=f"stands for {len(found)} lists; name one of {names} ..., or fuse them")
        return (found or [Path(reference)])[0], needs

    def _past(self, reference: str, place: Location) -> tuple[Path, list[str]]:
        if reference in self.recipe.searches:
            self._plan(reference)
            return self.folder / "lists" / reference, [reference]
        if not Path(reference).is_dir():
            what = f'neither a search nor a folder: "{reference}"{did_you_mean(reference, self.recipe.searches)}'
            self.wrong(*place, what=what)
        return Path(reference), []

    def _with_learned(self, option: str, name: str, given: dict[str, Any], needs: list[str]) -> dict[str, Any]:
        """Options with the folder of what is learned: the step's own, or that of the step which the option names."""
        section, other = self.sections[name], given.get(option)
        learns = given.get("qrels") and not given.get("study")
        if self.sections.get(str(other)) == section and other != name:
            self._plan(str(other))
            needs.append(str(other))
            return given | {option: str(self.folder / section / str(other))}
        return given | {option: str(self.folder / section / name)} if other is None and learns else given

    # Runs

    def _run(self, number: int, run: PlannedRun, edition: Edition) -> SubmissionRun | None:
        place = ("runs", number)
        file, needs = self._one(run.list_, (*place, "list"))
        self._ranked[number] = file
        top, own = dict(self.recipe.model_extra or {}), dict(run.model_extra or {})
        verb = self.verb("make-run")
        given = {key: value for key, value in (top | own).items() if key.replace("_", "-") in verb.options}
        self.problems += [((*place, key), what) for key, what in verb.words(own, taken=OF_ALL_RUNS)[1]]
        attributes = {name: str(given[key]) for key, name in RUN_ATTRIBUTES.items() if given.get(key) is not None}
        attributes |= {"pid": self.recipe.pid, "priority": str(run.priority), "desc": str(given.get("desc", ""))}
        self._check_values(place, attributes, edition)
        try:
            name = submission_name(edition, attributes)
        except AvsError as error:
            self.wrong(*place, what=error.what.replace("\n", " "))
            return None
        path = self.folder / "runs" / name
        if path.stem in self.sections:
            self.wrong(self.sections[path.stem], path.stem, what=f"the name is the id of runs.{number}")
        shared = {"topics": [*map(str, self.recipe.topics)], "edition": edition.id, "shots": self.recipe.shots}
        words, _ = verb.words(shared | given | {"pid": self.recipe.pid, "priority": run.priority})
        words += ["--ranked", str(file), "-o", str(path.parent)]
        self._step(place, "make-run", words, needs=needs, makes=(path,), name=path.stem)
        return SubmissionRun(path.stem, run.priority, run.list_, path)

    def _check_values(self, place: Location, attributes: Mapping[str, str], edition: Edition) -> None:
        for attribute in edition.attributes:
            value = attributes.get(attribute.name)
            if attribute.values and value is not None and value not in attribute.values:
                what = f'is "{value}", must be one of {" ".join(attribute.values)} in {edition.id}'
                self.wrong(*place, attribute.name.lower(), what=what)

    def _check_runs(self, runs: Sequence[SubmissionRun], edition: Edition | None) -> None:
        seen: dict[tuple[str, str, object], int] = {}
        for number, run in enumerate(self.recipe.runs):
            given = {**(self.recipe.model_extra or {}), **(run.model_extra or {})}
            kind = f"{given.get('task')} {given.get('novelty')}"
            made_of = self._ranked.get(number, run.list_)
            facts = {"priority": (run.priority, f"priority {run.priority}"), "list": (made_of, f"the list {run.list_}")}
            for key, (value, what) in facts.items():
                first = seen.setdefault((kind, key, value), number)
                if first != number:
                    self.wrong("runs", number, key, what=f"{what} is that of runs.{first} already")
        if runs and edition:
            words = [*(str(run.path) for run in runs), "--edition", edition.id, "--shots", str(self.recipe.shots)]
            extra = self.recipe.model_extra or {}
            words += ["--dropped", str(extra["dropped"])] if extra.get("dropped") else []
            words += [w for t in self.recipe.topics for w in ("--topics", str(t))] if not edition.topics else []
            self._step(("runs",), CHECK, words, needs=[run.id for run in runs], makes=(), name=CHECK)

    # Steps

    def _shared(self, verb: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """What every step of the submission searches for, unless it says something else."""
        if "topics" in given or "topics" not in self.verb(verb).options:
            return {}
        topics = {"topics": [str(path) for path in self.recipe.topics]}
        return topics | ({"edition": self.recipe.edition} if "edition" in self.verb(verb).options else {})

    def _words(self, place: Location, verb: str, given: Mapping[str, Any], *, taken: Sequence[str] = ()) -> list[str]:
        words, wrong = self.verb(verb).words(given, taken=taken)
        self.problems += [((*place, key), what) for key, what in wrong]
        return words

    def _step(
        self, place: Location, verb: str, words: Sequence[str], *, needs: Sequence[str], makes: tuple[Path, ...],
        name: str | None = None,
    ) -> None:  # fmt: skip
        name = name or str(place[-1])
        refusal = self.verb(verb).refusal(words)
        if refusal and not any(location[: len(place)] == place for location, _ in self.problems):
            self.wrong(*place, what=f"avs {verb}: {refusal}")
        self.steps.setdefault(name, Step(name, verb, tuple(words), tuple(dict.fromkeys(needs)), makes))


def _of(words: Sequence[str], option: str) -> list[str]:
    """The values that an option has in words of a command line."""
    return [value for word, value in zip(words, words[1:], strict=False) if word == f"--{option}"]
