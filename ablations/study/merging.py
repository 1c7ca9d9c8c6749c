"""Arms of equal content become one."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from unrolled.ablations.study.study import Arm
from unrolled.bench.errors import require
from unrolled.bench.trial import canonical


def merge_arms(arms: Sequence[Arm], content: Callable[[Arm], object]) -> tuple[Arm, ...]:
    """The arms, those of equal `content` once: the first keeps its name and lists the others'.

    An arm's `against` becomes the name of the arm that is kept. To name the baseline there or no arm is the
    same, so two such arms become one. The baseline's own cell of a factorial has no name. Raises BadInput for
    two arms of one name.
    """
    kept: dict[bytes, Arm] = {}
    names: dict[str, str] = {}  # of the arm that each became
    for arm in arms:
        against = arm.against and names[arm.against]
        other = against if against != arms[0].name else ""
        key = canonical([content(arm), arm.seed_offset, other])
        first = kept.setdefault(key, replace(arm, against=against))
        names[arm.name] = first.name
        if arm.name and arm.name != first.name:
            kept[key] = replace(
                first,
                also=(*dict.fromkeys((*first.also, arm.name, *arm.also)),),
                question=first.question or arm.question,
                note=first.note or arm.note,
                exploratory=first.exploratory and arm.exploratory,
                identical=first.identical or arm.identical,
                against=first.against or against,
            )
    for name, count in Counter(arm.name for arm in kept.values()).items():
        require(count == 1, f"two arms are called {name!r}", cure="give one of them another name")
    return tuple(kept.values())
