"""What a seed alone decides: the faults with their times, and the chance of each worker."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

# How often each kind comes, and how long one lasts (s).
FAULTS = {
    "kill worker": (30, 0.0, 0.0),
    "stop worker": (15, 0.2, 3.0),
    "kill daemon": (6, 0.0, 0.0),
    "kill daemon and supervisor": (3, 0.0, 0.0),
    "stop daemon": (5, 0.3, 4.0),
    "kill redis": (8, 0.0, 0.0),
    "stop redis": (6, 0.1, 1.2),
    "cut wires": (12, 0.0, 0.0),
    "swallow": (6, 0.2, 1.0),
    "slow wires": (9, 0.5, 2.0),
}


@dataclass(frozen=True)
class Fault:
    """`at_s` after the start; `number` says which of those there are (a worker's slot)."""

    at_s: float
    kind: str
    lasts_s: float
    number: int


def faults(
    seed: int, every_s: float, workers: int, kinds: tuple[str, ...] = tuple(FAULTS)
) -> Iterator[Fault]:
    """The faults of a run, without end: one in `every_s` seconds on the average."""
    chance, at_s = random.Random(f"{seed} faults"), 0.0
    weights = [FAULTS[kind][0] for kind in kinds]
    while True:
        at_s += every_s * chance.uniform(0.4, 1.6)
        kind = chance.choices(kinds, weights)[0]
        yield Fault(
            round(at_s, 3),
            kind,
            round(chance.uniform(*FAULTS[kind][1:]), 3),
            chance.randrange(workers),
        )


def chance_of(seed: int, slot: int, generation: int) -> random.Random:
    """The choices of the worker that is the `generation`-th in its slot."""
    return random.Random(f"{seed} worker {slot} {generation}")
