"""The arms of a study: one plan, varied in one respect, with everything else equal.

    ablation      base, msff, control, sace and sums of them (msff+sace): bottleneck and loss (Zhang et al. 2023)
    sequences     T1, T2, T1+T2: the channels that enter (Hille et al. 2020)
    dimensions    2d, 2.5d, 3d: the configurations of the plan (Hille et al. 2020)
    patches       64, 96, 128, each from scratch or pretrained: the patch (Chen et al. 2024)

All arms are trained for as many steps, and a step of each sees about as many voxels: an arm with smaller patches has
larger batches. What the arms of a paper's own experiment are is known; how they are made equal is our own choice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Literal, get_args

from autospine.data.folds import Fold
from autospine.errors import PlanError
from autospine.machine.arithmetic import Machine
from autospine.planning.decide.fold_loss import loss_state, renew_loss, resolve_loss
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.expected import Expectations, Expected
from autospine.planning.document.model_card import Entering, ModelCard
from autospine.planning.document.parts import Bottleneck, LossKind, LossPlan, TrainingPlan
from autospine.planning.document.plan import Plan
from autospine.planning.estimate.expected import expect
from autospine.planning.measured.fingerprint import Fingerprint

StudyKind = Literal["ablation", "sequences", "dimensions", "patches"]
Pretraining = Literal["none", "masked"]
PRETRAININGS: tuple[Pretraining, ...] = get_args(Pretraining)

ABLATION = ("base", "control", "msff", "sace", "msff+sace")
"""Arms of an ablation where none are named: the paper's four, and the control of the bottleneck."""
DIMENSIONS = ("2d", "2.5d", "3d")
"""Arms of a study of dimensions where none are named, as far as the plan has them."""
UNEQUAL = 0.1
"""Share by which a step of one arm may see fewer voxels than that of another before larger batches are looked for."""
PARTS: dict[str, str] = {
    "base": "plain bottleneck, Dice and plain cross entropy",
    "msff": "multi-scale feature fusion at the bottleneck",
    "control": "a plain convolution with as many weights as MSFF at the bottleneck",
    "sace": "size-adaptive cross entropy",
    "reseeded": "another seed: what chance alone changes",
}
"""What an arm of an ablation is made of; `base` is what an arm has beside."""


@dataclass(frozen=True)
class Arm:
    """One side of a comparison."""

    name: str
    what: str
    """What it is, in a few words."""
    configuration: Configuration
    """What is trained."""
    channels: tuple[str, ...] = ()
    """Image channels that it reads; none named: all."""
    pretraining: Pretraining = "none"
    """What its encoder starts from."""

    @property
    def folder(self) -> str:
        """Its name as files may bear it."""
        return re.sub(r"[^\w.+-]", "_", self.name)

    @property
    def voxels(self) -> int:
        """Voxels that a training step segments."""
        return self.configuration.batch * prod(self.configuration.patch)


def ablation_arms(card: ModelCard, names: Sequence[str] = ()) -> tuple[Arm, ...]:
    """Arms with these bottlenecks and losses; none named: those of `ABLATION`.

    Raises:
        PlanError: a name that is no sum of `PARTS`, or one with two bottlenecks.
    """
    arms, configuration = [], card.configuration
    for name in names or ABLATION:
        parts = [part.strip() for part in name.split("+")]
        known = set(parts) <= PARTS.keys() and len(set(parts)) == len(parts) and not {"msff", "control"} <= set(parts)
        if not known or ("base" in parts and len(parts) > 1):
            expected = f"{', '.join(PARTS)}, or several of the last joined by +, of msff and control one"
            raise PlanError("--arms", f"{name!r}", expected, "correct the name")
        bottleneck: Bottleneck = "msff" if "msff" in parts else "control" if "control" in parts else "plain"
        arm = replace(
            configuration,
            network=replace(configuration.network, bottleneck=bottleneck),
            loss=_loss(configuration.loss, adaptive="sace" in parts),
        )
        alone = card.data.classes == 1 and not card.data.regions and arm.loss.largest_size is None
        what = "; ".join(PARTS[part] for part in parts)
        what += " (of one class: the same as plain)" if alone and "sace" in parts else ""
        if "reseeded" in parts:
            arm = replace(arm, training=replace(arm.training, seed=arm.training.seed + 1))
        arms.append(Arm(name, what, arm))
    return tuple(arms)


