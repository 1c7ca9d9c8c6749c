"""`unrolled run golden`: the book's notebook replayed, its printed rows beside ours."""

from collections.abc import Iterator, Sequence

from unrolled.ablations.options import TRAINING, RunOptions, refuse
from unrolled.bench.chapter import golden as book
from unrolled.bench.errors import BadInput


def golden(names: Sequence[str], options: RunOptions) -> int:
    """Replay the book's notebook and print its rows beside ours. It is no study: it has no arms."""
    if list(names) != ["golden"]:
        raise BadInput(
            "golden is the book's notebook and no study", cure="run it alone, as `unrolled run golden`"
        )
    flags = {*TRAINING, "out"}
    refuse(options, flags, "golden is the book's notebook, played as it is", "leave the flag out")
    rows: list[book.GoldenRow] = []

    def play() -> Iterator[book.GoldenRow]:
        for row in book.play():
            rows.append(row)
            yield row

    for line in book.lines(play(), book.facts()):
        print(line, flush=True)
    print("", *book.summarise(rows), sep="\n")
    return 0
