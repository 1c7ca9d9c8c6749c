"""The check of a bundle, as the terminal shows it: its faults, its verdicts, and the page of its results."""

from pathlib import Path

from unrolled.ablations.bundles.bundle_faults import find_faults, list_unchecked_parts
from unrolled.ablations.bundles.unpacking import Bundle, explain_forged_results
from unrolled.ablations.publishing.plan_comparison import compare_plan
from unrolled.ablations.publishing.plan_page import render_page
from unrolled.ablations.terminal import print_line
from unrolled.bench.phrases import plural


def check_bundle(bundle: Bundle, out: Path) -> list[str]:
    """Print what a bundle holds, its faults and what cannot be checked. Returns the faults.

    If there are none, its verdicts are printed, too, and the page of its results is written below `out`.
    Raises BadInput if a result is one that no run writes.
    """
    from unrolled.reports.page.render import write_answer_lines  # imports matplotlib and pandas

    plan = bundle.plan
    comparison = None
    with explain_forged_results(bundle.path):
        faults = find_faults(bundle)
        if not faults:
            comparison = compare_plan(plan, bundle.results)
            page = render_page(comparison, out)
    for fault in faults:
        print_line(f"✗ {fault}")
    phrases = [
        f"plan {plan.study_hash[:12]}",
        f"{len(bundle.results)} of {plural(len(plan.ids), 'result')}",
        plural(len(faults), "fault"),
    ]
    print_line(f"{plan.study_name}: {', '.join(phrases)}")
    print_line(f"not checked: {', '.join(list_unchecked_parts(bundle))}")
    if comparison:
        for line in write_answer_lines(comparison):
            print_line(f"  {line}")
        print_line(f"report: {page}")
    else:
        print_line("no page is written of a bundle that has a fault")
    if not bundle.may_be_trained:
        print_line(
            "no trial was trained again, as that would run foreign code; --trust runs it (exit code 1)"
        )
    return faults
