"""The editions of the AVS task, read from editions.yaml: topics, collection, attributes of runs, limits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from avs.core.errors import ConfigError, did_you_mean

OWN = ("mini", "custom")  # not NIST's: their run ids have the name instead of the year
PID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
RUN_ID = re.compile(rf"(?:[A-Z]_){{2}}(?:[A-Z]_[A-Z]_)?(?P<team>{PID.pattern})\.(?:\d\d|{'|'.join(OWN)})_\d+")
TASK_NAMES = {"M": "main", "P": "progress"}


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of a run.

    Attributes:
        values: the possible ones; None: any text.
        required: whether a run without it is refused.
        seen: the values of NIST's sample runs, where the possible ones are unknown.
    """

    name: str
    values: tuple[str, ...] | None
    required: bool
    seen: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EditionCollection:
    """The form of a collection's shot ids: digits of a video id (0: not padded, None: any id), first and last video."""

    name: str
    digits: int | None
    first_video: int | None
    last_video: int | None

    def problem(self, shot: str) -> str | None:
        """Why `shot` is not a shot id of this collection, or None if it is one."""
        match = re.fullmatch(r"shot([^_\s]\S{0,99})_([0-9]{0,9})", shot)
        if match is None or not match[2]:
            return f"a shot id has the form {self.form}"
        video, number = match.groups()
        if number.startswith("0"):
            return "shots count from 1" if not number.strip("0") else "a shot number has no leading zero"
        if self.digits is None:
            return None
        if not (video.isascii() and video.isdigit()):
            return f"a video id of {self.name} is a number"
        if self.digits and len(video) != self.digits:
            return f"a video id has {self.digits} digits, as in {self.form}: with {len(video)} it matches no judgment"
        if not self.digits and video.startswith("0"):
            return f"a video id of {self.name} has no leading zero, as in {self.form}"
        return self._outside(int(video))

    def _outside(self, video: int) -> str | None:
        if self.first_video is None or self.last_video is None or self.first_video <= video <= self.last_video:
            return None
        return f"{self.name} has videos {self._video(self.first_video)}..{self._video(self.last_video)}"

    def _video(self, number: int) -> str:
        return str(number).zfill(self.digits or 0)

    @property
    def form(self) -> str:
        """What an id looks like, such as `shot07476_1`."""
        return f"shot{self._video(self.first_video or 123)}_1"


@dataclass(frozen=True, slots=True)
class Edition:
    """One year of the task.

    Attributes:
        id: "tv16" .. "tv25", "mini" (the project's own collection), "custom" (any topics, any shots), or a user's own.
        year: the year whose DTD a run file names.
        collection: the collection that is searched.
        topics: task ("M" main, "P" progress) -> (first id, last id); empty for "custom".
        attributes: of a run, in the order of the run file.
        item_attributes: optional attributes of a result item.
        run_id_form: format string of NIST's run id.
        scored_with: usual names of the qrels files.
        max_results: number of shots per topic that NIST takes.
        file: the user's YAML that describes it; None for the editions that avs knows.
    """

    id: str
    year: int
    collection: EditionCollection
    topics: Mapping[str, tuple[int, int]]
    attributes: tuple[Attribute, ...]
    item_attributes: tuple[str, ...]
    run_id_form: str
    scored_with: tuple[str, ...]
    max_results: int
    file: Path | None = None

    @property
    def dtd_url(self) -> str:
        """The SYSTEM identifier of the DOCTYPE; never fetched."""
        return f"https://www-nlpir.nist.gov/projects/tv{self.year}/dtds/videoAdhocSearchResults.dtd"

    def attribute(self, name: str) -> Attribute | None:
        """The attribute of runs called `name`, or None if this edition does not have it."""
        return next((a for a in self.attributes if a.name == name), None)

    def task_of(self, topic: str) -> str | None:
        """The task of a topic id, or None; every topic of `custom` is of the main task."""
        if not self.topics:
            return "M"
        if re.fullmatch(r"[0-9]{1,9}", topic) is None:
            return None
        inside = (task for task, (first, last) in self.topics.items() if first <= int(topic) <= last)
        return next(inside, None)

    def topic_ids(self, task: str) -> tuple[str, ...] | None:
        """All topic ids of a task; None for `custom`, which accepts any topics.

        Raises:
            ConfigError: the edition has no such task.
        """
        if not self.topics:
            return None
        if task not in self.topics:
            raise ConfigError(f'{self.id} has no task "{task}"', wanted=", ".join(self.topics))
        first, last = self.topics[task]
        return tuple(str(number) for number in range(first, last + 1))

    def describe_topics(self) -> str:
        """Such as `751..770 (main), 681..700 (progress)`."""
        spans = (f"{first}..{last} ({TASK_NAMES[task]})" for task, (first, last) in self.topics.items())
        return ", ".join(spans) or "any topics"

    def run_id(self, attributes: Mapping[str, str]) -> str:
        """NIST's id of a run, such as `F_M_C_D_TEAM.24_1`; its file has the same name."""
        suffix = self.id if self.id in OWN else f"{self.year % 100:02d}"
        return self.run_id_form.format(**attributes, yy=suffix)


