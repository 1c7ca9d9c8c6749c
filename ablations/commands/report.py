"""`unrolled report`: the pages of studies, and the index over them."""

from collections.abc import Sequence
from pathlib import Path

from unrolled.ablations.commits.chain.chain_record import find_page_folder, read_chains
from unrolled.ablations.ledger import Ledger
from unrolled.ablations.plans import plan_store
from unrolled.ablations.publishing.plan_comparison import compare_plan
from unrolled.ablations.publishing.plan_page import prepare_folder, read_page_results, render_page
from unrolled.ablations.terminal import print_line
from unrolled.bench.study_rules import StoppingRule


def report(studies: Sequence[str], results: Path, out: Path) -> int:
    """Render the reports of studies from the ledger, and the index."""
    ledger = Ledger(results)
    prepare_folder(out)
    chosen = plan_store.require_plans(studies, ledger)
    pages = [
        render_page(compare_plan(plan, read_page_results(plan, ledger)), find_page_folder(plan, out))
        for plan in chosen
    ]
    if any(plan.rules.stopping_rule == StoppingRule.PROPOSAL for plan in chosen):
        from unrolled.ablations.commits.chain.chain_rows import write_page

        for chain in read_chains(ledger):
            write_page(chain, ledger, out)
    print_line(f"report: {pages[0]}" if len(pages) == 1 else f"{len(pages)} reports: {out / 'index.html'}")
    return 0
