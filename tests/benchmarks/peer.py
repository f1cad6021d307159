"""Another tool in a process of its own that stays, answers each line that it is given, and says `ready` first."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence


class Peer:
    """Begun by a command."""

    def __init__(self, command: Sequence[object]) -> None:
        words = [str(word) for word in command]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._answer() == "ready"

    def ask(self, line: str) -> str:
        """The answer to a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise SystemExit(f"the other tool ended with {self._process.wait()}")
        return line
