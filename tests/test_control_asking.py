"""Asking a node that is not there, is older, does not answer, or is none."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sockets import PATIENCE

from switchcast.app.control import ask
from switchcast.errors import EndpointUnavailable, UsageError


@contextmanager
def answering_by_hand(path: Path, answer: bytes | None) -> Iterator[None]:
    """Something listens at ``path`` that sends ``answer`` to whatever it is asked; ``None``: nothing, for long."""
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))
        listener.listen()
        done = threading.Event()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                if answer is None:
                    done.wait(PATIENCE)
                else:
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join(PATIENCE)


def test_an_older_node_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    answer = b'{"error":"unknown verb","code":69,"knows":["status"],"version":"0.0.1"}\n'
    with (
        answering_by_hand(path, answer),
        pytest.raises(EndpointUnavailable, match=r"switchcast 0\.0\.1 and does not know 'rules-log'; restart it"),
    ):
        ask(path, {"ask": "rules-log"})


@pytest.mark.parametrize("answer", [b"220 smtp.example.com\r\n", b"[]\n", b"{}\n", b'{"error":1}\n', b"1\n", b'{"re'])
def test_something_else_that_listens_there_is_no_node(tmp_path: Path, answer: bytes) -> None:
    path = tmp_path / "control.sock"
    with answering_by_hand(path, answer), pytest.raises(EndpointUnavailable, match="no switchcast node"):
        ask(path, {"ask": "status"})


def test_a_node_that_ends_without_an_answer(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with answering_by_hand(path, b""), pytest.raises(EndpointUnavailable, match="without an answer"):
        ask(path, {"ask": "status"})


def test_a_node_that_does_not_answer(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with answering_by_hand(path, None), pytest.raises(EndpointUnavailable, match=r"has not answered for 0\.1 s"):
        ask(path, {"ask": "status"}, timeout=0.1)


@pytest.mark.parametrize("name", ["control.sock", "missing/control.sock", "file", "file/control.sock"])
def test_no_node_runs(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EndpointUnavailable, match=r"no node runs here: nothing listens at .* 'switchcast run'"):
        ask(tmp_path / name, {"ask": "status"})


def test_a_path_too_long_for_a_socket(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at most 107 bytes"):
        ask(tmp_path / ("x" * 120), {"ask": "status"})
