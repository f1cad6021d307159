"""Which engine computes a network on a CPU: OpenVINO where it is installed, says the same and is faster, else torch.

Both compute a small image with the very weights. What OpenVINO says has to be what torch says in float32, or torch
computes; then the faster one does, by time on the processor, which other programs have no say in:

    seconds   torch  0.045  0.044      least 0.044
              f32    0.032  0.031      least 0.031    ->    OpenVINO, 1.4 times as fast

It is looked at once for each model and as long as the process lives, so that all cases are computed alike. To build and
compile a planned network takes 0.2 to 0.4 s (2 cores, OpenVINO 2026.4): a few small images are sooner done by torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from autospine.inference.engines.blank import BlankOnce, Network
from autospine.inference.engines.compiled import Compiled
from autospine.inference.engines.graph import UnknownLayerError
from autospine.inference.engines.library import has_openvino
from autospine.inference.engines.pairs import never_alone
from autospine.inference.too_large import tiles_together
from autospine.machine.precision import Choice, Precision, autocast, has_bfloat16_units, pinned_precision
from autospine.networks.precision import one_thread, smaller
from autospine.planning.document.configuration import Configuration
from autospine.planning.estimate.cost import multiply_adds

WORTH = 1.05
"""Times as fast as torch from which OpenVINO computes."""
TURNS, TURNS_S = 3, 0.2
"""Looks at each after the first, which prepares, and seconds after which no more are begun; the least counts."""
TILES, MANY = {2: 20, 3: 2}, 20
"""Tiles that a case is taken to have, by dimension, where the work ahead is estimated, and cases where nobody says how
many there are (ours)."""
LEAST_WORK = 5e10
"""Multiply-adds ahead from which a look is worth its while: it takes a second, torch two (one core, ours)."""
TOLERANCES: dict[Precision, tuple[float, float]] = {"float32": (1e-3, 0.999), "bfloat16": (0.05, 0.95)}
"""Root mean square of the difference of logits from torch's in float32, as a share of that of the logits; and share of
voxels in which the same class wins. The image is noise, in which classes are closer than in any anatomy (ours)."""
MOST_WORK = 2e9
"""Multiply-adds of the pass that is looked at: a few hundredths of a second on a core. In smaller images too much of
the time is spent between the layers to say how long a whole tile takes (ours)."""
_lock = Lock()
_chosen: WeakKeyDictionary[nn.Module, Choice] = WeakKeyDictionary()
"""By the first network of a model."""
_compiled: WeakKeyDictionary[nn.Module, dict[object, Compiled]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Computing:
    """The networks of a model, and how they are to compute."""

    networks: tuple[nn.Module, ...]
    """In evaluation mode on `device`, all of the same layers."""
    configuration: Configuration
    device: torch.device
    members: int = 1
    """Passes that each tile takes through a network: mirrorings times folds."""
    spare: bool = False
    """Whether a compiled network keeps no memory from tile to tile (`Compiled`)."""

    def choose(self, torch_choice: Callable[[], Choice], cases: int | None = None) -> Choice:
        """How the networks compute: by OpenVINO where that is faster, else as `torch_choice` says, which may measure.

        `cases` are ahead; None: many. What was chosen once stands, so that no two cases of a process are computed in
        different ways. On a GPU, and where a precision is pinned, it is torch.
        """
        if self.device.type != "cpu" or pinned_precision() is not None:
            return torch_choice()
        first = self.networks[0]
        with _lock:
            if first not in _chosen:
                _chosen[first] = self._looked_at(torch_choice, cases)
            return _chosen[first]

    def compiled(self, choice: Choice, tiles: int = 1) -> tuple[Network, ...]:
        """The networks as the choice has them, for one thread and one case of so many `tiles`."""
        if choice.engine == "torch":
            if tiles_together(self.configuration, self.device.type) == 1:
                return tuple(BlankOnce(network) for network in self.networks)
            return tuple(never_alone(network) for network in self.networks) if tiles > 1 else self.networks
        with _lock:
            return tuple(BlankOnce(network) for network in self._with_openvino(choice.precision))

    def _with_openvino(self, precision: Precision) -> list[Compiled]:
        """The networks compiled for the tiles that go together, each once; for who holds the lock."""
        patch, together = self.configuration.patch, tiles_together(self.configuration, self.device.type)
        threads = torch.get_num_threads()  # under the lock: while one measures, torch has a single one
        key, made = (precision, patch, threads, together, self.spare), []
        for network in self.networks:
            known = _compiled.setdefault(network, {})
            if key not in known:
                shape = (self.configuration.network.in_channels, *patch)
                known[key] = Compiled(network, shape, precision, threads=threads, streams=together, spare=self.spare)
            made.append(known[key])
        return made

    def _looked_at(self, torch_choice: Callable[[], Choice], cases: int | None) -> Choice:
        plan = self.configuration.network
        tile = multiply_adds(plan, self.configuration.patch, 1)
        ahead = tile * TILES[plan.dimension] * self.members * (cases or MANY)
        if not has_openvino():
            why = 'torch, without the extra "autospine[cpu]"'
        elif ahead < LEAST_WORK:
            why = "torch, as so few images are done before OpenVINO is ready"
        else:
            try:
                choice = self._measured()
                if isinstance(choice, Choice):
                    # now, when torch can still do it instead, and so that its memory is known before that of a case
                    self._with_openvino(choice.precision)
                    return choice
                why = choice
            except UnknownLayerError as unknown:
                why = f"torch, as OpenVINO has no counterpart of {unknown}"
            except Exception as fault:  # whatever another version or a strange installation fails with
                said = str(fault).strip().splitlines()[-1:] or [type(fault).__name__]
                why = f"torch, as OpenVINO fails here ({said[0][:200]})"
        return replace(torch_choice(), about_engine=why)

    def _measured(self) -> Choice | str:
        """OpenVINO, where it says what torch says in float32 and is faster; else why not."""
        small = smaller(replace(self.configuration, batch=1), MOST_WORK)
        shape = (small.network.in_channels, *small.patch)
        image = torch.randn((1, *shape), generator=torch.Generator().manual_seed(0))
        ways: tuple[Precision, ...] = ("float32", "bfloat16") if has_bfloat16_units() else ("float32",)
        with torch.inference_mode():
            exact = [network(image)[0].float() for network in self.networks]
            seconds: dict[Precision, float] = {}
            unlike: list[str] = []
            for way in ways:
                compiled = [Compiled(network, shape, way, threads=1) for network in self.networks]
                said = [network(image)[0] for network in compiled]
                fault = _unlike(exact, said, TOLERANCES[way])
                if fault:
                    unlike.append(f"in {way} {fault}")
                else:
                    seconds[way] = _least(compiled[0], image, time.process_time)
            if not seconds:
                return f"torch, as OpenVINO says something else: {'; '.join(unlike)}"
            torchs = {way: self._torch_seconds(way, image) for way in ways}
        return _decided(torchs, seconds)

    def _torch_seconds(self, precision: Precision, image: Tensor) -> float:
        with one_thread(), autocast(self.device, precision):
            self.networks[0](image)
            return _least(self.networks[0], image, time.thread_time)


def _decided(torchs: dict[Precision, float], seconds: dict[Precision, float]) -> Choice | str:
    """By the seconds of a pass in torch, and in OpenVINO, in each precision."""
    best, other = min(seconds, key=lambda way: seconds[way]), min(torchs, key=lambda way: torchs[way])
    speed = torchs[other] / seconds[best]
    if speed < WORTH:
        return f"torch, as OpenVINO is {speed:.2g} times as fast on a small image"
    told = f"OpenVINO, {speed:.2g} times as fast as torch in {other} on a small image"
    return Choice(best, engine="openvino", about_engine=told)


def _unlike(exact: Sequence[Tensor], said: Sequence[Tensor], tolerances: tuple[float, float]) -> str:
    """In which way logits (1, K, *patch) are not those of torch in float32; empty where they are."""
    most, least = tolerances
    for one, other in zip(exact, said, strict=True):
        difference = float((one - other).square().mean().sqrt() / one.square().mean().sqrt().clamp_min(1e-30))
        agree = float((one.argmax(1) == other.argmax(1)).float().mean())
        if not difference <= most or agree < least:  # also where it is NaN
            return f"logits differ by {difference:.2g} of their size, labels agree in {agree:.1%} of voxels"
    return ""


def _least(network: Network, image: Tensor, clock: Callable[[], float]) -> float:
    """Seconds of the fastest of some passes, of a network that has made one already."""
    looks = list[float]()
    while len(looks) < TURNS and sum(looks) < TURNS_S:
        start = clock()
        network(image)
        looks.append(clock() - start)
    return max(min(looks), 1e-9)
