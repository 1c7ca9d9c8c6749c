"""`unrolled run golden`: the book's notebook replayed, its printed rows beside ours."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from unrolled.ablations.commands.report import index, prepare_folder
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.options import TRAINING, RunOptions, refuse
from unrolled.bench.chapter import golden as book
from unrolled.bench.errors import BadInput
from unrolled.reports.chapter.golden import answer, render


def golden(names: Sequence[str], options: RunOptions) -> int:
    """Replay the book's notebook and compare its rows with the printed ones. It is no study, without arms."""
    if list(names) != ["golden"]:
        raise BadInput(
            "golden is the book's notebook and no study", cure="run it alone, as `unrolled run golden`"
        )
    refuse(options, TRAINING, "golden is the book's notebook, played as it is", "leave the flag out")
    prepare_folder(options.out)
    facts, rows = book.facts(), []

    def played() -> Iterator[book.GoldenRow]:
        for row in book.play():
            rows.append(row)
            yield row

    for line in book.lines(played(), facts):
        print(line, flush=True)
    shown = [{**asdict(row), "off": row.off} for row in rows]
    print("", *answer(shown), sep="\n")
    page = render(shown, facts, options.out)
    index(Ledger(options.results), options.out)  # which now links to the page
    print(f"report: {page}")
    return 0
