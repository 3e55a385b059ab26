"""A browser without a window, driven over WebDriver's plain HTTP (W3C WebDriver, section 6)."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

THERE = bool(shutil.which("chromium") and shutil.which("chromedriver"))
SWITCHES = (
    "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking "
    "disable-component-update disable-sync window-size=1200,1600"
)
PATIENCE_S = 60


class Browser:
    """One page at a time."""

    def __init__(self, port: int, profile: Path) -> None:
        self._root = f"http://127.0.0.1:{port}"
        self._wait_for_driver()
        switches = [f"--{one}" for one in SWITCHES.split()] + [f"--user-data-dir={profile}"]
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": switches},
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        self._root += "/session/" + self._call("/session", capabilities={"alwaysMatch": wanted})["sessionId"]

    def open(self, url: str) -> None:
        """Go there."""
        self._call("/url", url=url)

    def run(self, script: str) -> Any:
        """The value of a script's `return`."""
        return self._call("/execute/sync", script=script, args=[])

    def wait(self, script: str) -> None:
        """Until the script's value is true. Raises TimeoutError."""
        end = time.monotonic() + PATIENCE_S
        while not self.run(script):
            if time.monotonic() > end:
                raise TimeoutError(script)
            time.sleep(0.1)

    def complaints(self) -> list[str]:
        """What the browser wrote on its console."""
        return [one["message"] for one in self._call("/se/log", type="browser")]

    def _wait_for_driver(self) -> None:
        end = time.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{self._root}/status", timeout=5).close()  # noqa: S310
                return
            if time.monotonic() > end:
                raise TimeoutError("chromedriver")
            time.sleep(0.1)

    def _call(self, path: str, **body: Any) -> Any:
        request = urllib.request.Request(  # noqa: S310 - our own driver
            self._root + path, json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:  # noqa: S310
            return json.load(answer)["value"]


@contextlib.contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser that ends with the block; `folder` is for its own files."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command, null = ["chromedriver", f"--port={port}"], subprocess.DEVNULL
    with subprocess.Popen(command, stdout=null, stderr=null) as driver:
        try:
            yield Browser(port, folder / "profile")
        finally:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/shutdown", timeout=5).close()
            driver.terminate()
