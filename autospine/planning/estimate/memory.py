"""Peak memory of a training step, from the plan's numbers alone.

The step is walked through on paper, tensor by tensor: forward, loss, backward, optimiser. A layer's forward pass adds
what autograd keeps for it and notes what it will do on the way back; the notes are then worked off from the last to
the first, as autograd does. The largest sum of what is alive at once is the peak. A convolution of 2000 bytes to 800:

    forward     800 more stay (plus copies in oneDNN's layout for a moment)
    way back    2000 more for the gradient of what entered, then the gradient of what left is freed, 800 less

`docs/benchmarks/memory.md` holds the estimate against what torch's allocator counts in real steps.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import ceil, prod

from autospine.machine.arithmetic import Machine
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.msff import branch_channels, branch_kernel, branch_rates, control_channels
from autospine.planning.estimate.cost import stage_sizes

_FLOAT = 4
"""Bytes of weights, their gradients and optimiser states, the image, and all of the loss."""
_LABEL = 8
"""Bytes of a target voxel (int64)."""
_STATES = {"sgd": 1, "adamw": 2}
"""Copies of the weights in the optimiser: the momentum; the first and the second moment."""
_WEIGHT_COPIES = 4
"""Weight gradients that each thread of oneDNN's matrix-product convolution holds (seen with torch 2.13 on AVX2)."""
_BLOCK = 16
"""Channels in a block of oneDNN's bfloat16 layout with AVX-512 (seen with torch 2.13)."""

Map = tuple[int, int]
"""Stage and channels of what a layer takes or gives."""
Kernel = tuple[int, ...]


def training_memory_gb(configuration: Configuration, machine: Machine = Machine("float32")) -> float:
    """Estimated peak of what a training step allocates, in 10^9 bytes.

    - `float32`, on a CPU: oneDNN copies what enters and leaves a convolution into its own layout, and each thread takes
      room of its own for the weight gradient of a 3D convolution. Measured.
    - `bfloat16`, under autocast on a CPU with AVX-512: activations of 2 bytes, the weights in both precisions, the loss
      in float32, copies in blocks of channels, and for weight gradients the transposed maps of a patch. Measured.
    - `half`, under autocast on a GPU: activations of 2 bytes and no such copies, the weights and the loss in float32.
      Not measured; cuDNN's workspaces, the allocator's rounding and the CUDA context come on top.

    Optimiser states exist, as in a running training. Python, the libraries and the data workers are not counted.
    """
    return _Step(configuration, machine).peak / 1e9


