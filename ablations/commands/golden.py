"""`unrolled run golden`: the book's notebook replayed, its printed rows beside ours."""

from collections.abc import Sequence

from unrolled.ablations.options import TRAINING_FLAGS, RunOptions, refuse_flags
from unrolled.bench.chapter.golden import describe_machine_differences, play, tabulate
from unrolled.bench.errors import require


def replay_golden(names: Sequence[str], options: RunOptions) -> int:
    """Replay the book's notebook and print its rows beside ours. It is no study: it has no arms."""
    rule = "golden is the book's notebook and no study"
    require(list(names) == ["golden"], rule, cure="run it alone, as `unrolled run golden`")
    flags = {*TRAINING_FLAGS, "out"}
    refuse_flags(options, flags, "golden is the book's notebook, played as it is", "leave the flag out")
    for line in tabulate(play(), describe_machine_differences()):
        print(line, flush=True)
    return 0