def _loss(loss: LossPlan, *, adaptive: bool) -> LossPlan:
    """Dice with plain or with size-adaptive cross entropy, whose weights are left to the cases of each fold."""
    ones = tuple(1.0 for _ in loss.class_weights)
    if adaptive and loss.kind == "dice_size_adaptive_ce":
        return replace(loss, class_weights=ones)
    kind: LossKind = "dice_size_adaptive_ce" if adaptive else "dice_ce"
    return LossPlan(kind, ones, loss.batch_dice, loss.smooth, loss.alpha, loss.weight_cap)


def dimension_arms(plan: Plan, names: Sequence[str] = ()) -> tuple[Arm, ...]:
    """Arms that are configurations of the plan; `3d` is `3d_fullres`. None named: those of `DIMENSIONS` that it has.

    Raises:
        PlanError: the plan has no such configuration, or it is a cascade.
    """
    arms = []
    planned = {configuration.name for configuration in plan.configurations}
    for name in names or [name for name in DIMENSIONS if _full_name(name) in planned]:
        configuration = plan.configuration(_full_name(name))
        slices = 2 * configuration.neighbours + 1
        what = "slices" if configuration.network.dimension == 2 else "volumes"
        arms.append(Arm(name, f"{slices} neighbouring slices" if slices > 1 else what, configuration))
    return tuple(arms)


def _full_name(name: str) -> str:
    return "3d_fullres" if name == "3d" else name


def sequence_arms(plan: Plan, configuration: Configuration, names: Sequence[str] = ()) -> tuple[Arm, ...]:
    """Arms with these channels (`T1+T2`); none named: each alone, then all together.

    Raises:
        PlanError: a channel that the data do not have, or data of one channel.
    """
    every, where = plan.data.channels, f"plan of {plan.data.dataset}"
    if len(every) == 1:
        raise PlanError(where, f"one channel, {every[0]}", "two or more to choose from")
    commas = [channel for channel in every if "," in channel]
    if commas:
        found = f"channels with a comma in their names: {'; '.join(commas)}"
        raise PlanError(where, found, "names that --channels can list", "rename them in the dataset")
    arms = []
    for name in names or (*every, "+".join(every)):
        # a channel may itself be called `T1+C`
        parts = (name,) if name in every else tuple(part.strip() for part in name.split("+"))
        if not set(parts) <= set(every) or len(set(parts)) != len(parts):
            expected = f"channels of the data, joined by +: {', '.join(every)}"
            raise PlanError("--inputs", f"{name!r}", expected, "correct the name")
        data = plan.data.taking(parts)
        channels = data.channels
        what = channels[0] if len(channels) == 1 else f"{' and '.join(channels)} together"
        entering = Entering.of(data, configuration.neighbours, configuration.previous)
        network = replace(configuration.network, in_channels=entering.count)
        normalisation = tuple(configuration.normalisation[every.index(channel)] for channel in channels)
        arms.append(Arm(name, what, replace(configuration, normalisation=normalisation, network=network), channels))
    return tuple(arms)


