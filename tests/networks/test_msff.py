from __future__ import annotations

import pytest
import torch
from torch import nn

from autospine.networks.msff import MSFF, Control

SHAPES = [
    (1, 1),
    (1, 2),
    (2, 2),
    (3, 3),
    (4, 4),
    (5, 4),
    (1, 1, 1),
    (2, 2, 2),
    (3, 3, 3),
    (4, 4, 4),
    (5, 4, 5),
    (1, 7, 5),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", [MSFF, Control])
def test_fresh_module_is_the_identity_and_can_learn(shape: tuple[int, ...], kind: type[MSFF | Control]) -> None:
    torch.manual_seed(0)
    module = kind(16, shape, (3,) * len(shape))
    x = torch.randn(2, 16, *shape)
    y = module(x)
    assert torch.equal(y, x)
    (y * torch.randn_like(y)).sum().backward()
    last = module.norm if isinstance(module.norm, nn.GroupNorm) else module.fuse
    gradient = last.get_parameter("weight").grad
    assert gradient is not None and gradient.abs().sum() > 0


@pytest.mark.parametrize("shape", SHAPES)
def test_every_parameter_gets_a_gradient_once_the_scale_has_moved(shape: tuple[int, ...]) -> None:
    """An instance norm after the fusion would leave the global branch without any."""
    torch.manual_seed(0)
    module = MSFF(16, shape, (3,) * len(shape))
    last = module.norm if isinstance(module.norm, nn.GroupNorm) else module.fuse
    nn.init.normal_(last.get_parameter("weight"))
    y = module(torch.randn(2, 16, *shape))
    assert y.shape == (2, 16, *shape) and bool(torch.isfinite(y).all())
    (y * torch.randn_like(y)).sum().backward()
    for name, parameter in module.named_parameters():
        if name.endswith("conv.bias") and not name.startswith("pooled") and isinstance(last, nn.GroupNorm):
            continue  # removed by the norm that follows it, as in every block of the network
        assert parameter.grad is not None and parameter.grad.abs().max() > 1e-5, name


def test_parameter_counts_by_hand() -> None:
    # 3D, C 320, C_b 80, bottleneck 5x7x7: three dilated branches.
    #   1x1: 320*80 + 80 = 25680, with norm 160 -> 25840;  pooled 25680
    #   dilated: 27*320*80 + 80 + 160 = 691440, three times 2074320
    #   fuse: 5*80*320 = 128000, norm 640
    assert _count(MSFF(320, (5, 7, 7), (3, 3, 3))) == 25840 + 25680 + 2074320 + 128640
    # 2D, C 512, C_b 128, bottleneck 7x7:
    #   1x1: 512*128 + 128 = 65664, with norm 65920;  pooled 65664
    #   dilated: 9*512*128 + 128 + 256 = 590208, three times 1770624;  fuse 5*128*512 + 1024 = 328704
    assert _count(MSFF(512, (7, 7), (3, 3))) == 65920 + 65664 + 1770624 + 328704
    # Both about 2.2 million.
    assert 2.1e6 < 25840 + 25680 + 2074320 + 128640 < 2.3e6
    assert 2.1e6 < 65920 + 65664 + 1770624 + 328704 < 2.3e6


def test_few_channels_keep_eight_in_a_branch() -> None:
    assert MSFF(16, (4, 4), (3, 3)).fuse.weight.shape == (16, 4 * 8, 1, 1)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
