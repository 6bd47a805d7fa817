"""``webhook``: delivered once the server is back, in order, signed, and to nobody but the server that is named."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import ssl
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from acting import NODE, act, counts, firings, idle, numbered, pass_time, rule, run, running, turns
from sockets import until
from webserver import Answer, Server, broken, dripping, endless, never, status

from switchcast._native import Event
from switchcast.errors import ConfigurationError
from switchcast.rules.actions.webhook import PAUSE_MOST, read_secret
from switchcast.rules.settings import RuleSettings

KEY = b"a secret of both sides"


def hook(server: Server, delivery: str = "at-most-once", **table: Any) -> RuleSettings:
    """A rule whose requests do not time out while a test moves the clock on, unless the test asks for it."""
    return rule(webhook={"url": server.url, "timeout": "1h"} | table, delivery=delivery)


def ids(server: Server) -> list[str]:
    return [headers["switchcast-event-id"] for _, headers, _ in server.requests]


def test_a_server_down_for_a_minute_gets_all_in_order(tmp_path: Path) -> None:
    events = [numbered(number, {"Key": f"{number % 10}"}) for number in range(200)]

    async def main() -> None:
        server = Server()
        await server.start()
        await server.stop()  # its port is known now, and nobody listens there
        acting = rule(webhook={"url": server.url}, key="{h[Key]}", concurrency=4, queue=500, delivery="at-least-once")
        async with running(tmp_path, acting) as runner:
            await runner.submit(firings(acting, events, "Key"))
            await until(lambda: counts(runner)["running"] == 4)
            for _ in range(2):  # no pause is longer than 30 s, so each that waits tries again
                before = counts(runner)["retries"]
                pass_time(30.0)
                await until(lambda: counts(runner)["retries"] >= before + 4)  # noqa: B023 - used at once
            assert counts(runner)["done"] == 0
            await server.start()
            pass_time(PAUSE_MOST)
            await until(lambda: counts(runner)["done"] == 200)
            counted = await idle(runner)
            assert (counted["failed"], counted["dead"]) == (0, 0)
        await server.stop()
        order: dict[str, list[int]] = defaultdict(list)
        for _, headers, body in server.requests:
            event = Event.from_json(body)
            assert headers["switchcast-event-id"] == f"{event['Core-UUID']}:{event['Event-Sequence']}:{event.name}/test"
            order[event["Key"]].append(int(event["Event-Sequence"]))
        assert {key: sorted(set(numbers)) for key, numbers in order.items()} == {
            str(key): list(range(key, 200, 10)) for key in range(10)
        }
        for numbers in order.values():
            assert list(dict.fromkeys(numbers)) == sorted(set(numbers))

    run(main())


def test_what_is_given_up_is_a_dead_letter_that_can_be_replayed(tmp_path: Path) -> None:
    async def main() -> None:
        server = Server()
        await server.start()
        await server.stop()
        acting = hook(server, retry_for="1m")
        async with running(tmp_path, acting) as runner:
            await runner.submit(firings(acting, [numbered(1), numbered(2)]))
            while counts(runner)["failed"] < 2:
                await turns()
                pass_time(10.0)
            (second, first) = await runner.dead_letters()
            assert re.search(r"^no connection: .*; given up after \d+ attempts in \d+ s$", first["why"])
            assert runner.log(1)[0]["outcome"] == "failed"
        async with running(tmp_path, acting) as runner:  # they outlive a restart
            await server.start()
            assert await runner.replay([first["id"]]) == 1
            assert (await idle(runner))["done"] == 1
            assert await runner.replay() == 1
            assert (await idle(runner))["done"] == 2
            assert await runner.dead_letters() == []
        await server.stop()
        assert ids(server) == [first["event_id"], second["event_id"]]

    run(main())


def test_the_request_is_signed_and_tells_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(KEY + b"\n")
    (tmp_path / "token").write_bytes(b"Bearer 0123\n")

    async def main() -> None:
        async with Server() as server:
            acting = hook(
                server,
                secret_file=str(tmp_path / "key"),
                method="PUT",
                headers={"X-Who": "{h[X]}"},
                header_files={"Authorization": str(tmp_path / "token")},
            )
            async with running(tmp_path, acting) as runner:
                event = numbered(7, {"X": "J\u00fcrgen \udcff"}, b"\xff body")
                (result,) = await act(runner, acting, event)
                assert (result["outcome"], result["detail"]) == ("done", "204")
            ((line, headers, body),) = server.requests
        assert line == "PUT /events HTTP/1.1"
        assert headers["content-type"] == "application/json"
        assert headers["switchcast-rule"] == "test"
        assert headers["switchcast-node"] == NODE
        assert headers["authorization"] == "Bearer 0123"
        assert headers["x-who"].encode("latin-1") == "J\u00fcrgen ".encode() + b"\xff"
        assert json.loads(body)["X"] == event["X"]
        found = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", headers["switchcast-signature"])
        assert found
        assert found[2] == hmac.new(KEY, found[1].encode() + b"." + body, hashlib.sha256).hexdigest()

    run(main())


@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 504])
def test_an_answer_that_may_change_is_asked_for_again(tmp_path: Path, code: int) -> None:
    async def main() -> None:
        async with Server(status(code), status(code)) as server:
            acting = hook(server)
            async with running(tmp_path, acting) as runner:
                await runner.submit(firings(acting, [numbered(1)]))
                for retries in (1, 2):
                    await until(lambda: len(server.requests) == retries)  # noqa: B023 - used at once
                    await until(lambda: not server._tasks)
                    await turns()
                    pass_time(PAUSE_MOST)
                assert (await idle(runner))["retries"] == 2
                assert runner.log(1)[0]["detail"] == "204, attempt 3"
            assert len(set(ids(server))) == 1

    run(main())


@pytest.mark.parametrize(
    ("code", "message"), [(301, "a redirect, is not followed"), (307, "a redirect"), (400, "answer 400"), (404, "404")]
)
def test_any_other_answer_is_final(tmp_path: Path, code: int, message: str) -> None:
    async def main() -> None:
        async with Server(status(code, "Location: http://127.0.0.1:1/elsewhere")) as server:
            acting = hook(server)
            async with running(tmp_path, acting) as runner:
                (result,) = await act(runner, acting, numbered(1))
                assert result["outcome"] == "failed"
                assert message in result["detail"]
                assert len(await runner.dead_letters()) == 1
            assert len(server.requests) == 1

    run(main())


@pytest.mark.parametrize("form", ["20", "date"])
def test_a_server_may_ask_for_patience(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1_800_000_000.0)
    asked = "Fri, 15 Jan 2027 08:00:20 GMT" if form == "date" else form

    async def main() -> None:
        async with Server(status(503, f"Retry-After: {asked}")) as server:
            acting = hook(server)
            async with running(tmp_path, acting) as runner:
                await runner.submit(firings(acting, [numbered(1)]))
                await until(lambda: server.requests and not server._tasks)
                await turns()
                pass_time(15.0)
                await turns()
                assert len(server.requests) == 1
                pass_time(10.0)
                assert (await idle(runner))["done"] == 1

    run(main())


@pytest.mark.parametrize("asked", ["3600", "Fri, 15 Jan 2100 08:00:20 GMT", "9" * 400])
def test_a_server_may_not_ask_for_more_than_the_rule_gives(tmp_path: Path, asked: str) -> None:
    async def main() -> None:
        async with Server(status(429, f"Retry-After: {asked}")) as server:
            acting = hook(server)
            async with running(tmp_path, acting) as runner:
                (result,) = await act(runner, acting, numbered(1))
                assert "answer 429; given up after 1 attempts" in result["detail"]

    run(main())


@pytest.mark.parametrize("asked", ["soon", "-1", "Fri, 99 Jan 2027 08:00:20 GMT"])
def test_a_wish_that_cannot_be_read_is_none(tmp_path: Path, asked: str) -> None:
    async def main() -> None:
        async with Server(status(503, f"Retry-After: {asked}")) as server:
            acting = hook(server)
            async with running(tmp_path, acting) as runner:
                await runner.submit(firings(acting, [numbered(1)]))
                await until(lambda: server.requests and not server._tasks)
                await turns()
                pass_time(PAUSE_MOST)
                assert (await idle(runner))["done"] == 1

    run(main())


@pytest.mark.parametrize(("delivery", "requests"), [("at-most-once", 1), ("at-least-once", 2)])
@pytest.mark.parametrize("answer", [broken, never, dripping])
def test_a_request_whose_fate_is_open_is_repeated_only_where_that_was_promised(
    tmp_path: Path, answer: Answer, delivery: str, requests: int
) -> None:
    async def main() -> None:
        async with Server(answer) as server:
            acting = hook(server, delivery, timeout="10s")
            async with running(tmp_path, acting) as runner:
                await runner.submit(firings(acting, [numbered(1)]))
                await until(lambda: server.requests)
                await turns()
                pass_time(10.5)
                counted = await idle(runner)
                assert (counted["done"], counted["failed"]) == (requests - 1, 2 - requests)
                if counted["failed"]:
                    assert "it may have been received or not: " in runner.log(1)[0]["detail"]
            assert len(server.requests) == requests

    run(main())


def test_an_answer_without_end_is_bounded(tmp_path: Path) -> None:
    async def main() -> None:
        async with Server(endless) as server:
            acting = hook(server)
            async with running(tmp_path, acting) as runner:
                (result,) = await act(runner, acting, numbered(1))
                assert result["outcome"] == "done"
                assert result["output"].startswith("\\x1b[2J")
                assert len(result["output"]) < 10_000

    run(main())


@pytest.mark.parametrize(
    ("url", "value", "line"),
    [
        ("/a/{h[X]}", "b c/../d?e=f#g&h", "/a/b%20c%2F..%2Fd%3Fe%3Df%23g%26h"),
        ("/a?x={h[X]}", "1&y=2\r\nHost: z", "/a?x=1%26y%3D2%0D%0AHost%3A%20z"),
        ("/a/{h[X]}", "\u00fc\udcff%", "/a/%C3%BC%FF%25"),
        ("/a/{h[X]}", "..", None),
        ("/a/{h[X]}{h[X]}/b", ".", None),
        ("/a/{h[X]}", "x" * 10_000, None),
    ],
)
def test_a_value_leads_to_no_other_place(tmp_path: Path, url: str, value: str, line: str | None) -> None:
    async def main() -> None:
        async with Server() as server:
            acting = hook(server, url=server.url.removesuffix("/events") + url)
            async with running(tmp_path, acting) as runner:
                (result,) = await act(runner, acting, numbered(1, {"X": value}))
            assert result["outcome"] == ("refused" if line is None else "done")
            assert [request[0] for request in server.requests] == ([] if line is None else [f"POST {line} HTTP/1.1"])

    run(main())


@pytest.mark.parametrize(
    ("value", "reason"),
    [("a\r\nX-Forged: b", "line_break"), ("a\0", "nul"), ("a\x01", "character"), ("x" * 10_000, "too_long")],
)
def test_a_value_begins_no_other_header(tmp_path: Path, value: str, reason: str) -> None:
    async def main() -> None:
        async with Server() as server:
            acting = hook(server, headers={"X-Value": "{h[X]}"})
            async with running(tmp_path, acting) as runner:
                await act(runner, acting, numbered(1, {"X": value}))
                assert counts(runner)[f"refused_{reason}"] == 1
            assert server.requests == []

    run(main())


def test_a_server_is_believed_only_with_a_certificate(tmp_path: Path) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-out", "cert", "-keyout", "key"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")

    async def outcome(state: Path) -> str:
        async with Server(tls=context) as server:
            acting = hook(server, retry_for="10ms")
            async with running(state, acting) as runner:
                (result,) = await act(runner, acting, numbered(1))
                return f"{result['outcome']} {result['detail']}"

    async def main() -> None:
        assert "CERTIFICATE_VERIFY_FAILED" in await outcome(tmp_path / "a")
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("SSL_CERT_FILE", str(tmp_path / "cert"))
            assert await outcome(tmp_path / "b") == "done 204"

    run(main())


def test_a_proxy_of_the_environment_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")

    async def main() -> None:
        async with Server() as server:
            acting = hook(server)
            async with running(tmp_path, acting) as runner:
                assert (await act(runner, acting, numbered(1)))[0]["outcome"] == "done"

    run(main())


def test_a_stop_ends_the_waiting_and_what_was_promised_is_kept(tmp_path: Path) -> None:
    async def main() -> None:
        async with Server(never) as server:
            acting = hook(server, "at-least-once")
            async with running(tmp_path, acting) as runner:
                await runner.submit(firings(acting, [numbered(1), numbered(2)]))
                await until(lambda: server.requests)
                assert await runner.stop() == 2
            async with running(tmp_path, acting) as runner:
                assert (await idle(runner))["done"] == 2
            assert len(ids(server)) == 3
            assert len(set(ids(server))) == 2

    run(main())


def test_a_secret_comes_from_a_file_or_from_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hook").write_bytes(KEY + b"\r\n")
    (tmp_path / "empty").write_bytes(b"\n")
    (tmp_path / "large").write_bytes(b"x" * 100_000)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert read_secret(str(tmp_path / "hook"), "here") == KEY
    for place, message in [
        (str(tmp_path / "none"), "No such file or directory; write the secret into this file"),
        (str(tmp_path / "empty"), "a secret is 1 to 65,536 bytes long"),
        (str(tmp_path / "large"), "a secret is 1 to 65,536 bytes long"),
        ("credential:hook", "systemd gave no credentials; set LoadCredential=hook:/path"),
    ]:
        with pytest.raises(ConfigurationError, match=f"^here: {re.escape(place)}: {re.escape(message)}"):
            read_secret(place, "here")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_secret("credential:hook", "here") == KEY


def test_a_rule_whose_secret_is_missing_is_told_at_the_start(tmp_path: Path) -> None:
    acting = rule(webhook={"url": "http://127.0.0.1:1/", "secret_file": str(tmp_path / "none")})

    async def main() -> None:
        with pytest.raises(ConfigurationError, match=r"^rule test: webhook\.secret_file: /.*/none: No such file"):
            async with running(tmp_path, rule("first", log="x"), acting):
                raise AssertionError

    run(main())


def test_without_the_extra_one_sentence_says_what_is_missing() -> None:
    program = """
import sys
sys.modules["httpx"] = None
from switchcast.errors import MissingExtra
from switchcast.rules.actions import make_action
from switchcast.rules.settings import RuleSettings
rule = RuleSettings.model_validate({"name": "a", "webhook": "http://192.0.2.1/"})
try:
    make_action(rule, endpoints={}, emit=None, node="n")
except MissingExtra as error:
    print(error)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.stdout == (
        "a rule with a webhook needs an optional dependency: pip install 'switchcast[webhook]'\n"
    ), ended.stderr
