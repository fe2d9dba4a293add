"""The worker as avs asks it: it dies, hangs, prints, raises, is another one."""

from __future__ import annotations

import json
import logging
import os
import signal
import stat
from pathlib import Path

import numpy as np
import pytest
from tiny_lavis import DIM, SIZE, VERSIONS, counted, make_environment

from avs.core.errors import AvsError, DataError, MissingDependencyError
from avs.features.lavis.client import LavisClient

HANGING_S = 2.0
OPENING = {"type": "load", "family": "blip", "folder": "."}
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 3, SIZE, SIZE), dtype=np.uint8)


def ask(client: LavisClient, images: np.ndarray = IMAGES) -> np.ndarray:
    header, (vectors,) = client.ask({"type": "images"}, [images])
    assert header["type"] == "vectors"
    return vectors


@pytest.fixture
def sound(tmp_path: Path) -> np.ndarray:
    """Vectors of IMAGES by a worker that nothing happens to."""
    with LavisClient(make_environment(tmp_path / "sound"), OPENING) as client:
        vectors = ask(client)
        assert vectors.shape == (3, DIM) and vectors.dtype == np.float32
        return vectors


def test_messages_and_answers(tmp_path: Path, sound: np.ndarray) -> None:
    environment = make_environment(tmp_path / "env")
    with LavisClient(environment, OPENING).open() as client:
        assert client.versions["salesforce-lavis"] == "1.0.2" and client.facts["dim"] == DIM
        assert json.loads((environment / "opening.json").read_text())["family"] == "blip"
        header, (texts,) = client.ask({"type": "texts", "texts": ["ü", "a b"]})
        assert texts.shape == (2, DIM) and header["cut"] == [0, 0]
        assert np.array_equal(ask(client, IMAGES[::-1]), sound[::-1])
        assert ask(client, IMAGES[:0]).shape == (0, DIM)
        large = np.zeros((70, 3, 224, 224), np.uint8)  # more than any pipe holds
        assert ask(client, large).shape == (70, DIM)
    assert counted(environment, "starts") == 1


@pytest.mark.parametrize("how", ["dies", "is killed", "dies within", "hangs"])
def test_a_lost_worker_is_replaced_once_and_the_answer_is_the_same(
    tmp_path: Path, sound: np.ndarray, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    environment = make_environment(tmp_path / "env", wrong={how: [2]})
    with LavisClient(environment, OPENING, answer_s=HANGING_S if how == "hangs" else None) as client:
        assert np.array_equal(ask(client), sound)
        assert np.array_equal(ask(client), sound)
    assert counted(environment, "starts") == 2 and counted(environment, "messages") == 5
    (warning,) = caplog.messages
    said = {"is killed": "was killed by signal 9", "hangs": f"gave no sign of life for {HANGING_S:g} s"}
    assert f"the LAVIS worker {said.get(how, 'ended with exit code 7')}" in warning
    assert f"{how} at message 2" in warning, "its last lines are not shown"


@pytest.mark.parametrize("how", ["dies", "hangs"])
def test_a_message_that_loses_two_workers_is_an_error_with_their_last_lines(tmp_path: Path, how: str) -> None:
    environment = make_environment(tmp_path / "env", wrong={how: [2, 4]})
    with LavisClient(environment, OPENING, answer_s=HANGING_S) as client:
        with pytest.raises(AvsError) as caught:
            ask(client)
        assert f"{how} at message 4" in str(caught.value) and "run the same command again" in str(caught.value)
        assert ask(client).shape == (3, DIM), "the next message starts another worker"
    assert counted(environment, "starts") == 3


def test_each_message_may_lose_a_worker(tmp_path: Path) -> None:
    environment = make_environment(tmp_path / "env", wrong={"dies": [2, 5]})
    with LavisClient(environment, OPENING) as client:
        ask(client)
        ask(client)
    assert counted(environment, "starts") == 3


@pytest.mark.parametrize("number", [0, 1])
def test_a_worker_that_cannot_start_or_load(tmp_path: Path, number: int) -> None:
    environment = make_environment(tmp_path / "env", wrong={"dies": [number, 2 * number]})
    with pytest.raises(AvsError, match="lost, and so was the one in its place"):
        LavisClient(environment, OPENING).open()
    assert counted(environment, "starts") == 2


def test_what_is_printed_among_messages_is_told_and_not_tried_again(tmp_path: Path) -> None:
    environment = make_environment(tmp_path / "env", wrong={"prints": [2]})
    with LavisClient(environment, OPENING) as client, pytest.raises(AvsError) as caught:
        ask(client)
    assert "sent what is no message" in str(caught.value) and "b'Load'" in str(caught.value)
    assert counted(environment, "starts") == 1


def test_an_error_within_lavis_is_told_and_not_tried_again(tmp_path: Path) -> None:
    environment = make_environment(tmp_path / "env", wrong={"raises": [2]})
    with LavisClient(environment, OPENING) as client, pytest.raises(DataError, match="RuntimeError: no room"):
        ask(client)
    assert counted(environment, "starts") == 1


def test_another_protocol_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AvsError) as caught:
        LavisClient(make_environment(tmp_path / "env", protocol=2)).open()
    assert "another protocol" in str(caught.value) and (caught.value.got, caught.value.wanted) == ("hello 2", "hello 1")