class _Step:
    """A training step on paper: the bytes alive now, their peak, and what is left to do on the way back.

    `shared` means that the gradient of what leaves a layer is needed elsewhere afterwards and is not freed with it.
    """

    def __init__(self, configuration: Configuration, machine: Machine) -> None:
        """Walk through the whole step."""
        self.plan = configuration.network
        self.threads = machine.threads
        self.half = machine.precision != "float32"
        self.cpu = machine.precision != "half"
        self.item = 2 if self.half else _FLOAT
        self.shapes = stage_sizes(configuration.patch, self.plan.strides)
        self.voxels = [configuration.batch * prod(shape) for shape in self.shapes]
        self.bottom: Map = (len(self.shapes) - 1, self.plan.features[-1])
        self.live = self.peak = self.parameters = self.largest = 0
        self.back: list[Callable[[], None]] = []

        scales = range(max(1, len(self.voxels) - 1))
        # By components: their sizes, and at every scale the weights and those of the voxels that count.
        self.weighted = _FLOAT if configuration.loss.largest_size is not None else 0
        self.keep(self.voxels[0] * (self.plan.in_channels * _FLOAT + _LABEL + self.weighted))
        self.encode()
        match self.plan.bottleneck:
            case "msff":
                self.fuse()
            case "control":
                self.control()
        self.decode()
        for stage in scales[: max(1, len(scales) - 1)]:
            self.lose(stage)
        while self.back:
            self.back.pop()()
        # CPU: tensor after tensor, two temporaries each; CUDA: all at once, one each.
        self.touch(_FLOAT * (2 * self.largest if self.cpu else self.parameters))
        self.peak += self.parameters * _FLOAT * (1 + _STATES[configuration.training.optimiser])

    def size(self, of: Map) -> int:
        """Bytes of a map."""
        return self.voxels[of[0]] * of[1] * self.item

    def keep(self, size: int) -> None:
        """Allocate."""
        self.live += size
        self.peak = max(self.peak, self.live)

    def drop(self, size: int) -> None:
        """Free."""
        self.live -= size

    def touch(self, size: int) -> None:
        """Allocate and free at once."""
        self.peak = max(self.peak, self.live + size)

    def later(self, action: Callable[[int], None], size: int) -> None:
        """Do that on the way back."""
        self.back.append(partial(action, size))

    def count(self, weights: int, others: int) -> None:
        """Note trainable numbers."""
        self.parameters += weights + others
        self.largest = max(self.largest, weights)

    def conv(
        self, source: Map, target: Map, kernel: Kernel, *, bias: bool = True, shared: bool = False, image: bool = False
    ) -> None:
        """A convolution; an image has no gradient."""
        entering, leaving = self.size(source), self.size(target)
        weights = source[1] * target[1] * prod(kernel)
        moved, others = weights * self.item, target[1] if bias else 0
        self.count(weights, others)
        cast = moved if self.half else 0  # the weights in half precision
        if self.half and self.cpu and image:
            cast += entering
        self.keep(cast)
        into, out = self.copy(source, image=image), self.copy(target)
        if self.cpu:
            self.touch(into + moved + out + self.sums(target, kernel))
            self.touch(out + leaving)
        self.keep(leaving)

        def back() -> None:
            if not image:
                if self.cpu:
                    self.touch(out + moved + into + self.sums(source, kernel))
                    self.touch(into + entering)
                self.keep(entering)
            if not self.cpu:
                self.touch(moved)
            elif self.half:
                self.touch(self.half_gradient(source, target, kernel))
            else:
                self.touch(max(out + into + moved, self.scratch(source[1], target[0], kernel, moved)))
            self.keep((weights + others) * _FLOAT)
            self.drop(cast)
            if not shared:
                self.drop(leaving)

        self.back.append(back)

    def copy(self, of: Map, *, image: bool = False) -> int:
        """Bytes of a map in oneDNN's layout, which in bfloat16 has whole blocks of channels; an image is read as is."""
        return self.size(of if image or not self.half else (of[0], ceil(of[1] / _BLOCK) * _BLOCK))

    def sums(self, of: Map, kernel: Kernel) -> int:
        """Bytes in which each thread adds up a patch of what a 1 x 1 convolution in bfloat16 gives, in float32."""
        if not self.half or prod(kernel) > 1:
            return 0
        return self.threads * prod(self.shapes[of[0]]) * ceil(of[1] / _BLOCK) * _BLOCK * _FLOAT

    def half_gradient(self, source: Map, target: Map, kernel: Kernel) -> int:
        """Bytes for the weight gradient of a convolution in bfloat16, as oneDNN takes it with AVX-512.

        Copies in its layout, and for each group of threads that share one the transposed maps of one patch, and the
        gradient in float32. Threads first share the blocks of channels. Few channels are unfolded instead.
        """
        inside, outside = source[1], target[1]
        weights, patches = inside * outside * prod(kernel), self.voxels[0] // prod(self.shapes[0])
        if inside < _BLOCK and outside < _BLOCK:
            slices = self.shapes[target[0]][-2:]
            return weights * self.item + prod(kernel) * inside * prod(slices) * self.item
        out, into = self.copy(target), self.copy(source) if inside >= _BLOCK else 0
        copies = into + out + weights * self.item
        if prod(kernel) == 1:
            return copies
        groups = max(1, self.threads // ceil(max(inside, outside) / _BLOCK))
        return copies + groups * ((into + out) // patches + weights * _FLOAT)

    def scratch(self, inside: int, stage: int, kernel: Kernel, moved: int) -> int:
        """Bytes for the weight gradient where oneDNN unfolds slices, as it does for 3D kernels without AVX-512."""
        if len(kernel) < 3 or kernel[0] == 1:
            return 0
        unfolded = prod(kernel) * inside * prod(self.shapes[stage][1:]) * _FLOAT
        return self.threads * (unfolded + _WEIGHT_COPIES * moved)

    def norm(self, of: Map, *, shared: bool = False) -> None:
        """An instance norm, which keeps what enters; none on a single voxel."""
        if prod(self.shapes[of[0]]) == 1:
            return
        size, others = self.size(of), 2 * of[1]
        self.count(0, others)
        self.keep(size)
        self.later(self.drop, size if shared else 2 * size)
        self.later(self.keep, size + others * _FLOAT)

    def relu(self, of: Map) -> None:
        """A leaky ReLU in place; on the way back it frees the map that it and the next layer kept."""
        self.later(self.drop, 2 * self.size(of))
        self.later(self.keep, self.size(of))

    def block(self, source: Map, target: Map, kernel: Kernel, *, image: bool = False) -> None:
        """Convolution, norm, leaky ReLU."""
        self.conv(source, target, kernel, image=image)
        self.norm(target)
        self.relu(target)

    def residual(self, source: Map, target: Map, *, strided: bool) -> None:
        """Two convolutions, a skip that is averaged and projected as needed, their sum in place."""
        stage, skipped = target[0], (target[0], source[1])
        kernel, single = self.plan.kernels[stage], prod(self.shapes[stage]) == 1
        projected = source[1] != target[1]
        identity = not strided and not projected
        self.later(self.drop, self.size(source))  # the skip's part of the gradient, once both are summed
        self.block(source, target, kernel)
        self.conv(target, target, kernel, shared=identity and single)
        self.norm(target, shared=identity)
        average = self.size(skipped)
        if strided:
            self.keep(average)
            if projected:
                self.later(self.drop, 2 * average)  # kept for the projection, and its gradient
            self.later(self.keep, self.size(source))
            if self.half and self.cpu and self.plan.dimension == 3:
                # Under autocast a CPU takes this mean in float32: what enters is kept so, and its gradient comes so.
                wide = self.voxels[source[0]] * source[1] * _FLOAT
                self.keep(wide)
                self.later(self.drop, wide)
                self.later(self.touch, wide)
        if projected:
            self.conv(skipped, target, (1,) * len(kernel), bias=False, shared=single)
            self.norm(target, shared=True)
            self.drop(self.size(target))
        elif strided:
            self.drop(average)
        self.relu(target)

    def encode(self) -> None:
        """The encoder."""
        plan, source = self.plan, (0, self.plan.in_channels)
        if plan.encoder == "residual":
            stem = (0, plan.features[0])
            self.block(source, stem, plan.kernels[0], image=True)
            source = stem
        for stage, target in enumerate(enumerate(plan.features)):
            for index in range(plan.blocks[stage]):
                if plan.encoder == "residual":
                    self.residual(source, target, strided=index == 0 and max(plan.strides[stage]) > 1)
                else:
                    self.block(source, target, plan.kernels[stage], image=stage == index == 0)
                source = target
            if stage < len(plan.features) - 1:
                # The sum of the gradients from below and from the skip; the latter held a whole concatenation's.
                self.later(self.drop, 3 * self.size(target))
                self.later(self.keep, self.size(target))

    def fuse(self) -> None:
        """The MSFF bottleneck; that its group norm is float32 under autocast is left out, it is small."""
        shape, kernel, (stage, width) = self.shapes[-1], self.plan.kernels[-1], self.bottom
        thin, ones = branch_channels(width), (1,) * len(shape)
        kernels = (ones, *(branch_kernel(shape, kernel) for _ in branch_rates(shape, kernel)))
        joined = self.size((stage, thin * (1 + len(kernels))))
        for kernel in kernels:
            self.later(self.drop, self.size(self.bottom))  # a branch's gradient, added to what is there
            self.block(self.bottom, (stage, thin), kernel)
        self.count(width * thin, thin)  # the branch of the mean: a single voxel
        self.later(self.keep, (width * thin + thin) * _FLOAT)
        self.keep(joined)
        # The concatenation and its gradient, of which the branches take their parts.
        self.later(self.drop, 2 * joined - len(kernels) * self.size((stage, thin)))
        self.add_fused(thin * (1 + len(kernels)))

    def control(self) -> None:
        """What stands in for the MSFF bottleneck: two convolutions."""
        shape, kernel, (stage, width) = self.shapes[-1], self.plan.kernels[-1], self.bottom
        inside = control_channels(width, shape, kernel)
        self.later(self.drop, self.size(self.bottom))  # the branch's gradient, added to what is there
        self.block(self.bottom, (stage, inside), branch_kernel(shape, kernel))
        self.add_fused(inside)

    def add_fused(self, inside: int) -> None:
        """A 1x1 convolution from `inside` channels at the bottleneck, its norm, and the sum with what came in."""
        size, single = self.size(self.bottom), prod(self.shapes[-1]) == 1
        self.conv((self.bottom[0], inside), self.bottom, (1,) * self.plan.dimension, bias=single, shared=single)
        self.norm(self.bottom, shared=True)
        self.later(self.drop, size)
        self.keep(size)
        self.drop(size)  # what was fused lives on in the sum

    def decode(self) -> None:
        """The decoder and its heads."""
        plan = self.plan
        if len(plan.features) == 1:
            self.head(0)
        for stage in reversed(range(len(plan.features) - 1)):
            width, below = plan.features[stage], stage + 1
            target = (stage, width)
            size = self.size(target)
            if self.cpu:
                self.touch(size + 2 * self.copy(target))
            self.conv((below, plan.features[below]), target, plan.strides[below])
            self.later(self.keep, size)  # its part of the concatenation's gradient, copied out
            self.keep(2 * size)
            self.drop(size)  # what was upsampled lives on in the concatenation
            self.later(self.drop, 2 * size)
            for index in range(plan.convs_decoder):
                self.block((stage, 2 * width) if index == 0 else target, target, plan.kernels[stage])
            self.head(stage)

    def head(self, stage: int) -> None:
        """A segmentation head; the coarsest of several has no part in the loss and gets no gradient."""
        source = (stage, self.plan.features[stage])
        self.conv(source, (stage, self.plan.out_channels), (1,) * self.plan.dimension)
        coarsest = len(self.plan.features) - 2
        if 0 < stage == coarsest:
            self.back.pop()
        elif stage > 0:
            # Added to the gradient from the finer stage.
            self.back.append(partial(self.after, self.back.pop(), self.size(source)))

    def after(self, action: Callable[[], None], size: int) -> None:
        """Free `size` bytes after `action`."""
        action()
        self.drop(size)

    def lose(self, stage: int) -> None:
        """Dice and cross entropy of one scale, and the way back to its logits."""
        voxels = self.voxels[stage]
        size = voxels * self.plan.out_channels * _FLOAT
        # Log-probabilities and probabilities, the mask of the voxels that count and a target without the others; a
        # coarse scale has a target of its own besides.
        kept = 2 * size + (1 + _LABEL + 2 * self.weighted) * voxels + (_LABEL * voxels if stage > 0 else 0)
        self.keep(kept)
        # What the targets' voxels got, their bins, then one of: the former as float64, the masked probabilities. Under
        # autocast the logits in float32 as well.
        self.touch((_FLOAT + _LABEL) * voxels + max(8 * voxels, size) + (size if self.half else 0))

        def back() -> None:
            self.touch(3 * size)  # gradients of the cross entropy, of the Dice, and through the exponential
            self.drop(kept - size)
            self.touch(2 * size)
            self.drop(size)
            self.keep(self.size((stage, self.plan.out_channels)))

        self.back.append(back)
