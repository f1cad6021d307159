"""The plans that are recorded, each as flat values and reasons that know nothing of classes.

The two functions at the top are all that depends on how a plan is made up inside: where that changes they spread it
back into these keys, which are those of `plan.toml` in schema 5. What is refused is recorded by its message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import inf
from typing import Any

from autospine.data.folds import Fold, make_folds
from autospine.errors import PlanError
from autospine.machine.arithmetic import Machine
from autospine.planning.budget.default_time import fit_plan_to_default_time
from autospine.planning.budget.fit_to_time import fit_plan_to_budget
from autospine.planning.budget.measurements import Budget
from autospine.planning.decide.fold_loss import renew_fold_losses, with_fold_losses
from autospine.planning.decide.patch_and_batch import planned_for
from autospine.planning.decide.planner import make_plan
from autospine.planning.decide.transfer import RENEWED, transfer_plan
from autospine.planning.document.expected import MADE_FOR, Estimated
from autospine.planning.document.model_card import ModelCard
from autospine.planning.document.plan import Plan
from autospine.planning.document.recipe import Recipe
from autospine.planning.estimate.cost import multiply_adds
from autospine.planning.estimate.expected import estimate
from autospine.planning.measured.fingerprint import Fingerprint
from tests.golden.fingerprints import REAL, made_up, phantoms, real, references
from tests.golden.recipes import CHOICES, SHIPPED, recipe

Flat = tuple[dict[str, Any], dict[str, str]]
"""Values and reasons, both by the dotted key of `plan.toml`."""
Named = Iterator[tuple[str, dict[str, Any], dict[str, str]]]


OF_DATA = ("presence", "levels", "regions", "sides")
"""What stood in each configuration in schema 5 and stands once in a plan since."""


def flat_plan(estimated: Estimated) -> Flat:
    """A plan by the keys of `plan.toml`, without what is None; labels and configurations keep their order."""
    plan = estimated.plan
    table = asdict(plan)
    del table["schema"]
    reasons, data = table.pop("reasons"), table.pop("data")
    tables = {part.pop("name"): part for part in table.pop("configurations")}
    for card in plan.cards:
        tables[card.configuration.name] |= _of_data(card)
    for name, expected in estimated.expected.items():  # which stood in the configuration
        tables[name]["expected"] = {key: value for key, value in asdict(expected).items() if key != "why"}
        reasons |= {f"{name}.expected.memory_gb": expected.why, f"{name}.expected.made_for": MADE_FOR}
    table |= {key: value for key, value in data.items() if key not in OF_DATA}
    values = dict(_flat({**table, "configurations": tables})) | {"configurations": list(tables)}
    own = tuple(f"{name}." for name in tables)
    spread = {f"configurations.{key}" if key.startswith(own) else key: why for key, why in reasons.items()}
    for key in [key for key in spread if key.startswith(OF_DATA)]:
        why = spread.pop(key)
        for card in plan.cards:
            spread |= _as_before(card, key, why)
    return values, spread


def _of_data(card: ModelCard) -> dict[str, Any]:
    """What a configuration of schema 5 said of the data, on its own axes."""
    data, order = card.data, card.configuration.axis_order
    found: dict[str, Any] = {"presence": None if data.presence is None else asdict(data.presence)}
    if data.levels is not None:
        found["levels"] = asdict(data.levels) | {"axis": order.index(data.levels.axis)}
    if card.sides_axis is not None:
        found["sides"] = {"axis": card.sides_axis, "pairs": data.sides}
    if data.regions:
        found["regions"] = {"names": data.targets, "classes": data.members, "written": data.written}
    return found


def _as_before(card: ModelCard, key: str, why: str) -> dict[str, str]:
    """The reasons of a configuration of schema 5 for a key of the data."""
    renamed = {"sides": "sides.pairs", "regions.name": "regions.names", "regions.values": "regions.classes"}
    why = why.replace("the canonical axis along which", "the planned axis along which")
    if key == "sides" and card.sides_axis is None:
        return {}
    axis = {"sides.axis": "the patch axis from right to left"} if key == "sides" else {}
    found = {renamed.get(key, key): why} | axis
    return {f"configurations.{card.configuration.name}.{name}": text for name, text in found.items()}


def edited(plan: Plan, **changes: Any) -> Plan:
    """`plan` as if somebody had edited these keys of the loss in each of its configurations."""
    for one in plan.configurations:
        plan = plan.with_configuration(replace(one, loss=replace(one.loss, **changes)), plan.reasons)
    return plan


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of nested tables and lists of tables."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _flat(part, f"{prefix}.{key}" if prefix else key)
    elif isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
        yield from _flat({str(index): part for index, part in enumerate(value)}, prefix)
    elif value is not None:
        yield prefix, value


def planned(fingerprint: Fingerprint, choices: Recipe, machine: Machine = Machine()) -> Estimated:
    """A plan as `autospine plan` makes it."""
    return estimate(make_plan(fingerprint, choices, machine=machine), machine, planned_for(choices, machine))


def moved(source: Plan, fingerprint: Fingerprint, choices: Recipe) -> Estimated:
    """A plan as `autospine plan --from` makes it."""
    return estimate(transfer_plan(source, fingerprint, choices), Machine(), RENEWED)


def plans() -> Named:
    """(name, values, reasons) of every plan that is recorded; a name is a path of two parts or more."""
    yield from of_references()
    yield from of_made_up()
    yield from of_machines()
    yield from of_budgets()
    yield from of_transfers()
    yield from of_folds()
    for name in REAL:
        yield from of_real(name)
    yield from of_phantoms()


def few_plans() -> Named:
    """Those of `plans` that tell the most in the least time: for a test."""
    yield from of_references(("default",))
    yield from of_made_up(("default", "metastases", "batch"))
    for name in ("uneven", "regions", "missing", "sides", "large-levels"):
        yield from of_made_up((*SHIPPED[1:2], *(choice for choice in CHOICES if choice != "batch")), (name,))
    yield from of_machines()
    yield from of_budgets(((name, "default", "usual") for name in TIMED[:6]), (120.0, None))
    yield from of_transfers()
    yield from of_folds()


def of_references(names: Sequence[str] = SHIPPED) -> Named:
    """Every reference with these recipes."""
    for name, fingerprint in references().items():
        for chosen in names:
            yield _planned(f"references/{name}/{chosen}", fingerprint, chosen)


def of_made_up(names: Sequence[str] = (*SHIPPED, *CHOICES), data_sets: Sequence[str] | None = None) -> Named:
    """These made up data sets, or every one, with these recipes."""
    for name in data_sets or made_up():
        for chosen in names:
            yield _planned(f"made-up/{name}/{chosen}", made_up()[name], chosen)


def of_machines() -> Named:
    """A few data sets, planned for a CPU."""
    for name in ("levels", "large", "regions", "missing", "slices"):
        for machine in (Machine("float32", 2), Machine("bfloat16", 16)):
            for chosen in ("default", "residual", "4gb"):
                where = f"machines/{name}/{chosen}-{machine.precision}-{machine.threads}"
                yield _planned(where, made_up()[name], chosen, machine)


def of_real(name: str) -> Named:
    """A real folder, where it is there, with the shipped recipes and a few others."""
    fingerprint = real(name)
    if fingerprint is not None:
        for chosen in (*SHIPPED, "residual", "batch"):
            yield _planned(f"real/{name}/{chosen}", fingerprint, chosen)


def of_phantoms() -> Named:
    """Each phantom with the shipped recipes."""
    for name, fingerprint in phantoms().items():
        for chosen in SHIPPED:
            yield _planned(f"phantoms/{name}/{chosen}", fingerprint, chosen)


@dataclass
class Clock:
    """Seconds of a step on a machine of a fixed speed; a glance, which the bounds allow, is off by a factor."""

    speed: float = 3e10
    glance: float = 1.0
    most_work: float = inf
    """Multiply-adds of a step for which the memory is too small."""
    asked: list[tuple[str, tuple[float, float]]] = field(default_factory=list)
    """(configuration, bounds) of each measurement."""

    def __call__(self, configuration: Any, bounds: tuple[float, float]) -> float:
        """Seconds of a step of `configuration`."""
        self.asked.append((configuration.name, bounds))
        work = multiply_adds(configuration.network, configuration.patch, configuration.batch)
        seconds = inf if work > self.most_work else 0.002 + 3 * work / self.speed
        glanced = seconds * self.glance
        return seconds if bounds[0] <= glanced <= bounds[1] else glanced


CLOCKS: Mapping[str, Mapping[str, float]] = {
    "slow": {"speed": 3e9},
    "usual": {},
    "glancing": {"glance": 1.6},
    "fast": {"speed": 1e13},
    "small": {"most_work": 2e10},
    "tiny": {"most_work": 0.0},
}
TIMED = ("levels", "uneven", "regions", "sides", "missing", "large", "slices", "lesions-axial", "isotropic")


FITTED = (
    *((name, "default", "usual") for name in TIMED),
    *(("levels", "default", clock) for clock in CLOCKS if clock != "usual"),
    *(("levels", other, "usual") for other in ("lumbar", "residual", "sgd", "flat-first", "batch", "4gb")),
    *(("lesions", "metastases", "usual"), ("lesions", "tumour", "fast"), ("large", "coarse", "glancing")),
)
"""(data set, recipe, clock) of the plans that are fitted to a time."""


def of_budgets(
    fitted: Iterable[tuple[str, str, str]] = FITTED,
    times_s: Sequence[float | None] = (120.0, 1800.0, 21600.0, None),
) -> Named:
    """Plans fitted to time budgets, and to the default time (None), by clocks that measure nothing."""
    for name, how, clock in fitted:
        for seconds in times_s:
            time = "default-time" if seconds is None else f"{seconds:g}s"
            yield _fitted(f"budgets/{name}/{how}/{clock}-{time}", name, how, clock, seconds)


def _fitted(where: str, name: str, how: str, clock: str, seconds: float | None) -> tuple[str, *Flat]:
    measure, machine = Clock(**CLOCKS[clock]), Machine("float32", 2)
    budget = Budget(seconds or 1.0, measure, device="CPU, 2 cores", machine=machine)
    fit = fit_plan_to_default_time if seconds is None else fit_plan_to_budget
    fingerprint, choices = made_up()[name], recipe(how)
    plan = make_plan(fingerprint, choices, machine=machine)
    return _recorded(where, lambda: fit(plan, fingerprint, choices, budget), lambda: {"asked": measure.asked})


SOURCES = (
    ("levels", "default"),
    ("levels", "residual-msff"),
    ("large", "default"),
    ("regions", "batch"),
    ("uneven", "adaptive"),
    ("lesions", "metastases"),
    ("sides", "lumbar"),
    ("missing", "default"),
    ("missing-large", "optional-all"),
    ("slices", "default"),
    ("isotropic", "neighbours"),
)
"""(data set, recipe) of the plans that are moved."""


def of_transfers() -> Named:
    """Plans moved to every made up data set, and some of them once more."""
    for name, chosen in SOURCES:
        source = make_plan(made_up()[name], recipe(chosen))
        for target in made_up():
            yield _moved(f"transfers/{name}-{chosen}/{target}", source, target, "default")
    once = transfer_plan(make_plan(made_up()["levels"], recipe("default")), made_up()["regions"], recipe("default"))
    for target, chosen in (("levels-counted", "mirror-all"), ("sides", "mirror-none"), ("slices-across", "default")):
        yield _moved(f"transfers/twice/{target}-{chosen}", once, target, chosen)


def _moved(where: str, source: Plan, target: str, chosen: str) -> tuple[str, *Flat]:
    return _recorded(where, lambda: moved(source, made_up()[target], recipe(chosen)))


EDITS: Mapping[str, Mapping[str, Any]] = {
    "nothing": {},
    "alpha": {"alpha": 0.9},
    "cap": {"weight_cap": 1.5},
    "plain": {"kind": "dice_ce"},
    "adaptive": {"kind": "dice_size_adaptive_ce"},
    "sizes": {"usual_sizes": None},
    "largest": {"largest_size": 12.0},
}


def of_folds() -> Named:
    """Plans with the losses of their folds, and these renewed when the plan or the folds were edited."""
    for name in ("uneven", "levels-partial", "regions-uneven", "lesions", "missing", "large-levels"):
        for chosen in ("default", "adaptive", "component", "batch"):
            where, fingerprint = f"folds/{name}/{chosen}", made_up()[name]
            try:
                made = planned(fingerprint, recipe(chosen))
                plan = with_fold_losses(made.plan, fingerprint, folds_of(fingerprint))
            except PlanError as error:
                yield where, {"refused": str(error)}, {}
                continue
            made = replace(made, plan=plan)
            yield where, *flat_plan(made)
            weights = (*plan.configuration().loss.class_weights[:-1], 2.27)
            for edit, changes in {**EDITS, "weights": {"class_weights": weights}}.items():
                yield _renewed(f"{where}-{edit}", made, changes, fingerprint, folds_of(fingerprint))
            other = (Fold(*reversed(list(asdict(folds_of(fingerprint)[0]).values()))), *folds_of(fingerprint)[1:])
            yield _renewed(f"{where}-other-folds", made, {}, fingerprint, other)


def folds_of(fingerprint: Fingerprint) -> tuple[Fold, ...]:
    """The folds that `autospine plan` makes."""
    cases = fingerprint.cases
    present = {case.case: {index for index, voxels in enumerate(case.class_voxels) if voxels} for case in cases}
    return make_folds({case.case: case.subject for case in cases}, {case.case: case.digest for case in cases}, present)


def _renewed(
    where: str, made: Estimated, changes: Mapping[str, Any], fingerprint: Fingerprint, folds: Sequence[Fold]
) -> tuple[str, *Flat]:
    notes: list[str] = []

    def renew() -> Estimated:
        renewed, told = renew_fold_losses(edited(made.plan, **changes), fingerprint, folds)
        notes.extend(told)
        return replace(made, plan=renewed)

    return _recorded(where, renew, lambda: {"notes": notes})


def _planned(where: str, fingerprint: Fingerprint, chosen: str, machine: Machine = Machine()) -> tuple[str, *Flat]:
    return _recorded(where, lambda: planned(fingerprint, recipe(chosen), machine))


def _recorded(
    where: str, make: Callable[[], Estimated], beside: Callable[[], dict[str, Any]] = dict
) -> tuple[str, *Flat]:
    """The name, values and reasons of a plan, and what else is to be kept of its making; or why it was refused."""
    try:
        values, reasons = flat_plan(make())
    except PlanError as error:
        return where, {"refused": str(error)}, {}
    return where, values | beside(), reasons
