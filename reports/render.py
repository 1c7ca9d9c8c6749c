"""A study's comparison → one self-contained page, with its tables as files beside it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from markupsafe import Markup

from unrolled.bench.atomic_files import save_file, save_files
from unrolled.bench.metric import LARGEST
from unrolled.bench.trial import Result
from unrolled.reports import (
    answer,
    caveats,
    exports,
    factorial,
    formats,
    sections,
    sentences,
)
from unrolled.reports.commits import audit, chain, gate
from unrolled.reports.comparison import Comparison
from unrolled.reports.design import find_page
from unrolled.reports.factorial import Factorial, Part
from unrolled.reports.figures import forest, panels
from unrolled.reports.page_template import fill_template
from unrolled.reports.presentation import NOTHING, Extras, Scale
from unrolled.reports.summary import SUMMARY_NAME, Summary, hash_page, read_summaries


def render(comparison: Comparison, out: Path) -> Path:
    """Write `out`/<study>/index.html, its tables and its summary; return the page's path.

    The same results give the same bytes. Raises BadInput, leaving the report that was there, if these
    cannot be written.
    """
    page = find_page(comparison.design.study, out)
    context = _build_context(comparison)
    html = fill_template(comparison.design.presentation.template, context)
    texts = {page.with_name(name): text.encode() for name, text in exports.make_tables(comparison).items()}
    summary = _summarise_page(comparison, context, html)
    save_files({**texts, page: html, page.with_name(SUMMARY_NAME): summary.to_json()})
    return page


def _summarise_page(c: Comparison, context: Mapping[str, Any], html: bytes) -> Summary:
    """Return the summary of a page, which was filled with this context."""
    results = _list_results(c)
    ends = [result.started + result.seconds for result in results]
    spent = sum(result.training_seconds for result in results)
    metrics = ", then ".join(view.title for view in c.per_metric)
    facts = [f"Baseline {c.arms[0].arm.name}", metrics, context["standing"], context["tally"]]
    if spent:
        facts.append(f"{formats.format_duration(spent)} of training")
    warnings = (context["seen_data"], context["attempts"], *context["warnings"])
    return Summary(
        study=c.design.study,
        question=c.design.question,
        answer=tuple(line.removesuffix(".") for line in answer_lines(c)),
        facts="; ".join(filter(None, facts)),
        warnings=tuple(filter(None, warnings)),
        done=sum(row.done for row in c.arms),
        failed=sum(row.failed for row in c.arms),
        decided=sum(row.decided for row in c.arms_to_decide),
        contrasts=len(c.arms_to_decide),
        last_result=formats.format_day(max(ends)) if ends else "",
        plan=c.design.plan_hash,
        largest_effect=min(sentences.find_largest_effect(c), LARGEST),
        page=hash_page(html),
    )


def write_index(out: Path) -> Path:
    """Write `out`/index.html from the summaries of the pages there, with links to what has none.

    It is written again while pages change, so that it lacks none where several runs end at a time.
    """
    page = out / "index.html"
    written = None
    while (summaries := read_summaries(out)) != written:
        save_file(page, fill_template("index.html", _index_context(summaries, out)))
        written = summaries
    return page


def _index_context(summaries: Mapping[Path, Summary | None], out: Path) -> dict[str, Any]:
    """Return the studies of the index, the largest effect first, and its other links, with addresses."""
    studies = [(path.relative_to(out), summary) for path, summary in summaries.items() if summary]
    links = {path.relative_to(out): path.parent.name for path, summary in summaries.items() if not summary}
    links |= {path.relative_to(out): path.stem for path in out.glob("*.html") if path.name != "index.html"}
    studies.sort(key=lambda study: (-study[1].largest_effect, study[1].study))
    return {"studies": studies, "others": sorted(links.items())}


def _build_context(c: Comparison) -> dict[str, Any]:
    grid = factorial.find_factorial(c)
    parts = factorial.find_parts(c, grid)
    find_extras = c.design.presentation.extras
    extras: Extras = resolve_name(find_extras)(c) if find_extras else NOTHING
    sweeps = sections.find_sweeps(c)
    environments = sections.merge_environments(c)
    costs = sections.average_costs(c)
    cost_names = {name for _, arm_costs, _ in costs for name in arm_costs}
    return {
        "c": c,
        "study": c.design,
        "grid": grid,
        "extras": extras,
        **extras.context,
        "answers": _write_answers(c, parts, grid),
        "gate": gate.describe_gate(c),
        "standing": caveats.describe_decided(c),
        "futile": caveats.describe_futile_contrasts(c),
        "seen_data": caveats.describe_seen_data(c),
        "attempts": caveats.describe_attempts(c),
        "tally": caveats.describe_trials(c),
        "warnings": (*caveats.list_warnings(c), *extras.warnings),
        "parts": parts,
        "views": {v: d for v, d in factorial.VIEWS.items() if any(part.views[v] for part in parts)},
        "thorough": _is_thorough(parts),
        "panels": forest.make_panels(c, extras),
        "proposal": chain.describe_proposal(c),
        "gate_rows": gate.list_gate_rows(c),
        "audit": audit.describe_audit(c),
        "audit_rows": audit.list_audit_rows(c),
        "audit_notes": audit.list_notes(c),
        "bounded": any(row.interval for view in c.per_metric for row in view.arms),
        "failures": caveats.list_failures(c),
        "limits": caveats.list_limits(c, environments) if c.design.plan_hash else exports.list_notes(c),
        "sweeps": sweeps,
        "sweep_seeds": sorted({s.n - s.diverged for _, points in sweeps for _, s in points}),
        "columns": _find_columns(c),
        "figure_columns": {
            name: head
            for name, head in c.design.presentation.figure_columns.items()
            if any(row.arm.average_metric(name) for row in c.arms)
        },
        "stopped": exports.STOPPED,
        "costs": costs,
        "costs_of": {
            name: scale for name, scale in c.design.presentation.costs.items() if name in cost_names
        },
        "cost_digits": sections.count_cost_digits(costs, c),
        "devices": sections.describe_devices(c),
        "environments": environments,
        "declaration": caveats.describe_declaration(c),
        "earlier_attempts": caveats.list_earlier_attempts(c),
        "data": sorted({r.trial.data for r in _list_results(c)}),
        "effects": forest.draw_effects(grid, c) if grid else None,
        "pictures": {"curves": panels.draw_curves(c), "sweeps": panels.draw_sweeps(sweeps, c)},
    }


def _list_results(c: Comparison) -> list[Result]:
    return [r for arm in c.design.arms for r in arm.results.values()]


def _find_columns(c: Comparison) -> dict[str, Scale]:
    """Return the metrics of the table of all trials that some trial has, and how they are read."""
    judged = {m.name: c.design.find_scale(m) for m in c.design.metrics}
    presentation = c.design.presentation
    scales = judged | {n: presentation.find_scale(n) for n in presentation.columns if n not in judged}
    metric_names = {name for result in _list_results(c) for name in result.metrics}
    return {name: scale for name, scale in scales.items() if name in metric_names}


def answer_lines(c: Comparison) -> list[str]:
    """Return the answer by the first metric, as a page begins with it, in plain text."""
    if c.gate:
        return gate.write_gate_lines(c)
    if c.proposal:
        return [f"{chain.describe_proposal(c)}."]
    if c.design.audit:
        return audit.write_audit_lines(c)
    grid = factorial.find_factorial(c)
    return [line.striptags() for line in _write_answers(c, factorial.find_parts(c, grid), grid)[0]]


def _write_answers(c: Comparison, parts: Sequence[Part], grid: Factorial | None) -> list[tuple[Markup, ...]]:
    """Return the answer by each metric in each of its units; by the first, with the effects of switches."""
    answers = []
    for view in c.readings:
        if view.metric == c.metric and _is_thorough(parts):
            answers.append(answer.write_answer(view, parts, grid))
        else:
            answers.append(answer.write_answer(view))
    return answers


def _is_thorough(parts: Sequence[Part]) -> bool:
    """Return True if each view of some switch has an effect."""
    return any(all(part.views.values()) for part in parts)