def team_of(run_id: str) -> str | None:
    """The team of NIST's run id, which the name of a run file begins with; None if it is not one.

    >>> team_of("F_M_C_D_TEAM.24_1.xml")
    'TEAM'
    """
    match = RUN_ID.match(run_id)
    return match["team"] if match else None


def get_edition(name: str, file: Path | None = None) -> Edition:
    """The edition called `name`, such as "tv23", "mini" or "custom".

    Args:
        file: a YAML that describes an edition of another name (`avs.trecvid.edition_file`).

    Raises:
        ConfigError: there is none, or the file is not one of `name`; the error names all known editions.
    """
    if file is not None:
        from avs.trecvid.edition_file import read_edition

        described = read_edition(file)
        if described.id != name.lower():
            raise ConfigError(f'the file describes "{described.id}"', where=file, wanted=f"id: {name}")
        return described
    editions = _editions()
    if name.lower() not in editions:
        hint = _same_year(name.lower(), editions)
        describe = (
            f"describe {name} in a YAML (topics/README.md), and give it wherever --edition or --fit-on is: "
            f"--edition-file my.yaml"
        )
        raise ConfigError(
            f'unknown edition "{name}"{hint}', wanted=", ".join(editions), next_step=None if hint else describe
        )
    return editions[name.lower()]


def _same_year(name: str, known: Iterable[str]) -> str:
    """A hint that never leads to another year: tv2024 may be tv24, but tv26 is not tv25."""
    year = re.search(r"[0-9]+$", name)
    near = {f"tv{year[0][-2:]}"} if year else OWN
    return did_you_mean(name, [edition for edition in near if edition in known])


def edition_names() -> tuple[str, ...]:
    """Every edition's id, oldest first, then the project's own."""
    return tuple(_editions())


def editions_with_topics(topics: Iterable[str], described: Iterable[Edition] = ()) -> list[str]:
    """Ids of the editions that have all of `topics`, also of those that are `described` in files."""
    wanted, editions = list(topics), [*_editions().values(), *described]
    return [e.id for e in editions if e.topics and all(e.task_of(topic) for topic in wanted)]


@cache
def _editions() -> dict[str, Edition]:
    import yaml

    data = yaml.safe_load(Path(__file__).with_name("editions.yaml").read_text(encoding="utf-8"))
    collections = {
        name: EditionCollection(name, form.get("digits"), form.get("first_video"), form.get("last_video"))
        for name, form in data["collections"].items()
    }
    return {name: _edition(name, facts, data, collections) for name, facts in data["editions"].items()}


def _edition(name: str, facts: Any, data: Any, collections: Mapping[str, EditionCollection]) -> Edition:
    dtd = data["dtds"][facts["dtd"]]
    return Edition(
        id=name,
        year=facts["year"],
        collection=collections[facts["collection"]],
        topics={task: (first, last) for task, (first, last) in facts["topics"].items()},
        attributes=tuple(_attribute(attribute, form) for attribute, form in dtd["run"].items()),
        item_attributes=tuple(dtd["item"]),
        run_id_form=dtd["run_id"],
        scored_with=tuple(facts["scored_with"]),
        max_results=data["max_results"],
    )


def _attribute(name: str, form: Any) -> Attribute:
    values: tuple[str, ...] | None = None
    if "values" in form:
        values = tuple(str(value) for value in form["values"])
    elif "up_to" in form:
        values = tuple(str(number) for number in range(1, form["up_to"] + 1))
    return Attribute(name, values, not form.get("optional", False), tuple(form.get("seen", ())))
