"""Signals are answered on a stack that is there, whatever OpenVINO compiles and in whatever order it goes."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable

import pytest
import torch

from autospine.inference.engines.compiled import Compiled
from autospine.inference.engines.signal_stack import SignalStack, current_stack, kept_signal_stack
from autospine.networks.unet import UNet
from autospine.planning.document.configuration import Configuration

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="another system's signals")
Make = Callable[..., Configuration]


def numbers(stack: SignalStack | None) -> tuple[object, ...]:
    assert stack is not None
    return stack.address, stack.flags, stack.size


@LINUX
def test_a_stack_that_was_exchanged_is_put_back() -> None:
    before, room = numbers(current_stack()), ctypes.create_string_buffer(1 << 16)
    with pytest.raises(ValueError, match="inside"), kept_signal_stack():
        other = SignalStack(ctypes.addressof(room), 0, len(room))
        assert ctypes.CDLL(None).sigaltstack(ctypes.byref(other), None) == 0
        assert numbers(current_stack())[0] == ctypes.addressof(room)
        raise ValueError("inside")
    assert numbers(current_stack()) == before


@LINUX
def test_networks_that_go_in_the_order_in_which_they_came_leave_it_as_it_was(make_configuration: Make) -> None:
    pytest.importorskip("openvino")
    before, configuration = numbers(current_stack()), make_configuration(spacing_mm=(1.0, 1.0))
    network = UNet(configuration.network, configuration.patch).eval()
    shape = (1, *configuration.patch)
    compiled = [Compiled(network, shape, "float32", threads=1) for _ in range(3)]
    assert numbers(current_stack()) == before
    for one in compiled:
        one(torch.zeros(1, *shape))
    while compiled:
        compiled.pop(0)
        assert numbers(current_stack()) == before
