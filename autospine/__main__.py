"""`python -m autospine`: the same door as the `autospine` command."""

from __future__ import annotations

from autospine.cli import main

if __name__ == "__main__":
    main()
