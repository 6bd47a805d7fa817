"""A page in a real browser: Debian's chromium without a window, spoken to by its DevTools protocol over two pipes.

``--remote-debugging-pipe`` needs no port, no driver and no library: JSON in both directions, each message ended by a
zero byte, on file descriptors 3 and 4 of the browser.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

PATIENCE: Final = 60.0
"""Seconds after which an answer is said to be missing."""
_HEIGHT: Final = 900

Scheme = Literal["light", "dark"]


class Browser:
    """One browser with one page. ``events`` is all that it has told of itself."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to = to_browser
        self._from = from_browser
        self._waiting = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []

    def attach(self) -> None:
        """Open the page, and have it tell what it logs and what it asks the network for."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask for something, and give the answer."""
        self._number += 1
        request: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            request["sessionId"] = self._session
        data = json.dumps(request).encode() + b"\0"
        while data:
            data = data[os.write(self._to, data) :]
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer}"
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def show(self, page: Path, width: int, scheme: Scheme = "light", medium: str = "screen") -> None:
        """Load ``page`` in a window ``width`` pixels wide, and wait until it is there."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=_HEIGHT, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", media=medium, features=features)
        self.events.clear()
        self.call("Page.navigate", url=page.as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def value(self, expression: str) -> Any:
        """What a JavaScript expression gives in the page, although the page itself may run none."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def screenshot(self, file: Path) -> None:
        """The whole page as an image."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(answer["data"]))

    def told(self, *methods: str) -> list[dict[str, Any]]:
        """The parameters of the events of these kinds since the page was loaded."""
        return [event["params"] for event in self.events if event.get("method") in methods]

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while b"\0" not in self._waiting:
            readable, _, _ = select.select([self._from], [], [], max(0.0, deadline - time.monotonic()))
            assert readable, "the browser does not answer"
            data = os.read(self._from, 1 << 16)
            assert data, "the browser has ended"
            self._waiting += data
        message, _, self._waiting = self._waiting.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer


@contextmanager
def browsing(folder: Path) -> Iterator[Browser]:
    """A browser with a profile of its own in ``folder``."""
    program = shutil.which("chromium")
    assert program is not None, "chromium is missing: apt-get install chromium"
    commands, to_browser = os.pipe()
    from_browser, answers = os.pipe()
    arguments = [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
    arguments += ["--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking"]
    arguments += [f"--user-data-dir={folder / 'profile'}"]
    # The shell puts the pipes where chromium looks for them, whatever their numbers are here.
    shell = ["bash", "-c", f'exec "$@" 3<&{commands} 4>&{answers}', "bash", *arguments]
    environment = {**os.environ, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}
    process = subprocess.Popen(shell, pass_fds=(commands, answers), stderr=subprocess.DEVNULL, env=environment)
    os.close(commands)
    os.close(answers)
    try:
        browser = Browser(to_browser, from_browser)
        browser.attach()
        yield browser
        browser._session = None
        browser.call("Browser.close")
    finally:
        os.close(to_browser)
        os.close(from_browser)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
