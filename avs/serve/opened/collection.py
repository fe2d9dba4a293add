"""What the server has opened: shots, stores, models, fusers, ranked lists, topics and judgments."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from avs.core.artifacts import fingerprint_content, fingerprint_input, read_manifest
from avs.core.contents import content_fingerprint
from avs.core.errors import AvsError, ConfigError, DataError, FormatError, did_you_mean
from avs.core.features import Features, open_features
from avs.core.ids import some
from avs.core.list_files import list_name
from avs.core.progress import Reporter
from avs.core.qrels import Qrels
from avs.core.ranking import Run
from avs.core.store import Problem
from avs.core.topic import Topic, TopicSet
from avs.pipeline.serve_options import ServeOptions
from avs.serve.opened import Report
from avs.serve.opened.cache_lock import alone_in
from avs.serve.opened.embedded import EmbeddedModel, open_embedded
from avs.serve.opened.shot_columns import ShotColumns, columns_of_ids, open_columns
from avs.serve.opened.store_view import StoreView
from avs.serve.opened.text_table import TextTable, open_texts
from avs.serve.refusal import Refusal
from avs.serve.shapes import FoundInList, MediaFacts, StoreProblems, SystemFacts

if TYPE_CHECKING:
    from avs.fusion.fuser import Fuser
    from avs.metrics.evaluation import Evaluator
    from avs.pipeline.search.searcher import Searcher

"""What is being opened, how many things are done, and of how many."""
Kind = Literal["store", "model", "fuser", "list"]
LIST_SUFFIXES = (".trec", ".xml", ".run")


@dataclass(frozen=True, slots=True, eq=False)
class ServedFuser:
    """A fuser that was fitted before.

    Attributes:
        lists: the systems that it needs.
        depth: of the lists that it fuses.
        learned_from: topics that it was fitted on.
        fingerprint: of its manifest.
    """

    name: str
    folder: Path
    fuser: Fuser
    lists: tuple[str, ...]
    depth: int
    learned_from: tuple[str, ...]
    method: str
    fingerprint: str


@dataclass(frozen=True, slots=True, eq=False)
class ServedList:
    """A ranked list in a file.

    Attributes:
        used: F, M or R, the class that it declares; None: nothing says how it was made.
    """

    name: str
    file: Path
    run: Run
    fingerprint: str
    used: str | None


class LoadReporter(Reporter):
    """Keeps what the pipeline says, so that the page can show it."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        """Keep a line."""
        if line not in self.lines:
            self.lines.append(line)


@dataclass(slots=True, eq=False)
class Collection:
    """The opened things by name.

    Attributes:
        stores: name of a system -> its store, in rows of the collection.
        models: names of the systems that are trained models.
        embedded: name of a model -> the embeddings of all shots, of --embed.
        texts: of shots, whose words can be a filter.
        spoiled: findings of list files that cannot be read.
        warnings: what the user should know of what was opened.
        artefacts: what decides lists -> its fingerprint, or the setting itself.
        fingerprint: of all of them.
    """

    columns: ShotColumns
    searcher: Searcher
    stores: Mapping[str, StoreView]
    models: Sequence[str]
    fusers: Mapping[str, ServedFuser]
    lists: Mapping[str, ServedList]
    topics: TopicSet | None
    qrels: Qrels | None
    evaluator: Evaluator | None
    videos: Mapping[str, Path]
    options: ServeOptions
    texts: TextTable | None = None
    embedded: Mapping[str, EmbeddedModel] = field(default_factory=dict)
    spoiled: Sequence[FoundInList] = ()
    warnings: list[str] = field(default_factory=list)
    artefacts: dict[str, str] = field(default_factory=dict)
    fingerprint: str = ""

    @property
    def ranking_names(self) -> list[str]:
        """The names that a question may ask by."""
        return [*self.stores, *self.models, *self.lists]

    def topic(self, name: str | None) -> Topic | None:
        """A topic of the topic file; None: it is not there, or there is no file."""
        return self.topics.get(name) if self.topics and name is not None and name in self.topics.ids else None

    def require_names(self, names: Sequence[str]) -> None:
        """Check that systems are known.

        Raises:
            Refusal: one is not.
        """
        for name in names:
            if name not in self.ranking_names:
                near = did_you_mean(name, self.ranking_names) if len(name) <= 80 else ""
                raise Refusal(404, f"no such system{near}", got=repr(name[:80]), wanted=some(self.ranking_names))

    def open_fuser(self, folder: Path) -> ServedFuser:
        """Open a fuser beside those that are opened; questions that are being answered keep what they have."""
        opened = _open_fusers([folder])
        self.fusers = {**self.fusers, **opened}
        return next(iter(opened.values()))

    def whole(self, model: str) -> bool:
        """Whether a model scores the whole collection in a search."""
        return (
            model not in self.models or model in self.embedded or len(self.columns) <= self.options.rescore
        )  # fmt: skip

    def facts(self) -> list[SystemFacts]:
        """What can rank, in the order in which it was given."""
        found = [self._store_facts(name, view) for name, view in self.stores.items()]
        for name in self.models:
            checkpoint = self.searcher.systems[name].source
            kind = getattr(checkpoint, "architecture", "model")
            found.append(_facts(name, "model", str(kind), texts=True, whole=self.whole(name)))
        for name, one in self.fusers.items():
            fuser = _facts(name, "fuser", one.method)
            found.append(fuser.model_copy(update={"lists": [*one.lists], "learned_from": [*one.learned_from]}))
        return found + [_facts(name, "list", one.file.name) for name, one in self.lists.items()]

    def _store_facts(self, name: str, view: StoreView) -> SystemFacts:
        statuses = [problem.status for problem in view.problems]
        facts = _facts(name, "store", view.spec.name, texts=view.texts, images=view.images)
        problems = StoreProblems(partial=statuses.count("partial"), failed=statuses.count("failed"))
        return facts.model_copy(update={"problems": problems})

    def problems_of(self, shot: str) -> list[tuple[str, Problem]]:
        """What is wrong with a shot, by store."""
        return [(name, view.problem_of[shot]) for name, view in self.stores.items() if shot in view.problem_of]

    def media_facts(self) -> MediaFacts:
        """What there is to see, and the option that would bring what is not there."""
        pictures = self.options.keyframes is not None or (bool(self.videos) and not self.columns.without_times())
        missing = {
            "key frames": "" if pictures else "--keyframes, or --videos with --shots",
            "videos": "" if self.videos else "--videos",
            "times": "--shots" if self.columns.without_times() else "",
            "topics": "" if self.topics else "--topics",
            "judgments": "" if self.qrels else "--qrels",
            "lists": "" if self.lists else "--lists",
            "texts": "" if self.texts else "--text-table",
        }
        return MediaFacts(
            keyframes=pictures, videos=bool(self.videos), times=not self.columns.without_times(),
            missing={what: option for what, option in missing.items() if option},
        )  # fmt: skip


def _facts(
    name: str, kind: Kind, spec: str, *, texts: bool = False, images: bool = False, whole: bool = True
) -> SystemFacts:
    none = StoreProblems(partial=0, failed=0)
    return SystemFacts(
        name=name, kind=kind, exact=True, whole=whole, spec=spec, texts=texts, images=images, problems=none
    )  # fmt: skip


def open_collection(options: ServeOptions, report: Report) -> Collection:
    """Open everything that the options name.

    Raises:
        AvsError: something cannot be opened, or does not fit the rest.
    """
    reporter = LoadReporter()
    with alone_in(options.cache, report):
        columns, views, searcher = _searched(options, report, reporter)
        embedded = _embedded(searcher, options, columns, report)
        texts = _texts(options, columns, report)
    lists, spoiled = _open_lists(options.lists, report)
    fusers = _open_fusers(options.fusers)
    models = [name for name in searcher.systems if name not in views]
    _require_different_names([*views, *models], fusers, lists)
    topics, qrels, evaluator = _study(options, report)
    collection = Collection(
        columns, searcher, views, models, fusers, lists, topics, qrels, evaluator,
        _videos(options, columns, reporter), options, texts, embedded, spoiled,
        reporter.lines,
    )  # fmt: skip
    collection.artefacts = _artefacts(collection)
    collection.fingerprint = hashlib.sha256(json.dumps(list(collection.artefacts.items())).encode()).hexdigest()
    return collection


def _searched(
    options: ServeOptions, report: Report, reporter: Reporter
) -> tuple[ShotColumns, dict[str, StoreView], Searcher]:
    """The shots, the stores by name, and what searches them, with its encoders and models loaded."""
    from avs.pipeline.search.searcher import Searcher
    from avs.pipeline.search.system import locations_of

    stores: list[Features] = []
    for number, folder in enumerate(options.stores):
        report(f"store {folder}", number, len(options.stores))
        stores.append(open_features(folder))
    report("shot table", 0, 1)
    columns = open_columns(options.shots, options.cache) if options.shots else columns_of_ids(_union_ids(stores))
    views = _views(stores, columns, options)
    searcher = Searcher(
        [*(view.system for view in views.values()), *_model_systems(options)],
        stores,
        locations=locations_of(stores, options.weights, options.word2vec),
        device=options.device,
        reporter=reporter,
    )
    _warm(searcher, views, report)
    return columns, views, searcher


def _texts(options: ServeOptions, columns: ShotColumns, report: Report) -> TextTable | None:
    return open_texts(options.text_table, columns, options.cache, report) if options.text_table else None


def _union_ids(stores: Sequence[Features]) -> tuple[str, ...]:
    """The shots of all stores."""
    first, *others = stores
    if all(one.ids == first.ids for one in others):
        return first.ids
    return tuple(dict.fromkeys(shot for one in stores for shot in one.ids))


def _views(stores: Sequence[Features], columns: ShotColumns, options: ServeOptions) -> dict[str, StoreView]:
    """Name of a system -> its store.

    Raises:
        ConfigError: two stores of one name; a store with shots that the table lacks.
    """
    views: dict[str, StoreView] = {}
    for store in stores:
        view = StoreView(store, columns, options.frame_score if store.offsets is not None else None)
        if view.name in views:
            raise ConfigError(
                f'two stores are called "{view.name}"', got=f"{views[view.name].folder} and {store.folder}",
                next_step="give one of the folders another name",
            )  # fmt: skip
        views[view.name] = view
    return views


def _model_systems(options: ServeOptions):  # type: ignore[no-untyped-def]  # importing System imports torch
    """The systems of checkpoints, each once: what is embedded may be named as a checkpoint too."""
    from avs.pipeline.search.system import model_system
    from avs.train.checkpoint import read_checkpoint

    named = [read_checkpoint(folder) for folder in (*options.checkpoints, *options.embed)]
    return [model_system(one) for one in {one.folder.resolve(): one for one in named}.values()]


def _embedded(
    searcher: Searcher, options: ServeOptions, columns: ShotColumns, report: Report
) -> dict[str, EmbeddedModel]:
    """Name of a model of --embed -> its embeddings of all shots."""
    from avs.train.checkpoint import Checkpoint, read_checkpoint

    wanted = [read_checkpoint(folder).folder.resolve() for folder in options.embed]
    found = {}
    for name, system in searcher.systems.items():
        checkpoint = system.source
        if isinstance(checkpoint, Checkpoint) and checkpoint.folder.resolve() in wanted:
            found[name] = open_embedded(
                name, searcher.packed(name, checkpoint), checkpoint, searcher.features_of(system),
                searcher.source([system]), columns,
                options.cache / f"embedded-{name}", report, searcher.reporter,
            )  # fmt: skip
    return found


def _warm(searcher: Searcher, views: Mapping[str, StoreView], report: Report) -> None:
    """Load the encoders and models, so that the first question does not wait for them.

    Raises:
        ConfigError: a model reads text and video together.
        AvsError: weights are not where they were, or not those of the store.
    """
    from avs.train.checkpoint import Checkpoint

    for number, (name, system) in enumerate(searcher.systems.items()):
        report(f"encoder of {name}", number, len(searcher.systems))
        if isinstance(system.source, Checkpoint):
            searcher.packed(name, system.source)
            with suppress(DataError):  # it need not know this word
                searcher.model(system.source).embed(["a"], ["warm"])
        elif views[name].texts:
            searcher.encode(system.source.spec, ["a"])
            views[name].images = views[name].images and hasattr(searcher.encoder(system.source.spec), "encode_images")
    for view in views.values():
        searcher.source([view.system])  # the blocks of its rows


def _open_fusers(folders: Sequence[Path]) -> dict[str, ServedFuser]:
    from avs.fusion import methods  # noqa: F401  (it registers the fusers)
    from avs.fusion.artefact import read_fuser
    from avs.fusion.pool import DEFAULT_DEPTH

    fusers: dict[str, ServedFuser] = {}
    for folder in folders:
        fuser, manifest = read_fuser(folder), read_manifest(folder)
        config = manifest.get("config") or {}
        plan = config.get("plan") or {}
        name = folder.resolve().name
        if name in fusers:
            raise ConfigError(f'two fusers are called "{name}"', got=folder)
        lists = tuple(config.get("lists") or fuser.lists or ())
        if not lists:
            raise FormatError("the fuser does not say which lists it fuses", where=folder, next_step="fit it again")
        fusers[name] = ServedFuser(
            name, folder, fuser, lists, int(plan.get("depth") or DEFAULT_DEPTH), tuple(config.get("topics") or ()),
            str(plan.get("method", "fuser")), fingerprint_input(folder),
        )  # fmt: skip
    return fusers


def _open_lists(given: Sequence[Path], report: Report) -> tuple[dict[str, ServedList], list[FoundInList]]:
    """Name -> list, of files and of the files in folders; and those files that cannot be read, with the reason."""
    from avs.trecvid.list_class import class_of_list
    from avs.trecvid.run_file import read_run

    files: list[Path] = []
    for path in given:
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        files += [file for file in inside if file.suffix in LIST_SUFFIXES and not file.name.startswith(".")]
    lists: dict[str, ServedList] = {}
    spoiled = []
    for number, file in enumerate(files):
        report(f"list {file.name}", number, len(files))
        name = list_name(file)
        try:
            if name in lists:
                raise ConfigError(f'two lists are called "{name}"', got=f"{lists[name].file} and {file}")
            run = read_run(file)
            lists[name] = ServedList(name, file, run, fingerprint_content(file), class_of_list(file, run))
        except AvsError as error:
            spoiled.append(FoundInList(list=name, line=1, what=str(error).partition("\n")[0]))
    return lists, spoiled


def _require_different_names(
    systems: Sequence[str], fusers: Mapping[str, ServedFuser], lists: dict[str, ServedList]
) -> None:
    """Name lists apart from systems, as "NAME (list)"; a fuser must have a name of its own.

    Raises:
        ConfigError: a fuser has the name of a system, or of a way to fuse.
    """
    for name in fusers:
        if name in (*systems, "average", "rrf"):
            raise ConfigError(
                f'a fuser and a system are called "{name}"', next_step="give the fuser's folder another name"
            )
    for name in [name for name in lists if name in systems or name in fusers]:
        lists[f"{name} (list)"] = lists.pop(name)


def _study(options: ServeOptions, report: Report) -> tuple[TopicSet | None, Qrels | None, Evaluator | None]:
    from avs.trecvid.qrels import read_qrels
    from avs.trecvid.topics import read_topics

    report("topics and judgments", 0, 1)
    topics = read_topics(options.topics, narratives=options.narratives) if options.topics else None
    if options.qrels is None:
        return topics, None, None
    from avs.metrics.evaluation import Evaluator

    qrels = read_qrels(options.qrels)
    return topics, qrels, Evaluator(qrels)


def _videos(options: ServeOptions, columns: ShotColumns, reporter: Reporter) -> dict[str, Path]:
    """Video id -> file, of the videos of the collection; files that a link leads out of the folder are left out."""
    if options.videos is None:
        return {}
    from avs.video.find import find_videos

    root = options.videos.resolve()
    found = {video: path for video, path in find_videos(options.videos, ids=options.video_ids).items()}
    inside = {video: path for video, path in found.items() if path.resolve().is_relative_to(root)}
    outside = [video for video in found if video not in inside and columns.has_video(video)]
    if outside:
        reporter.say(f"videos that a link leads out of {options.videos} are not served: {some(outside)}")
    served = {video: path for video, path in inside.items() if columns.has_video(video)}
    missing = len(columns.videos) - len(served) - len(outside)
    if missing:
        reporter.say(f"{missing} of {len(columns.videos)} videos are not in {options.videos}")
    return served


def _artefacts(collection: Collection) -> dict[str, str]:
    """What decides lists -> its fingerprint, or the setting itself."""
    from avs.train.checkpoint import Checkpoint

    options = collection.options  # the times of a table decide lists too, and its ids do not tell them
    found = {"shots": collection.columns.fingerprint if options.shots is None else fingerprint_content(options.shots)}
    found |= {"--rescore": str(options.rescore), "--device": options.device}
    for name, system in collection.searcher.systems.items():
        source = system.source
        if isinstance(source, Checkpoint):
            found[f"model {name}"] = source.fingerprint
        else:
            found[f"store {name}"] = content_fingerprint(source.manifest)
            found[f"frame score of {name}"] = system.frame_score
    found |= {f"--embed {name}": "whole collection" for name in collection.embedded}
    found |= {f"fuser {name}": fuser.fingerprint for name, fuser in collection.fusers.items()}
    found |= {f"list {served.file.name}": served.fingerprint for served in collection.lists.values()}
    if collection.texts is not None:
        found["text table"] = collection.texts.fingerprint
    if options.qrels is not None:
        found["judgments"] = fingerprint_content(options.qrels)
    return found


def rows_in_source(columns: ShotColumns, ids: Sequence[str]) -> np.ndarray | None:
    """(S,) int64 row of each shot of a source; None: they are the rows."""
    return None if ids == columns.ids else columns.known_rows(ids)
