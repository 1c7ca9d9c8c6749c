"""The page of a comparison, and the index of pages: what their templates read, and how they are saved."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from unrolled.bench.files.atomic_files import save_file, save_files
from unrolled.bench.metric import LARGEST_FINITE
from unrolled.bench.phrases import select_phrases
from unrolled.reports import formats
from unrolled.reports.commits import audit_words, chain_page, gate_words
from unrolled.reports.commits.audit_words import AuditRow
from unrolled.reports.commits.gate_words import GateRow
from unrolled.reports.compare.compared_arm import ComparedArm
from unrolled.reports.compare.comparison import Comparison
from unrolled.reports.compare.design import Design, choose_seconds
from unrolled.reports.compare.factorial import CONTEXTS, Factorial, Part, find_parts, make_factorial
from unrolled.reports.compare.sweeps import Sweep, find_sweeps
from unrolled.reports.figures import curves, forest
from unrolled.reports.page import cost_rows, exports, machines
from unrolled.reports.page.summary import SUMMARY_NAME, Summary, find_page, hash_page, read_summaries
from unrolled.reports.presentation import Extras, FigureColumn
from unrolled.reports.scale import Scale
from unrolled.reports.templates.filling import fill_page_template
from unrolled.reports.words import (
    answer,
    contrast_lines,
    page_limits,
    page_warnings,
    study_state,
    table_notes,
)


@dataclass(frozen=True, kw_only=True)
class PageSentences:
    """What a page says of its comparison. A sentence or phrase is "" where there is none."""

    # by each metric in each of its units: a headline, then a line for each finding
    answers: Sequence[Sequence[Markup]]
    gate: str  # outcome of a gate
    gate_rows: Sequence[GateRow]
    proposal: str  # outcome of a proposal
    audit: str  # outcome of an audit
    audit_rows: Sequence[AuditRow]
    audit_notes: Sequence[str]
    contrast_tally: str  # how many contrasts are decided
    futile: str  # sentence on contrasts that are given up
    seen_data: str  # sentence on contrasts whose results were seen before the plan
    repeated_plans: str  # sentences on contrasts that were planned before
    earlier_plan_lines: Sequence[str]  # a line for each earlier plan of a contrast
    tally: str  # how many trials finished
    uncounted: str  # which trials do not count, and why
    failures: Sequence[tuple[ComparedArm, str]]  # arms with failures, and how many
    warnings: Sequence[str]
    limits: Sequence[str]
    declaration: str  # when the plan was declared


@dataclass(frozen=True, kw_only=True)
class Page:
    """The names that the template of a page reads."""

    sentences: PageSentences
    comparison: Comparison
    design: Design
    extras: Extras

    # the main figure, and the effect of each part
    panels: Sequence[forest.Panel]
    figure_columns: Mapping[str, FigureColumn]  # by metric
    trials_at_a_time: int  # the most that ran at the same time on a machine
    has_intervals: bool  # whether some row has an interval
    parts: Sequence[Part]
    contexts: Mapping[str, str]  # the contexts in which some part has a verdict, with their designs
    has_complete_part: bool  # whether some part has a verdict in each context
    factorial: Factorial | None
    effects: tuple[Sequence[tuple[str, str]], Sequence[Markup]] | None  # ticks, and a strip for each effect

    # pictures
    curves: Mapping[str, Mapping[int, Markup]]  # by metric and arm's index
    sweeps: Sequence[Sweep]
    sweep_seeds: Sequence[int]  # the numbers of converged seeds that learning rates have, rising
    sweep_pictures: Sequence[Markup]  # one for each of `sweeps`

    # tables
    columns: Mapping[str, Scale]  # scales of the table of all trials, by column
    stopping_note: str
    costs: Sequence[cost_rows.ArmCosts]
    cost_columns: Mapping[str, Scale]  # scales of the table of costs, by cost
    cost_decimals: Mapping[str, int]
    devices: Sequence[str]  # a phrase for each kind of GPU

    # provenance
    data: Sequence[str]  # hashes of the data
    environments: Mapping[str, str]  # facts of the machines


def render(comparison: Comparison, out: Path) -> Path:
    """Write `out`/<study>/index.html, its tables and its summary; return the page's path.

    The same results give the same bytes. Raises BadInput, and leaves the existing report in place, if these
    cannot be written.
    """
    path = find_page(comparison.design.rules.name, out)
    page = _make_page(comparison)
    html = fill_page_template(comparison.design.presentation.template, vars(page))
    texts = {path.with_name(name): text.encode() for name, text in exports.make_tables(comparison).items()}
    summary = _summarise_page(page, html)
    save_files({**texts, path: html, path.with_name(SUMMARY_NAME): summary.to_json()})
    return path


def _summarise_page(page: Page, html: bytes) -> Summary:
    """Return the summary of a page."""
    comparison = page.comparison
    sentences = page.sentences
    results = comparison.list_all_results()
    ends = [result.started + result.attempt_seconds for result in results]
    last_result = formats.format_day(max(ends)) if ends else ""
    seconds = sum(map(choose_seconds, results))
    facts = {
        f"Baseline {comparison.arms[0].name}": True,
        ", then ".join(view.scale.title for view in comparison.views): True,
        sentences.contrast_tally: True,
        sentences.tally: True,
        f"{formats.format_duration(seconds)} of training": seconds,
    }
    return Summary(
        study=comparison.design.rules.name,
        question=comparison.design.rules.question,
        answer=tuple(line.removesuffix(".") for line in write_answer_lines(comparison)),
        facts="; ".join(select_phrases(facts)),
        warnings=tuple(filter(None, (sentences.seen_data, sentences.repeated_plans, *sentences.warnings))),
        done_count=sum(arm.done_count for arm in comparison.arms),
        failed_count=sum(arm.failed_count for arm in comparison.arms),
        decided_count=sum(arm.state.has_ended for arm in comparison.judged_arms),
        contrast_count=len(comparison.judged_arms),
        last_result=last_result,
        study_hash=comparison.design.study_hash,
        largest_effect=min(contrast_lines.find_largest_effect(comparison), LARGEST_FINITE),
        page_hash=hash_page(html),
    )


def render_index(out: Path) -> Path:
    """Write `out`/index.html from the summaries of the pages there, with links to pages that have none.

    It is rewritten while pages change, so that no page is missing when several runs end at the same time.
    """
    page = out / "index.html"
    written = None
    while (summaries := read_summaries(out)) != written:
        save_file(page, fill_page_template("index.html", _make_index_context(summaries, out)))
        written = summaries
    return page


def _make_index_context(summaries: Mapping[Path, Summary | None], out: Path) -> dict[str, Any]:
    """Return what the index shows: studies, the largest effect first, and links to other pages."""
    studies = [(path.relative_to(out), summary) for path, summary in summaries.items() if summary]
    links = {path.relative_to(out): path.parent.name for path, summary in summaries.items() if not summary}
    links |= {path.relative_to(out): path.stem for path in out.glob("*.html") if path.name != "index.html"}
    studies.sort(key=lambda study: (-study[1].largest_effect, study[1].study))
    return {"studies": studies, "others": sorted(links.items())}


def _make_page(comparison: Comparison) -> Page:
    factorial = make_factorial(comparison)
    parts = find_parts(comparison, factorial)
    make_extras = comparison.design.presentation.make_extras
    extras = make_extras.load()(comparison) if make_extras else Extras()
    sweeps = find_sweeps(comparison)
    environments = machines.merge_environments(comparison)
    costs = cost_rows.average_costs(comparison)
    answers = _write_answers(comparison, parts, factorial)
    return Page(
        sentences=_make_page_sentences(comparison, answers, extras, environments),
        comparison=comparison,
        design=comparison.design,
        extras=extras,
        panels=forest.make_panels(comparison, extras),
        figure_columns=_find_figure_columns(comparison),
        trials_at_a_time=machines.count_trials_at_a_time(comparison),
        has_intervals=any(arm.interval for view in comparison.views for arm in view.arms),
        parts=parts,
        contexts={
            context: method
            for context, method in CONTEXTS.items()
            if any(part.verdicts[context] for part in parts)
        },
        has_complete_part=_has_complete_part(parts),
        factorial=factorial,
        effects=forest.draw_effects(factorial, comparison) if factorial else None,
        curves=curves.draw_curves(comparison),
        sweeps=sweeps,
        sweep_seeds=sorted(
            {summary.n - summary.diverged_count for _, points in sweeps for _, summary in points}
        ),
        sweep_pictures=curves.draw_sweeps(sweeps, comparison),
        columns=_find_columns(comparison),
        stopping_note=table_notes.STOPPED,
        costs=costs,
        cost_columns=_find_cost_columns(comparison, costs),
        cost_decimals=cost_rows.count_cost_decimals(costs, comparison),
        devices=machines.list_devices(comparison),
        data=sorted({result.trial.data for result in comparison.list_all_results()}),
        environments=environments,
    )


def _make_page_sentences(
    comparison: Comparison,
    answers: Sequence[Sequence[Markup]],
    extras: Extras,
    environments: dict[str, str],
) -> PageSentences:
    """Return what a page says; `answers` are those by each metric."""
    limits = table_notes.list_notes(comparison)
    if comparison.design.is_study:
        limits = page_limits.list_limits(comparison, environments)
    return PageSentences(
        answers=answers,
        gate=gate_words.describe_gate(comparison),
        gate_rows=gate_words.list_gate_rows(comparison),
        proposal=chain_page.describe_proposal_state(comparison),
        audit=audit_words.describe_audit(comparison),
        audit_rows=audit_words.list_audit_rows(comparison),
        audit_notes=audit_words.list_audit_notes(comparison),
        contrast_tally=study_state.describe_decided(comparison),
        futile=study_state.describe_futile_contrasts(comparison),
        seen_data=study_state.describe_seen_data(comparison),
        repeated_plans=study_state.describe_repeated_plans(comparison),
        earlier_plan_lines=study_state.list_earlier_plan_lines(comparison),
        tally=study_state.describe_trials(comparison),
        uncounted=study_state.describe_uncounted(comparison),
        failures=study_state.list_failures(comparison),
        warnings=(*page_warnings.list_warnings(comparison), *extras.warnings),
        limits=limits,
        declaration=study_state.describe_declaration(comparison),
    )


def _find_figure_columns(comparison: Comparison) -> dict[str, FigureColumn]:
    """Return the columns beside the figure whose metrics some trial has."""
    columns = comparison.design.presentation.figure_columns
    arms = [arm.counted_arm for arm in comparison.arms]
    return {
        name: column
        for name, column in columns.items()
        if any(arm.average_measured_values(name) for arm in arms)
    }


def _find_cost_columns(comparison: Comparison, costs: Sequence[cost_rows.ArmCosts]) -> dict[str, Scale]:
    """Return the scales of the costs that some arm has."""
    names = {name for _, arm_costs, _ in costs for name in arm_costs}
    return {
        name: scale for name, scale in comparison.design.presentation.cost_columns.items() if name in names
    }


def _find_columns(comparison: Comparison) -> dict[str, Scale]:
    """Return the scales of the columns of the table of all trials: metrics that some trial has."""
    judged = {metric.name: comparison.design.find_scale(metric) for metric in comparison.design.rules.metrics}
    presentation = comparison.design.presentation
    not_judged = [name for name in presentation.columns if name not in judged]
    scales = judged | {name: presentation.find_scale(name) for name in not_judged}
    metric_names = {name for result in comparison.list_all_results() for name in result.metrics}
    return {name: scale for name, scale in scales.items() if name in metric_names}


def write_answer_lines(comparison: Comparison) -> list[str]:
    """Return the answer by the first metric in plain text: the lines that a page begins with."""
    if comparison.gate:
        return gate_words.write_gate_lines(comparison)
    if comparison.proposal:
        return [f"{chain_page.describe_proposal_state(comparison)}."]
    if comparison.design.rules.audit:
        return audit_words.write_audit_lines(comparison)
    factorial = make_factorial(comparison)
    parts = find_parts(comparison, factorial)
    return [_format_plain_text(line) for line in _write_answers(comparison, parts, factorial)[0]]


def _format_plain_text(line: Markup) -> str:
    """Return a line of the answer without bold type; a name that has a comma is quoted."""
    return Markup(re.sub(r"<b>([^<]*,[^<]*)</b>", r"“\1”", str(line))).striptags()


def _write_answers(
    comparison: Comparison, parts: Sequence[Part], factorial: Factorial | None
) -> list[tuple[Markup, ...]]:
    """Return the answer by each metric in each of its units; the first answer has the effects of parts."""
    answers = []
    for view in comparison.views_by_unit:
        if view.metric == comparison.metric and _has_complete_part(parts):
            answers.append(answer.write_answer(view, parts, factorial))
        else:
            answers.append(answer.write_answer(view))
    return answers


def _has_complete_part(parts: Sequence[Part]) -> bool:
    """Return True if some part has a verdict in each context."""
    return any(all(part.verdicts.values()) for part in parts)
