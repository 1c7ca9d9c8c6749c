"""A study's comparison → one self-contained page, with its tables as files beside it."""

import base64
import hashlib
from collections.abc import Iterable
from functools import cache
from io import BytesIO
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from unrolled.bench.errors import plural, visible
from unrolled.bench.files import save, save_all
from unrolled.bench.trial import Result
from unrolled.reports import answer, claims, declaration, factorial, formats, gate, sections, tables
from unrolled.reports.comparison import Comparison
from unrolled.reports.design import page_of
from unrolled.reports.figures import forest, panels
from unrolled.reports.presentation import NOTHING, Extras
from unrolled.reports.scale import Scale
from unrolled.reports.statistics import wording


def render(comparison: Comparison, out: Path) -> Path:
    """Write `out`/<study>/index.html, comparison.csv, .md and trials.csv; return the page's path.

    The same results give the same bytes. Raises BadInput, leaving the report that was there, if these
    cannot be written.
    """
    page = page_of(comparison.design.study, out)
    texts = {page.with_name(name): text.encode() for name, text in tables.tables(comparison).items()}
    save_all({**texts, page: _fill_template(comparison.design.presentation.template, _context(comparison))})
    return page


class Entry(NamedTuple):
    """A study in the index."""

    study: str
    largest: float  # effect, in δ, by which the index is ordered
    html: Markup  # its question and answer, with a link to its page


def describe(c: Comparison) -> Entry:
    """What the index says of a study."""
    page = page_of(c.design.study, Path())
    html = _jinja().get_template("entry.html").render(**_answer(c), href=page.as_posix())
    return Entry(c.design.study, claims.largest(c), Markup(html))


def render_index(entries: Iterable[Entry], out: Path) -> Path:
    """Write `out`/index.html: every study, and links to the other pages there."""
    studies = sorted(entries, key=lambda entry: (-entry.largest, entry.study))
    others = sorted(path.name for path in out.glob("*.html") if path.name != "index.html")
    return write_page(out / "index.html", "index.html", {"studies": studies, "others": others})


def write_page(page: Path, template: str, context: dict[str, Any]) -> Path:
    """Write the filled template, once all of it is there, and return the path."""
    save(page, _fill_template(template, context))
    return page


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
    for name in ("number", "count", "seconds", "duration", "interval", "when", "level"):
        jinja.filters[name] = getattr(formats, name)
    jinja.filters |= {"p": formats.p_value, "plural": plural, "on_all": formats.on_all}
    jinja.globals |= {
        "describe_interaction": wording.describe_interaction,
        "remark": claims.remark,
        "zone": claims.zone,
    }
    return jinja


def _finalize(value: Any) -> Any:
    """Every text that a template prints, as text that can be seen; markup is ours and stays."""
    return value if isinstance(value, Markup) else visible(value)


def _context(c: Comparison) -> dict[str, Any]:
    shared = _answer(c)
    whole, extras = shared["whole"], shared["extras"]
    sweeps, environments, costs = sections.sweeps(c), sections.environments(c), sections.costs(c)
    told = {name for _, spent, _ in costs for name in spent}
    return {
        **shared,
        "study": c.design,
        **extras.context,
        "panels": forest.panels(c, extras),
        "gate_rows": gate.gate_rows(c),
        "bounded": any(row.interval for view in c.per_metric for row in view.rows),
        "broken": claims.arms_with_failures(c),
        "limits": claims.limits(c, environments) if c.design.plan_hash else tables.notes(c),
        "sweeps": sweeps,
        "columns": _columns(c),
        "stopped": tables.STOPPED,
        "curved": len(panels.common_seeds(c)),
        "costs": costs,
        "costs_of": {name: scale for name, scale in c.design.presentation.costs.items() if name in told},
        "devices": sections.devices(c),
        "environments": environments,
        "declaration": declaration.declaration(c),
        "earlier_attempts": declaration.earlier_attempts(c),
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
    return [line.striptags() for line in _answer(c)["answers"][0]]


def _answer(c: Comparison) -> dict[str, Any]:
    """The parts that a page and the index share."""
    whole = factorial.factorial(c)
    parts, find_extras = factorial.parts(c, whole), c.design.presentation.extras
    extras: Extras = resolve_name(find_extras)(c) if find_extras else NOTHING
    thorough = any(all(part.views.values()) for part in parts)
    return {
        "c": c,
        "whole": whole,
        "extras": extras,
        "answers": [
            answer.answer(view, parts, whole) if thorough and view is c else answer.answer(view)
            for view in c.per_metric
        ],
        "gate": gate.describe_gate(c),
        "standing": claims.standing(c),
        "futile": claims.futile_contrasts(c),
        "seen_data": claims.seen_data(c),
        "attempts": declaration.count_attempts(c),
        "tally": claims.tally(c),
        "warnings": (*claims.warnings(c), *extras.warnings),
        "spent": sum(result.spent for result in _results(c)),
        "parts": parts,
        "views": {v: d for v, d in factorial.VIEWS.items() if any(part.views[v] for part in parts)},
        "thorough": thorough,
    }
