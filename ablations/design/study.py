"""A study: a question, the arms that answer it, and their trials, hashed before the first is trained."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field

from ablations.design.settings import Settings
from ablations.design.study_file import Written
from bench.trial import Scalar, Trial, canonical


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One arm: what it changes against the baseline, and everything that its trials are set to.

    `settings` are the fields of a Trial without the seed; `changes` are those that differ from the
    baseline's, by their flat names: with another model its chapter settings stand among them. `also` are
    the names under which the design asked for the very same arm. A trial's seed is the study's seed plus
    `seed_offset`; the pair stays with the study's seed. An arm that is held `against` another one than the
    baseline names it, and has its changes against that one.
    """

    name: str
    settings: Settings
    changes: Mapping[str, Scalar] = field(default_factory=dict)
    question: str = ""
    note: str = ""
    exploratory: bool = False
    against: str = ""
    seed_offset: int = 0
    also: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What every tuned arm searches: the levels of one setting, on seeds that no other trial has."""

    setting: str
    levels: tuple[Scalar, ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Study:
    """A question, and the arms that answer it. The first arm is the baseline.

    `metric` is a name in Result.metrics, `equivalence` the largest difference in its units that counts as
    none. `written` is the file as it stands, from which `override` starts again.
    """

    name: str
    question: str
    about: str
    metric: str
    equivalence: float
    seeds: tuple[int, ...]
    arms: tuple[Arm, ...]
    tuning: Tuning | None = None
    path: str
    written: Written = field(repr=False, compare=False)

    @property
    def baseline(self) -> Arm:
        """The arm that every other one is held against."""
        return self.arms[0]

    @property
    def plan(self) -> str:
        """sha256 of what is decided: question, metric, equivalence, seeds, the arms' settings, the tuning."""
        decided = {
            **{key: getattr(self, key) for key in ("name", "question", "metric", "equivalence", "seeds")},
            "arms": [
                {
                    "name": arm.name,
                    "settings": arm.settings,
                    "exploratory": arm.exploratory,
                    "seed_offset": arm.seed_offset,
                    **({"against": arm.against} if arm.against else {}),
                }
                for arm in self.arms
            ],
            **({"tuning": asdict(self.tuning)} if self.tuning else {}),
        }
        return hashlib.sha256(canonical(decided)).hexdigest()


def trials(study: Study, identify: Callable[[Trial], Trial]) -> list[tuple[str, Trial]]:
    """(arm name, trial) seed by seed, so that a study that is cut short still has whole pairs.

    `identify` fills in the hashes of source and data. Every trial is listed once.
    """
    return [
        (arm.name, identify(Trial(seed=seed + arm.seed_offset, **arm.settings)))
        for seed in study.seeds
        for arm in study.arms
    ]
