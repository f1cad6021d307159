"""The plan: every resolved number of a training, each with its reason.

It is what `autospine plan` writes and what preparation, training and prediction read; none of them looks at the recipe
or the fingerprint again. It goes to TOML and back without loss.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from autospine.errors import PlanError
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.convert import Checks
from autospine.planning.document.data import DataPlan
from autospine.planning.document.model_card import ModelCard, check_fit

PLAN_SCHEMA = 7
"""Number of the file format; a plan with another one is refused rather than guessed at."""


@dataclass(frozen=True)
class Plan:
    """Everything that was decided for a dataset, and why."""

    data: DataPlan
    """What is true of all configurations."""
    recipe: str
    """Name of the recipe the choices came from."""
    fingerprint_hash: str
    """SHA-256 of the fingerprint the numbers came from."""
    configurations: tuple[Configuration, ...]
    default: str
    """The configuration to train first."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Dotted key (`3d_fullres.patch`) -> one sentence that says why."""
    schema: int = PLAN_SCHEMA

    def __post_init__(self) -> None:
        """Check the names and that every configuration fits the data."""
        names = [configuration.name for configuration in self.configurations]
        with Checks(self) as check:
            check(self.schema == PLAN_SCHEMA, "schema", f"{PLAN_SCHEMA}, the format this version writes")
            check(0 < len(names) == len(set(names)), "configurations", "distinct names", names)
            check(self.default in names, "default", f"one of {', '.join(names)}")
            for configuration in self.configurations:
                where = f"configurations.{configuration.name}"
                check_fit(check, where, self.data, configuration)
                key, previous = f"{where}.previous", configuration.previous
                if check(previous is None or previous in names, key, f"one of {', '.join(names)}", previous):
                    first = previous is None or self.configuration(previous).previous is None
                    check(first, key, "a configuration that has no previous one itself", previous)

    def configuration(self, name: str | None = None) -> Configuration:
        """The configuration called `name`, or the default one; PlanError where there is none of that name."""
        wanted = self.default if name is None else name
        for configuration in self.configurations:
            if configuration.name == wanted:
                return configuration
        names = ", ".join(configuration.name for configuration in self.configurations)
        place = f"plan of {self.data.dataset}"
        raise PlanError(place, f"no configuration {wanted}", f"one of {names}", "name one of these")

    def card(self, name: str | None = None) -> ModelCard:
        """The configuration called `name`, or the default one, with what is true of its data."""
        return ModelCard(self.data, self.configuration(name))

    @property
    def cards(self) -> Iterator[ModelCard]:
        """That of each configuration."""
        return (ModelCard(self.data, configuration) for configuration in self.configurations)

    def with_configuration(self, configuration: Configuration, reasons: Mapping[str, str]) -> Plan:
        """The plan with the configuration of that name exchanged and `reasons` in place of its own."""
        self.configuration(configuration.name)
        exchanged = tuple(configuration if old.name == configuration.name else old for old in self.configurations)
        return replace(self, configurations=exchanged, reasons=dict(reasons))
