"""Networks in ONNX, for software that does not know torch; each is compared with torch before it gets its name.

torch's exporter that goes by `torch.export` writes the graph (the older one, by TorchScript, is deprecated since torch
2.9). It notes in every node in which file of which folder the code stood: that is taken out again.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from autospine.data.disk.files import atomic_path
from autospine.errors import PlanError
from autospine.planning.document.configuration import Configuration

INPUT, OUTPUT = "image", "logits"
MOST_DIFFERENCE = 1e-3
"""Largest difference of a logit from torch's, as a share of the largest logit. Both add in float32, in another order:
differences are some 1e-6 of it. Beyond a thousandth it is another network (ours)."""
_LARGEST_PART = 1 << 31
"""Bytes of a graph: the format's own limit of one file."""
_NEEDED = ("onnx", "onnxruntime", "onnxscript")
_SEED = 0


def check_installed() -> None:
    """Nothing; raises `PlanError` where what writes and runs ONNX is not installed."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        remedy = 'pip install "autospine[onnx]"'
        raise PlanError("ONNX", f"not installed: {', '.join(missing)}", "the extra `onnx`", remedy)


def write_onnx(
    path: Path, network: nn.Module, configuration: Configuration, patches: npt.NDArray[np.float32] | None = None
) -> float:
    """Write a network as an ONNX file, and give the largest difference between its logits and torch's.

    The graph has an input `image` (batch, in_channels, *patch) and an output `logits` (batch, out_channels, *patch),
    both float32; the batch may be any number. The two are compared on random numbers, as one patch and as two, and on
    `patches` (N, in_channels, *patch), where such are given.

    Raises:
        PlanError: the extra is not installed, the network is too large for one file, or it computes something else.
        OutputError: the file cannot be written.
    """
    check_installed()
    bytes_of_weights = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    if bytes_of_weights >= _LARGEST_PART:
        found = f"the weights of {configuration.name} take {bytes_of_weights / 1e9:.3g} GB"
        raise PlanError(str(path), found, "less than 2.1 GB, what an ONNX file can hold", "use a smaller network")
    shape = (configuration.network.in_channels, *configuration.patch)
    finest = _Finest(network).eval()
    inputs = [torch.randn(count, *shape, generator=torch.Generator().manual_seed(_SEED)) for count in (1, 2)]
    if patches is not None:
        inputs += [torch.from_numpy(one[None]) for one in patches]
    with atomic_path(path) as temporary:
        temporary.write_bytes(_graph(finest, inputs[1]))
        difference, largest = _compare(temporary, finest, inputs)
        if not difference <= MOST_DIFFERENCE * largest:  # NaN is no small difference either
            found = f"its logits differ from torch's by up to {difference:.3g}, where the largest is {largest:.3g}"
            expected = f"at most {MOST_DIFFERENCE:g} of that"
            raise PlanError(str(path), found, expected, "use other versions of torch, onnxscript and onnxruntime")
    return difference


class _Finest(nn.Module):
    """A network with its finest output alone."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.network(image)[0]
        return logits


def _graph(network: nn.Module, example: Tensor) -> bytes:
    """The ONNX file of a network for any batch of patches like the `example`, which has two."""
    with _quiet():
        program: Any = torch.onnx.export(
            network,
            (example,),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes={"image": {0: torch.export.Dim("batch", min=1)}},
            dynamo=True,
            verbose=False,
        )
    model = program.model_proto
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.functions):
        part.doc_string = ""
        del part.metadata_props[:]
    for part in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]
    content: bytes = model.SerializeToString(deterministic=True)
    return content


@contextmanager
def _quiet() -> Iterator[None]:
    """A block in which the exporter keeps to itself what it thinks of its own parts."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _compare(path: Path, network: nn.Module, inputs: Sequence[Tensor]) -> tuple[float, float]:
    """Largest difference between what the file and the network say of the `inputs`, and the largest logit."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    difference, largest = 0.0, 0.0
    for image in inputs:
        with torch.inference_mode():
            expected = network(image).numpy()
        (found,) = session.run([OUTPUT], {INPUT: image.numpy()})
        if found.shape != expected.shape:
            return float("inf"), 0.0
        difference = float(np.maximum(difference, np.abs(found - expected).max()))  # NaN stays
        largest = float(np.maximum(largest, np.abs(expected).max()))
    return difference, largest
