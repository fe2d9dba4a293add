"""The queue of submissions: a file that no kill, flip or second server makes send anything twice, or lose."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from pathlib import Path
from typing import Any

import pytest
from disk import room_for
from hypothesis import given
from hypothesis import strategies as st
from processes import started

from avs.core.errors import ConfigError
from avs.serve.dres.submissions import QueueEntry, SubmissionQueue, position_ms, segment_ms


def entry(number: int = 1, **more: Any) -> QueueEntry:
    given: dict[str, Any] = {
        "server": "dres", "evaluation": "e1", "task": "t1", "task_id": "t1", "topic": "661",
        "shot": f"shot0000{number}_1", "video": f"0000{number}", "item": f"0000{number}.mp4", "collection": None,
        "start_ms": 1000 * number, "end_ms": 1000 * number + 500, "text": None,
    }  # fmt: skip
    return QueueEntry(**{**given, **more})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions" / "submissions.queue"


@pytest.fixture
def queue(path: Path) -> Iterator[SubmissionQueue]:
    made = SubmissionQueue(path)
    yield made
    made.close()


def states(path: Path) -> dict[str, str]:
    """Shot -> state, as a server that starts now finds them."""
    again = SubmissionQueue(path)
    found = {str(one.shot): one.state for one in again.entries()}
    again.close()
    return found


def test_it_is_in_order_and_there_after_a_restart(queue: SubmissionQueue, path: Path) -> None:
    made = queue.put([entry(2), entry(1), entry(3)])
    assert [new for _, new in made] == [True] * 3
    queue.change(made[0][0].id, "in-flight")
    queue.change(made[0][0].id, "accepted", "well done")
    before = queue.entries()
    queue.close()
    again = SubmissionQueue(path)
    assert again.entries() == before and again.damaged == 0
    assert [one.item for one in before] == ["00002.mp4", "00001.mp4", "00003.mp4"]
    assert (before[0].state, before[0].message) == ("accepted", "well done")
    again.close()


def test_the_same_submission_is_there_once(queue: SubmissionQueue) -> None:
    first = queue.put([entry()])[0][0]
    for state in ("queued", "in-flight", "sent", "accepted", "rejected", "unknown", "failed"):
        queue.change(first.id, state)
        (found, new), *_ = queue.put([entry(topic="999", shot="shot00001_9")])
        assert (found.id, found.state, new) == (first.id, state, False)
    others = (
        {"task": "t2"}, {"evaluation": "e2"}, {"item": "other"}, {"start_ms": 0}, {"end_ms": 9999}, {"server": "b"},
    )  # fmt: skip
    assert all(queue.put([entry(**more)])[0][1] for more in others)
    twice = queue.put([entry(7), entry(7)])
    assert [new for _, new in twice] == [True, False] and twice[0][0] == twice[1][0]


def test_another_shot_of_a_video_is_known(queue: SubmissionQueue) -> None:
    def put(**more: Any) -> bool:
        return queue.put([entry(**more)])[0][0].sent_before

    assert not put(start_ms=1)
    assert put(start_ms=2) and put(start_ms=3)
    assert not put(start_ms=2, task="t2") and not put(start_ms=2, evaluation="e2")
    first = queue.put([entry(4)])[0][0]
    queue.change(first.id, "rejected")
    assert not put(number=4, start_ms=5), "what the server did not take is not sent"
    assert [one.sent_before for one, _ in queue.put([entry(5, start_ms=1), entry(5, start_ms=2)])] == [False, True]


def test_what_was_in_flight_is_asked_about(queue: SubmissionQueue, path: Path) -> None:
    made = [one for one, _ in queue.put([entry(1), entry(2)])]
    queue.change(made[0].id, "in-flight")
    queue.close()
    assert states(path) == {"shot00001_1": "unknown", "shot00002_1": "queued"}
    assert states(path) == {"shot00001_1": "unknown", "shot00002_1": "queued"}


def test_two_servers_do_not_share_a_queue(queue: SubmissionQueue, path: Path) -> None:
    with pytest.raises(ConfigError, match="another server submits from this queue"):
        SubmissionQueue(path)
    queue.close()
    SubmissionQueue(path).close()


def test_no_flipped_bit_makes_anything_be_sent_again(queue: SubmissionQueue, path: Path) -> None:
    """Whatever bit is flipped: what was sent is never found as if it had not been."""
    made = [one for one, _ in queue.put([entry(1), entry(2), entry(3)])]
    queue.change(made[0].id, "in-flight")
    queue.change(made[0].id, "accepted", "yes")
    queue.change(made[1].id, "in-flight")
    queue.close()
    whole = path.read_bytes()
    assert whole.count(b"\n") == 6
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        opened = SubmissionQueue(path)
        opened.close()
        found = {one.shot: one.state for one in opened.entries()}
        assert found.get("shot00001_1") != "queued" and found.get("shot00002_1") != "queued", place
        assert found and opened.damaged, place


def test_a_line_that_was_cut_short_is_doubted(queue: SubmissionQueue, path: Path) -> None:
    made = queue.put([entry(1)])[0][0]
    kept = len(path.read_bytes())
    queue.change(made.id, "in-flight")
    queue.close()
    whole = path.read_bytes()
    for size in range(kept + 1, len(whole)):
        path.write_bytes(whole[:size])
        assert states(path) == {"shot00001_1": "unknown"}, size
        later = SubmissionQueue(path)
        later.put([entry(2)])
        later.close()
        assert states(path) == {"shot00001_1": "unknown", "shot00002_1": "queued"}, "a later one is not in doubt"


def test_a_line_of_somebody_else_is_not_believed(queue: SubmissionQueue, path: Path) -> None:
    queue.put([entry(1)])
    queue.close()
    with open(path, "ab") as file:
        file.write(b'{"kind": "entry"}\n[[[[\n\xff\xfe\n' + b"[" * 100_000 + b"\n")
    again = SubmissionQueue(path)
    assert again.damaged == 4 and [one.state for one in again.entries()] == ["unknown"]
    again.close()


def test_a_full_disk_sends_nothing_and_forgets_nothing(queue: SubmissionQueue, path: Path) -> None:
    first = queue.put([entry(1)])[0][0]
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    size = len(path.read_bytes())
    with room_for(size + 20):
        with pytest.raises(OSError):
            queue.put([entry(2)])
        with pytest.raises(OSError):
            queue.change(first.id, "in-flight")
    assert [one.state for one in queue.entries()] == ["queued"] and len(path.read_bytes()) == size
    queue.change(first.id, "in-flight")
    with room_for(len(path.read_bytes()) + 20):
        assert queue.change(first.id, "accepted").state == "accepted"
        assert "large" in queue.problem
    queue.close()
    assert states(path) == {"shot00001_1": "unknown"}


def test_a_kill_between_two_states_loses_nothing(path: Path) -> None:
    """Killed while it takes one after the other in flight: each is there, and none is queued that was in flight."""
    code = """if True:
        import sys
        from pathlib import Path
        from avs.serve.dres.submissions import QueueEntry, SubmissionQueue

        queue = SubmissionQueue(Path(sys.argv[1]))
        for number in range(10**6):
            name = f"{sys.argv[2]}-{number}"
            made = QueueEntry("d", "e", "t", "t", None, name, name, name, None, 1, 2, None)
            queue.put([made])
            print("put", name, flush=True)
            queue.change(made.id, "in-flight")
            print("sent", name, flush=True)
    """
    told: list[str] = []
    for kills in range(3):
        with started(["-c", code, path, kills]) as process:
            assert process.stdout is not None
            told += [process.stdout.readline().strip() for _ in range(11 * (kills + 1))]
            process.kill()
            told += process.stdout.read().splitlines()
    found = states(path)
    pairs = [line.split() for line in told if line.count(" ") == 1]
    assert len(pairs) > 60
    for said, name in pairs[:-1]:
        assert found[name] == "unknown" if said == "sent" else found[name] in ("queued", "unknown")


@pytest.mark.parametrize(
    ("start_s", "end_s", "duration_s", "expected"),
    [
        (1.001, 2.001, None, (1001, 2001)),
        (0.1 + 0.2, 1.1 + 2.2, None, (300, 3300)),
        (1 / 3, 2 / 3, None, (333, 667)),
        (41.7083333, 43.2514, 43.25, (41708, 43250)),
        (9.0, 12.0, 10.0005, (9000, 10000)),
        (11.0, 12.0, 10.0, (10000, 10000)),
        (-0.5, 0.25, None, (0, 250)),
        (1e6, 1e6 + 0.0001, None, (1_000_000_000, 1_000_000_001)),
    ],
)
def test_milliseconds_hold_the_shot(start_s: float, end_s: float, duration_s: float, expected: tuple[int, int]) -> None:
    assert segment_ms(start_s, end_s, duration_s) == expected


def test_a_position_has_no_length() -> None:
    assert position_ms(12.3456, None) == (12345, 12345)
    assert position_ms(12.3456, 10.0) == (10000, 10000)
    assert position_ms(0.0, 10.0) == (0, 0)


@given(st.integers(0, 10**10), st.integers(0, 10**7), st.one_of(st.none(), st.integers(1, 10**10)))
def test_milliseconds_of_microseconds_are_exact(start_us: int, length_us: int, duration_us: int | None) -> None:
    """Of times as a shot table writes them: floor and ceiling of the decimal number, clipped."""
    start, end = Decimal(start_us) / 10**6, Decimal(start_us + length_us) / 10**6
    last = None if duration_us is None else int((Decimal(duration_us) / 1000).to_integral_value(ROUND_FLOOR))
    high = int((end * 1000).to_integral_value(ROUND_CEILING))
    high = high if last is None else min(high, last)
    low = min(int((start * 1000).to_integral_value(ROUND_FLOOR)), high)
    duration_s = None if duration_us is None else float(Decimal(duration_us) / 10**6)
    assert segment_ms(float(start), float(end), duration_s) == (low, high)