def test_other_packages_are_refused_all_at_once(tmp_path: Path) -> None:
    versions = {**VERSIONS, "transformers": "5.23.0", "salesforce-lavis": None, "numpy": "1.24.0"}
    environment = make_environment(tmp_path / "env", versions=versions)
    with pytest.raises(MissingDependencyError) as caught:
        LavisClient(environment, OPENING).open()
    error = caught.value
    assert (error.got, error.wanted) == (
        "no salesforce-lavis, transformers 5.23.0",
        "salesforce-lavis==1.0.2, transformers==4.26.1",
    )
    assert f"avs lavis setup --venv {environment}" in str(error.next_step)
    assert error.exit_code == 3 and counted(environment, "messages") == 0, "a model was loaded all the same"
    greetings = [None, [], "4.26.1"]
    for number, strange in enumerate(greetings):
        with pytest.raises(MissingDependencyError, match="no salesforce-lavis, no timm"):
            LavisClient(make_environment(tmp_path / str(number), versions=strange)).open()


def test_no_environment_and_one_without_a_python_that_runs(tmp_path: Path) -> None:
    with pytest.raises(MissingDependencyError, match="no LAVIS environment"):
        LavisClient(tmp_path / "none").open()
    environment = make_environment(tmp_path / "env")
    (environment / "bin/python").chmod(stat.S_IRUSR)
    with pytest.raises(MissingDependencyError, match="cannot be started"):
        LavisClient(environment).open()


def pid_of(client: LavisClient) -> int:
    assert client._line is not None
    return client._line._process.pid


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_worker_that_was_killed_while_nobody_asked(
    tmp_path: Path, sound: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    environment = make_environment(tmp_path / "env")
    with LavisClient(environment, OPENING).open() as client:
        os.kill(pid_of(client), signal.SIGKILL)
        assert np.array_equal(ask(client), sound)
    assert "was killed by signal 9" in caplog.text


def test_no_worker_outlives_its_client(tmp_path: Path) -> None:
    environment = make_environment(tmp_path / "env")
    client = LavisClient(environment, OPENING).open()
    first = pid_of(client)
    client.close()
    assert not lives(first)
    second = pid_of(client.open())
    del client
    assert not lives(second)


def test_an_answer_that_was_broken_off_is_not_taken_for_another(
    tmp_path: Path, sound: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    """Ctrl-C while a worker computes: its answer would come as that to the next message."""
    caplog.set_level(logging.WARNING)
    environment = make_environment(tmp_path / "env", wrong={"hangs": [2]})
    with LavisClient(environment, OPENING).open() as client:
        first = pid_of(client)
        before = signal.signal(signal.SIGALRM, signal.default_int_handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.5)
            with pytest.raises(KeyboardInterrupt):
                ask(client, IMAGES[::-1])
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert not lives(first)
        assert np.array_equal(ask(client), sound)
    assert caplog.messages == []


def test_a_worker_ends_when_the_one_that_started_it_is_gone(tmp_path: Path) -> None:
    """Its stdin is closed then; of a killed process nothing else runs."""
    environment = make_environment(tmp_path / "env")
    client = LavisClient(environment, OPENING).open()
    assert client._line is not None and client._line._process.stdin is not None
    client._line._process.stdin.close()
    client._line._process.wait(60)
    assert client._line._process.returncode == 0
