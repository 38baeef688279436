"""Show progress in a notebook: an output of the cell that is updated in place, with nothing to install for it."""

from __future__ import annotations

import contextlib
import html
import sys
import threading
import uuid
from collections.abc import Callable
from typing import Any

PERIOD = 0.5  # seconds between two drawings


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    python = sys.modules.get("IPython")
    shell = None if python is None else python.get_ipython()
    return getattr(shell, "kernel", None) is not None


class NotebookOutput:
    """Keep a text in the output of the cell that runs, drawn by a thread of its own.

    Args:
        text: gives it, as it is now.
    """

    def __init__(self, text: Callable[[], str]) -> None:
        self._text = text
        self._id = f"rose-{uuid.uuid4().hex}"
        self._shown: str | None = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._draw, name="rose-progress", daemon=True)
        self.is_started = False

    def start(self) -> None:
        """Show it, from now on."""
        if not self.is_started:
            self.is_started = True
            self._show()
            self._thread.start()

    def stop(self) -> None:
        """Show it a last time."""
        if self.is_started:
            self._end.set()
            self._thread.join()
            self._show()

    def _draw(self) -> None:
        while not self._end.wait(PERIOD):
            self._show()

    def _show(self) -> None:
        """Show the text, if it has changed. A notebook that cannot show it ends no run."""
        text = self._text()
        if text == self._shown:
            return
        options: dict[str, Any] = {"raw": True, "display_id": self._id}
        if self._shown is not None:
            options["update"] = True
        self._shown = text
        with contextlib.suppress(Exception):
            display = sys.modules["IPython"].display.display
            display({"text/plain": text, "text/html": f"<pre>{html.escape(text)}</pre>"}, **options)
