"""A study's comparison → one self-contained page, with its tables as files beside it."""

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bench.files import save, save_all
from bench.trial import counted, visible
from reports import answer, factorial, merity, sections, text, tuning
from reports.book import SOURCE, Held, hold
from reports.comparison import Comparison, mean_of
from reports.figures import panels as figures
from reports.statistics import verdicts
from reports.statistics.verdicts import Word
from reports.tables import tables


def render(comparison: Comparison, out: Path) -> Path:
    """Write `out`/<study>/index.html, comparison.csv, .md, .tex and trials.csv; return the page's path.

    The same evidence gives the same bytes. Raises BadInput, leaving the report that was there, if these
    cannot be written.
    """
    folder = out / folder_name(comparison.evidence.study)
    page = folder / "index.html"
    texts = {folder / name: text.encode() for name, text in tables(comparison).items()}
    save_all({**texts, page: _filled("report.html", _context(comparison))})
    return page


def render_index(comparisons: Sequence[Comparison], out: Path) -> Path:
    """Write `out`/index.html: every study's question and claims, with a link to its page.

    And links to the pages of the chapter, the golden rows and the benchmarks that have been written.
    """
    found = [(c, answer.claims(c)) for c in comparisons]
    found.sort(key=lambda pair: (-_largest(pair[1]), pair[0].evidence.study))
    studies = [
        {
            "c": c,
            "claims": claims,
            "tally": answer.tally(c),
            "self_check": answer.self_check(c),
            "warnings": answer.warnings(c),
            "flips": answer.flips(tuning.own_best(c)),
            "brought": _brought(c, factorial.factorial(c)),
            "href": f"{folder_name(c.evidence.study)}/index.html",
        }
        for c, claims in found
    ]
    written = {name: (out / f"{name}.html").is_file() for name in ("chapter", "golden", "benchmarks")}
    return write_page(out / "index.html", "index.html", {"studies": studies, **written})


def folder_name(study: str) -> str:
    """The study's name where it is a plain one, else a hash: a name never decides where files go."""
    plain = study.replace("-", "").replace("_", "")
    if plain.isascii() and plain.isalnum() and len(study) <= 64 and study[0] not in "-_":
        return study
    return hashlib.sha256(study.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _largest(found: Sequence[answer.Claim]) -> float:
    """The size of the largest effect that a study is sure of."""
    sure = [c for c in found if c.verdict.word in (Word.IMPROVES, Word.WORSENS)]
    return max((abs(c.verdict.contrast.mean or 0.0) for c in sure), default=0.0)


def write_page(page: Path, template: str, context: dict[str, Any]) -> Path:
    """Write the filled template, once all of it is there, and return the path."""
    save(page, _filled(template, context))
    return page


def _filled(template: str, context: dict[str, Any]) -> bytes:
    """A page. Its style and script stand inline, under a policy that allows these two and nothing else."""
    style, script = Markup(_jinja().get_template("style.css").render()), Markup(_source("script.js"))
    policy = f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'"
    policy += "; base-uri 'none'; form-action 'none'"
    filled = _jinja().get_template(template).generate(**context, style=style, script=script, policy=policy)
    data = bytearray()
    for piece in filled:  # a page of 2,000 trials has megabytes: twice as many as text, and again when joined
        data += piece.encode()
    return bytes(data)


def _digest(inline: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()}"


@cache
def _source(name: str) -> str:
    return (resources.files("reports") / "templates" / name).read_text(encoding="utf-8")


@cache
def _jinja() -> Environment:
    jinja = Environment(
        loader=PackageLoader("reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    jinja.filters |= {"number": text.number, "p": text.p_value, "count": text.count, "seconds": text.seconds,
                      "interval": _interval, "when": text.when, "short": text.short,
                      "level": text.level, "counted": counted}  # fmt: skip
    jinja.tests["web"] = lambda link: link.startswith(("https://", "http://"))
    jinja.globals |= {
        "mean_of": mean_of,
        "together": verdicts.together,
        "costs_of": sections.COSTS,
        "fine": sections.FINE,
    }
    return jinja


def _finalize(value: Any) -> Any:
    """Every text that a template prints, as text that can be seen; markup is ours and stays."""
    return value if isinstance(value, Markup) else visible(value)


def _interval(ends: Any, digits: int = 4, sign: bool = False) -> str:
    return text.interval(ends.low, ends.high, digits, sign=sign) if ends else "–"


def _context(c: Comparison) -> dict[str, Any]:
    held, found, own_best = hold(c), sections.sweeps(c), tuning.own_best(c)
    whole = factorial.factorial(c)
    brought = _brought(c, whole)
    environments = sections.environments(c)
    started = [r.started for arm in c.evidence.arms for r in arm.results.values() if r.started]
    return {
        "c": c,
        "study": c.evidence,
        "base": c.rows[0],
        "claims": answer.claims(c),
        "open": answer.FEW if brought["parts"] else answer.OPEN,
        "tally": answer.tally(c),
        "broken": answer.broken(c),
        "fits": answer.fits(held) if held else "",
        "self_check": answer.self_check(c),
        "warnings": answer.warnings(c),
        "flips": answer.flips(own_best),
        "limits": answer.limits(c, environments),
        "held": held,
        "book_source": SOURCE,
        "merity": merity.paper_table(c),
        "merity_source": merity.SOURCE,
        "roles": sections.roles(c),
        "passage": sections.passage(c),
        "ranks": sections.ranks(c),
        "whole": whole,
        "brought": brought,
        "throughput": sections.throughput(c),
        "unpaced": sections.unpaced(c),
        "sweeps": found,
        "own_best": own_best,
        "tuned": tuning.words(own_best[0].search.setting) if own_best else "",
        "targets": sections.targets(c),
        "costs": sections.costs(c),
        "devices": sections.devices(c),
        "environments": environments,
        "reuse": sections.reuse(c.evidence),
        "started": min(started, default=None),
        "data": sorted({r.trial.data for arm in c.evidence.arms for r in arm.results.values()}),
        "linked": any(arm.links for arm in c.evidence.arms),
        "most": figures.PANELS,
        "pictures": _pictures(c, held, found, own_best, whole),
    }


def _brought(c: Comparison, whole: factorial.Factorial | None) -> dict[str, Any]:
    """What each part brings, in the views that there are, and whether a part has them all."""
    parts = factorial.parts(c, whole)
    return {
        "parts": parts,
        "views": {v: d for v, d in factorial.VIEWS.items() if any(part.views[v] for part in parts)},
        "whole": whole,
        "thorough": any(all(part.views.values()) for part in parts),
    }


def _pictures(
    c: Comparison,
    held: Sequence[Held],
    found: Sequence[sections.Sweep],
    own_best: Sequence[tuning.OwnBest],
    whole: factorial.Factorial | None,
) -> dict[str, Markup | None]:
    """The figures for which there is data."""
    paired = any(row.contrast.differences for row in c.compared if row.contrast)
    return {
        "forest": figures.forest(c) if c.compared else None,
        "slopes": figures.slopes(c) if paired else None,
        "curves": figures.curves(c) if figures.curve_rows(c) else None,
        "book": figures.book(held) if held else None,
        "sweep": figures.sweeps(found, c) if found else None,
        "effects": figures.effects(whole, c) if whole else None,
        "interplay": figures.interactions(whole, c) if whole else None,
        "best_of_n": figures.best_of_n(own_best, c) if figures.best_rows(own_best) else None,
    }
