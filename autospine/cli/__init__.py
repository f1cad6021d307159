"""The command line: parse, call one function, show."""

from autospine.cli.app import main

__all__ = ["main"]
