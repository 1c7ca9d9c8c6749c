"""Filling the templates of pages. A page is one file, which loads no other."""

import base64
import hashlib
from functools import cache
from io import BytesIO
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from unrolled.bench.phrases import make_visible, plural
from unrolled.reports import formats
from unrolled.reports.words import page_limits, sentences


def fill_page_template(template: str, context: dict[str, Any]) -> bytes:
    """Return a page, from a template and the names that it reads.

    Style and script are inline. The page's policy (CSP) allows these two by their hashes and nothing else.
    """
    style = Markup(
        _make_environment().get_template("style.css").render(panels=len(context.get("panels", ())))
    )
    script = Markup(_make_environment().get_template("script.js").render())
    policy = (
        f"default-src 'none'; style-src '{_hash_inline(style)}'; script-src '{_hash_inline(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    filled = (
        _make_environment()
        .get_template(template)
        .generate(**context, style=style, script=script, policy=policy)
    )
    data = BytesIO()  # a page of 2,000 trials has megabytes, which are kept only once
    data.writelines(piece.encode() for piece in filled)
    return data.getvalue()


def _hash_inline(inline: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()}"


@cache
def _make_environment() -> Environment:
    jinja = Environment(
        loader=PackageLoader("unrolled.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_make_visible,
    )
    jinja.filters |= {
        "number": formats.format_number,
        "count": formats.format_count,
        "duration": formats.format_duration,
        "interval": formats.format_interval,
        "setting": formats.format_setting,
        "p": formats.format_p,
        "plural": plural,
        "quoted": formats.quote_name,
        "on_all": formats.describe_all,
    }
    jinja.globals |= {
        "describe_interaction": sentences.describe_interaction,
        "describe_mean": sentences.describe_mean,
        "remark": sentences.describe_remarks,
        "zone": page_limits.format_zone,
    }
    return jinja


def _make_visible(value: Any) -> Any:
    """Return a text with its invisible characters written out; Markup is our own, and stays as it is."""
    return value if isinstance(value, Markup) else make_visible(value)
