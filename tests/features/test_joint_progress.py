from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from avs.core.progress import Reporter
from avs.features.joint_progress import Distant, JointProgress


class Noted(Reporter):
    """Notes all that it is told."""

    def __init__(self) -> None:
        super().__init__(quiet=False)
        self.noted: list[Any] = []

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Noted]:
        self.noted.append(f"{name} {total} {unit}")
        yield self
        self.noted.append(f"end of {name}")

    def advance(self, n: int = 1, **more: Any) -> None:
        self.noted.append((n, {key: value for key, value in more.items() if value}))

    def say(self, line: str) -> None:
        self.noted.append(line)


def test_stages_of_several_processes_are_one() -> None:
    reporter = Noted()
    with JointProgress(reporter) as joint:
        a, b = (Distant(lambda told, name=name: joint.take(name, told)) for name in ("a", "b"))
        with a.stage("extract clip", 100, "shots") as of_a:
            of_a.advance(4)
            with b.stage("extract clip", 96, "shots") as of_b:
                of_b.advance(3, failed=1, note="9 frames/s")
                of_a.advance(1, note="7 frames/s")
            b.say("hello")
    assert reporter.noted == [
        "extract clip 100 shots",
        (4, {}),
        (3, {"failed": 1, "note": "b: 9 frames/s"}),
        (1, {"note": "a: 7 frames/s; b: 9 frames/s"}),
        "b: hello",
        "end of extract clip",
    ]


def test_what_processes_of_other_machines_do_is_counted_once() -> None:
    reporter = Noted()
    with JointProgress(reporter) as joint:
        a, b = (Distant(lambda told, name=name: joint.take(name, told)) for name in ("a", "b"))
        with a.stage("extract", 100, "shots") as of_a, b.stage("extract", 100, "shots") as of_b:
            of_a.advance(10)
            of_b.advance(5, elsewhere=10)  # what a did
            of_a.advance(0, elsewhere=5 + 20)  # what b did, and 20 by another machine
            of_b.advance(1, elsewhere=20)
    counts = [one for one in reporter.noted if isinstance(one, tuple)]
    assert counts == [(10, {}), (5, {}), (0, {"elsewhere": 20}), (1, {})]


def test_stages_follow_each_other_and_what_is_late_in_the_one_before_is_not_shown() -> None:
    reporter = Noted()
    with JointProgress(reporter) as joint:
        a, b = (Distant(lambda told, name=name: joint.take(name, told)) for name in ("a", "b"))
        with b.stage("one", 5, "shots") as late:
            with a.stage("one", 5, "shots") as first:
                first.advance(2)
            with a.stage("two", 7, "shots") as second:
                late.advance(3)
                second.advance(1)
        with b.stage("two", 7, "shots") as second_of_b:
            second_of_b.advance(2)
    assert reporter.noted == ["one 5 shots", (2, {}), "end of one", "two 7 shots", (1, {}), (2, {}), "end of two"]