def patch_arms(
    configuration: Configuration, sizes: Sequence[int] = (), pretrainings: Sequence[Pretraining] = ("none",)
) -> tuple[Arm, ...]:
    """Arms with these patches, from scratch and pretrained; none named: half the planned one, three quarters, all.

    A size is the patch's edge in voxels of the finest axis; coarser axes have as many fewer as they are coarser, no
    axis more than the median case. Each is rounded up to what the network's strides divide by.

    Raises:
        PlanError: two sizes come to the same patch.
    """
    finest = min(configuration.spacing_mm)
    edge = configuration.patch[configuration.spacing_mm.index(finest)]
    divisors = [prod(edges) for edges in zip(*configuration.network.strides, strict=True)]
    arms: list[Arm] = []
    for size in sizes or (edge // 2, edge * 3 // 4, edge):
        patch = tuple(
            divisor * -(-min(round(size * finest / spacing_mm), longest) // divisor)
            for spacing_mm, longest, divisor in zip(
                configuration.spacing_mm, configuration.median_shape, divisors, strict=True
            )
        )
        patch = configuration.patch if not sizes and size == edge else patch
        same = [arm.name for arm in arms if arm.configuration.patch == patch]
        if same and not sizes:
            arms = [arm for arm in arms if arm.configuration.patch != patch]
        elif same:
            found = f"{size} comes to the patch {' x '.join(map(str, patch))}, as {same[0]} does"
            raise PlanError("--sizes", found, "sizes that come to different patches", "leave one of them out")
        for pretraining in pretrainings:
            name = f"{size}" if pretraining == "none" else f"{size}+{pretraining}"
            what = f"patch {' x '.join(map(str, patch))}"
            what += ", pretrained on masked patches" if pretraining == "masked" else ""
            arms.append(Arm(name, what, replace(configuration, patch=patch), pretraining=pretraining))
    return tuple(arms)


def made_equal(arms: Sequence[Arm], steps: int) -> tuple[Arm, ...]:
    """The arms with as many steps each, and batches of as many voxels as whole patches allow.

    That is as many as the arm with most has; where some arm would see over a tenth fewer than another, the number up to
    twice as many that brings the arms nearest to each other.

    Raises:
        PlanError: a cascade among them, whose first stage would be an arm of its own; or two arms that are one.
    """
    folders = [arm.folder for arm in arms]
    if len(set(folders)) < len(folders):
        raise PlanError("the arms of a study", ", ".join(arm.name for arm in arms), "distinct names")
    for index, arm in enumerate(arms):
        for other in arms[:index]:
            if replace(other, name=arm.name, what=arm.what) == arm:
                found = f"{other.name} and {arm.name} are the same"
                raise PlanError("the arms of a study", found, "arms that differ", "leave one of them out")
    batches = equal_batches([prod(arm.configuration.patch) for arm in arms], max(arm.voxels for arm in arms))
    equal = []
    for arm, batch in zip(arms, batches, strict=True):
        one = arm.configuration
        if one.previous is not None:
            raise PlanError(arm.name, "a cascade", "a configuration that is trained by itself", "name another one")
        training = with_steps(one.training, steps)
        equal.append(replace(arm, configuration=replace(one, batch=batch, training=training)))
    return tuple(equal)


def equal_batches(patches: Sequence[int], most: int) -> tuple[int, ...]:
    """A batch for each of `patches`, in voxels, so that all come to about `most` voxels or up to twice as many."""

    def batches(target: float) -> tuple[int, ...]:
        return tuple(max(1, round(target / patch)) for patch in patches)

    def apart(target: float) -> float:
        sums = [batch * patch for batch, patch in zip(batches(target), patches, strict=True)]
        return 1 - min(sums) / max(sums)

    if apart(most) <= UNEQUAL:
        return batches(most)
    targets = {count * patch for patch in patches for count in range(1, 2 * most // patch + 1) if count * patch >= most}
    return batches(min(sorted(targets), key=apart))


def with_steps(training: TrainingPlan, steps: int) -> TrainingPlan:
    """The schedule over `steps` steps, in epochs of about as many as planned."""
    epochs = max(1, round(steps / training.steps_per_epoch))
    return replace(training, budget_s=None, epochs=epochs, steps_per_epoch=-(-steps // epochs))


def planned_steps(training: TrainingPlan, expected: Expected | None) -> int:
    """Steps of a training: those expected of its time budget, or those of its epochs."""
    if training.budget_s is not None and expected is not None and expected.steps is not None:
        return max(1, expected.steps)
    return training.steps


def arm_plan(plan: Plan, arm: Arm, fingerprint: Fingerprint, folds: Sequence[Fold]) -> Plan:
    """The plan that an arm is trained by: its configuration alone, for the data with that fingerprint and these folds.

    Where these are fewer than the plan's, sizes in the loss are theirs.
    """
    data, digest = plan.data.taking(arm.channels or plan.data.channels), fingerprint.hash()
    card = ModelCard(data, arm.configuration)
    if digest != plan.fingerprint_hash and loss_state(card) != "own":
        loss = resolve_loss(card, fingerprint, folds)
    else:
        loss, _ = renew_loss(card, fingerprint, folds)
    one = replace(arm.configuration, loss=loss)
    return replace(
        plan,
        data=data,
        fingerprint_hash=digest,
        configurations=(one,),
        default=one.name,
        reasons={"default": f"arm {arm.name} of a study: {arm.what}"},
    )


def arm_expected(plan: Plan, before: Expected | None, machine: Machine) -> Expectations:
    """What the `plan` of an arm takes, in the precision that the study's own was timed in, which is that of `before`.

    Arms and folds may be trained one by one, on several machines, and compute alike.
    """
    one = plan.configuration()
    return {one.name: expect(one, machine, device=None if before is None else before.device)}
