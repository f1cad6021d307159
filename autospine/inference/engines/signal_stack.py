"""The stack on which signals are answered, which OpenVINO exchanges when it compiles a network.

The plugin for processors sets a stack of its own for the thread that compiles, and sets the one before again when the
compiled network goes. Where networks go in another order than they came, that is one which is gone as well, and the
next Ctrl-C ends the process with a segmentation fault instead of a message (seen with OpenVINO 2026.4).
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class SignalStack(ctypes.Structure):
    """`stack_t` of sigaltstack(2)."""

    _fields_ = [("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]


def current_stack() -> SignalStack | None:
    """That of this thread; None where the system is not Linux."""
    if sys.platform != "linux":
        return None
    stack = SignalStack()
    return stack if ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack)) == 0 else None


@contextmanager
def kept_signal_stack() -> Iterator[None]:
    """A block after which the thread answers signals on the stack that it had before."""
    before = current_stack()
    try:
        yield
    finally:
        if before is not None:
            ctypes.CDLL(None).sigaltstack(ctypes.byref(before), None)
