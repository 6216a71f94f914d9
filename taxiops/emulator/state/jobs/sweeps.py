"""What a sweep tries: search spaces and how they are sampled; pure.

The distributions: learn.microsoft.com, "Sweep job YAML schema" and "Search space".
"""

import itertools
import json
import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from taxiops.emulator.state.jobs.graph import BadGraph, seconds

Json = dict[str, Any]
Point = dict[str, str]
DEFAULT_TRIALS, DEFAULT_CONCURRENCY = 1000, 100
# The names of a distribution's parameters, in the order of the wire of jobs by themselves.
PARAMETERS = {
    "choice": ("values",),
    "uniform": ("min_value", "max_value"),
    "quniform": ("min_value", "max_value", "q"),
    "loguniform": ("min_value", "max_value"),
    "qloguniform": ("min_value", "max_value", "q"),
    "normal": ("mu", "sigma"),
    "qnormal": ("mu", "sigma", "q"),
    "lognormal": ("mu", "sigma"),
    "qlognormal": ("mu", "sigma", "q"),
    "randint": ("upper",),
}


@dataclass(frozen=True)
class Distribution:
    """One hyperparameter. kind: a key of PARAMETERS."""

    kind: str
    parameters: Mapping[str, Any]

    def draw(self, source: random.Random) -> object:
        given = self.parameters
        if self.kind == "choice":
            return source.choice(given["values"])
        if self.kind == "randint":
            return source.randrange(int(given["upper"]))
        value = DRAWS[self.kind.removeprefix("q")](source, *map(float, self._without_q()))
        return round(value / float(given["q"])) * float(given["q"]) if "q" in given else value

    def _without_q(self) -> list[Any]:
        return [value for key, value in self.parameters.items() if key != "q"]


DRAWS: dict[str, Callable[..., float]] = {
    "uniform": lambda source, low, high: source.uniform(low, high),
    "loguniform": lambda source, low, high: math.exp(source.uniform(low, high)),
    "normal": lambda source, mu, sigma: source.gauss(mu, sigma),
    "lognormal": lambda source, mu, sigma: math.exp(source.gauss(mu, sigma)),
}


@dataclass(frozen=True)
class Sweep:
    """A sweep as submitted, in either spelling of the wire. timeout_s: of all trials together."""

    space: Mapping[str, Distribution]
    algorithm: str
    seed: int | None
    metric: str
    is_maximised: bool
    most_trials: int
    concurrency: int
    timeout_s: float | None
    trial_timeout_s: float | None

    def points(self) -> Iterator[Point]:
        """The hyperparameters of the trials. Raises BadGraph for a grid that is not finite."""
        return itertools.islice(
            self._grid() if self.algorithm == "grid" else self._drawn(), self.most_trials
        )

    def _grid(self) -> Iterator[Point]:
        endless = sorted(key for key, each in self.space.items() if each.kind != "choice")
        if endless:
            raise BadGraph(f"Grid sampling takes choices only, and {endless} are none.")
        choices = [each.parameters["values"] for each in self.space.values()]
        for values in itertools.product(*choices):
            yield dict(zip(self.space, map(text_of, values), strict=True))

    def _drawn(self) -> Iterator[Point]:
        source = random.Random(self.seed)  # a sample, no secret
        while True:
            yield {key: text_of(each.draw(source)) for key, each in self.space.items()}


def text_of(value: object) -> str:
    return json.dumps(value) if isinstance(value, list | dict) else str(value)


def sweep_of(given: Mapping[str, Any]) -> Sweep:
    """A sweep from a job's properties or a pipeline's node. Raises BadGraph."""
    snake = {snake_of(key): value for key, value in given.items()}
    algorithm = snake.get("sampling_algorithm") or "random"
    if isinstance(algorithm, Mapping):
        algorithm = {snake_of(key): value for key, value in algorithm.items()}
    else:
        algorithm = {"sampling_algorithm_type": algorithm}
    objective = {snake_of(key): value for key, value in (snake.get("objective") or {}).items()}
    limits = {snake_of(key): value for key, value in (snake.get("limits") or {}).items()}
    seed = algorithm.get("seed")
    return Sweep(
        space={key: distribution(key, each) for key, each in space_in(snake).items()},
        algorithm=str(algorithm.get("sampling_algorithm_type") or algorithm.get("type")).lower(),
        seed=int(seed) if seed is not None else None,
        metric=str(objective.get("primary_metric") or ""),
        is_maximised=str(objective.get("goal")).lower() == "maximize",
        most_trials=int(limits.get("max_total_trials") or DEFAULT_TRIALS),
        concurrency=int(limits.get("max_concurrent_trials") or DEFAULT_CONCURRENCY),
        timeout_s=seconds(limits.get("timeout")),
        trial_timeout_s=seconds(limits.get("trial_timeout")),
    )


def space_in(snake: Mapping[str, Any]) -> Mapping[str, Any]:
    space = snake.get("search_space")
    if not isinstance(space, Mapping) or not space:
        raise BadGraph("The sweep has no search space.")
    return space


def distribution(key: str, given: object) -> Distribution:
    """`["uniform", [0, 1]]` or `{"type": "uniform", "min_value": 0, ...}`. Raises BadGraph."""
    if isinstance(given, Mapping):
        kind = str(given.get("type"))
        parameters = {name: given.get(name) for name in PARAMETERS.get(kind, ())}
    elif isinstance(given, list) and len(given) == 2 and isinstance(given[1], list):
        kind = str(given[0])
        parameters = dict(zip(PARAMETERS.get(kind, ()), given[1], strict=False))
    else:
        kind, parameters = "", {}
    if not parameters or any(parameters.get(name) is None for name in PARAMETERS[kind]):
        raise BadGraph(f"The search space of {key!r} is not understood: {given!r}.")
    if kind == "choice" and not (isinstance(parameters["values"], list) and parameters["values"]):
        raise BadGraph(f"The search space of {key!r} has no values to choose from.")
    return Distribution(kind, parameters)


def snake_of(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)


def best_of(measured: Mapping[str, float], *, is_maximised: bool) -> str | None:
    """The trial with the best value of the primary metric; None when none has one."""
    finite = {key: value for key, value in measured.items() if math.isfinite(value)}
    if not finite:
        return None
    return (max if is_maximised else min)(finite, key=lambda key: finite[key])
