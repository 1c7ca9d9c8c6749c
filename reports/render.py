"""A study's comparison → one self-contained page, with its tables as files beside it."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from unrolled.bench.errors import plural, visible
from unrolled.bench.files import save_file, save_files
from unrolled.bench.metric import LARGEST
from unrolled.bench.trial import Result
from unrolled.reports import answer, caveats, factorial, formats, gate, sections, sentences, tables
from unrolled.reports.comparison import Comparison
from unrolled.reports.design import page_of
from unrolled.reports.factorial import Factorial, Part
from unrolled.reports.figures import forest, panels
from unrolled.reports.presentation import NOTHING, Extras, Scale
from unrolled.reports.summary import NAME as SUMMARY_NAME
from unrolled.reports.summary import Summary, hash_page, read_summaries


def render(comparison: Comparison, out: Path) -> Path:
    """Write `out`/<study>/index.html, its tables and its summary; return the page's path.

    The same results give the same bytes. Raises BadInput, leaving the report that was there, if these
    cannot be written.
    """
    page = page_of(comparison.design.study, out)
    context = _context(comparison)
    html = _fill_template(comparison.design.presentation.template, context)
    texts = {page.with_name(name): text.encode() for name, text in tables.tables(comparison).items()}
    summary = _summarise(comparison, context, html)
    save_files({**texts, page: html, page.with_name(SUMMARY_NAME): summary.to_json()})
    return page


def _summarise(c: Comparison, context: Mapping[str, Any], html: bytes) -> Summary:
    """The summary of a page, which was filled with this context."""
    results = _results(c)
    ends = [result.started + result.seconds for result in results]
    spent = sum(result.spent for result in results)
    metrics = ", then ".join(view.title for view in c.per_metric)
    facts = [f"Baseline {c.rows[0].arm.name}", metrics, context["standing"], context["tally"]]
    facts += [f"{formats.duration(spent)} of training"] if spent else []
    warnings = (context["seen_data"], context["attempts"], *context["warnings"])
    return Summary(
        study=c.design.study,
        question=c.design.question,
        answer=tuple(line.removesuffix(".") for line in answer_lines(c)),
        facts="; ".join(filter(None, facts)),
        warnings=tuple(filter(None, warnings)),
        done=sum(row.done for row in c.rows),
        failed=sum(row.failed for row in c.rows),
        decided=sum(row.decided for row in c.rows_to_decide),
        contrasts=len(c.rows_to_decide),
        last_result=formats.day(max(ends)) if ends else "",
        plan=c.design.plan_hash,
        largest_effect=min(sentences.largest(c), LARGEST),
        page=hash_page(html),
    )


def write_index(out: Path) -> Path:
    """Write `out`/index.html from the summaries of the pages there, with links to what has none.

    It is written again while pages change, so that it lacks none where several runs end at a time.
    """
    page = out / "index.html"
    written = None
    while (summaries := read_summaries(out)) != written:
        save_file(page, _fill_template("index.html", _index_context(summaries, out)))
        written = summaries
    return page


def _index_context(summaries: Mapping[Path, Summary | None], out: Path) -> dict[str, Any]:
    """The studies of the index, of the largest effect first, and its other links: each with its address."""
    studies = [(path.relative_to(out), summary) for path, summary in summaries.items() if summary]
    others = {path.relative_to(out): path.parent.name for path, summary in summaries.items() if not summary}
    others |= {path.relative_to(out): path.stem for path in out.glob("*.html") if path.name != "index.html"}
    studies.sort(key=lambda study: (-study[1].largest_effect, study[1].study))
    return {"studies": studies, "others": sorted(others.items())}


def _fill_template(template: str, context: dict[str, Any]) -> bytes:
    """A page. Its style and script stand inline, under a policy that allows these two and nothing else."""
    panels = len(context.get("panels", ()))
    style = Markup(_jinja().get_template("style.css").render(panels=panels))
    script = Markup(_jinja().get_template("script.js").render())
    policy = f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'"
    policy += "; base-uri 'none'; form-action 'none'"
    filled = _jinja().get_template(template).generate(**context, style=style, script=script, policy=policy)
    data = BytesIO()  # a page of 2,000 trials has megabytes: more than once is not needed
    data.writelines(piece.encode() for piece in filled)
    return data.getvalue()


def _digest(inline: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()}"


@cache
def _jinja() -> Environment:
    jinja = Environment(
        loader=PackageLoader("unrolled.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    for name in ("number", "count", "seconds", "interval", "level"):
        jinja.filters[name] = getattr(formats, name)
    jinja.filters |= {"p": formats.p_value, "plural": plural, "on_all": formats.on_all}
    jinja.globals |= {
        "describe_interaction": sentences.describe_interaction,
        "remark": sentences.remark,
        "zone": caveats.zone,
    }
    return jinja


def _finalize(value: Any) -> Any:
    """Every text that a template prints, as text that can be seen; markup is ours and stays."""
    return value if isinstance(value, Markup) else visible(value)


def _context(c: Comparison) -> dict[str, Any]:
    whole = factorial.factorial(c)
    parts = factorial.parts(c, whole)
    find_extras = c.design.presentation.extras
    extras: Extras = resolve_name(find_extras)(c) if find_extras else NOTHING
    sweeps, environments, costs = sections.sweeps(c), sections.environments(c), sections.costs(c)
    told = {name for _, spent, _ in costs for name in spent}
    return {
        "c": c,
        "study": c.design,
        "whole": whole,
        "extras": extras,
        **extras.context,
        "answers": _answers(c, parts, whole),
        "gate": gate.describe_gate(c),
        "standing": caveats.standing(c),
        "futile": caveats.futile_contrasts(c),
        "seen_data": caveats.seen_data(c),
        "attempts": caveats.count_attempts(c),
        "tally": caveats.tally(c),
        "warnings": (*caveats.warnings(c), *extras.warnings),
        "parts": parts,
        "views": {v: d for v, d in factorial.VIEWS.items() if any(part.views[v] for part in parts)},
        "thorough": _is_thorough(parts),
        "panels": forest.panels(c, extras),
        "gate_rows": gate.gate_rows(c),
        "bounded": any(row.interval for view in c.per_metric for row in view.rows),
        "broken": caveats.arms_with_failures(c),
        "limits": caveats.limits(c, environments) if c.design.plan_hash else tables.notes(c),
        "sweeps": sweeps,
        "columns": _columns(c),
        "stopped": tables.STOPPED,
        "curved": len(panels.common_seeds(c)),
        "costs": costs,
        "costs_of": {name: scale for name, scale in c.design.presentation.costs.items() if name in told},
        "devices": sections.devices(c),
        "environments": environments,
        "declaration": caveats.declaration(c),
        "earlier_attempts": caveats.earlier_attempts(c),
        "data": sorted({r.trial.data for r in _results(c)}),
        "effects": forest.effects(whole, c) if whole else None,
        "pictures": {"curves": panels.curves(c), "sweeps": panels.sweeps(sweeps, c)},
    }


def _results(c: Comparison) -> list[Result]:
    return [r for arm in c.design.arms for r in arm.trials.values()]


def _columns(c: Comparison) -> dict[str, Scale]:
    """The metrics of the table of all trials that some trial has, and how they are read."""
    judged, presentation = {m.name: c.design.scale(m) for m in c.design.metrics}, c.design.presentation
    scales = judged | {n: presentation.scale(n) for n in presentation.columns if n not in judged}
    told = {name for result in _results(c) for name in result.metrics}
    return {name: scale for name, scale in scales.items() if name in told}


def answer_lines(c: Comparison) -> list[str]:
    """The answer by the first metric, as a page begins with it, in plain text; of a gate its outcome."""
    if c.gate:
        return gate.gate_lines(c)
    whole = factorial.factorial(c)
    return [line.striptags() for line in _answers(c, factorial.parts(c, whole), whole)[0]]


def _answers(c: Comparison, parts: Sequence[Part], whole: Factorial | None) -> list[tuple[Markup, ...]]:
    """The answer by each metric, by the first one with the effects of switches."""
    first = answer.answer(c, parts, whole) if _is_thorough(parts) else answer.answer(c)
    return [first, *map(answer.answer, c.others)]


def _is_thorough(parts: Sequence[Part]) -> bool:
    """Return True if each view of some switch has an effect."""
    return any(all(part.views.values()) for part in parts)
