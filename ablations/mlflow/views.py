"""Descriptions, links and saved views for MLflow's pages of a study. These are pure functions.

MLflow keeps a saved view (in its menu "Views") as a tag of the experiment that holds the page's state in
JSON. Source of the names: mlflow/server/js of 3.17, ExperimentPageUIState and
ExperimentPageSearchFacetsState.
"""

import html
import json
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from unrolled.ablations.mlflow.fields import MACHINE, TAG_LENGTH, fit_text, make_metric_key, to_key
from unrolled.ablations.plans.plan import Plan
from unrolled.bench.phrases import escape_markdown

# names of the saved views
ARMS = "by-arm"
TRIALS = "trials"

MOST_COLUMNS = 8  # a table with more columns of settings cannot be read

_LINE_CHART = {
    "lineSmoothness": 0,
    "scaleType": "linear",
    "xAxisScaleType": "linear",
    "xAxisKey": "step",
    "yAxisKey": "metric",
    "yAxisExpressions": [],
    "selectedXAxisMetricKey": "",
    "range": {},
    "useGlobalXaxisKey": True,
    "useGlobalLineSmoothing": True,
    "ignoreOutliers": False,
}
_ALL_RUNS = {"runsHiddenMode": "SHOW_ALL", "groupBy": None}  # shows all runs in the charts
_NAME_COLUMN = "attributes.`Run Name`"
_START_COLUMN = "attributes.start_time"
_VERDICT_COLUMN = "tags.`unrolled.verdict`"
_SEEDS_COLUMN = "tags.`unrolled.seeds`"
_FRONT_METRICS = 4  # metrics that stand between verdict and seeds
_PAGE_QUERY = {"workflowType": "machine_learning"}  # otherwise MLflow opens its pages for language models

HOME = f"#/experiments?{urlencode(_PAGE_QUERY)}"
"""The address of MLflow's list of studies, relative to the UI's root."""


def make_view_link(experiment: str, view: str, *, charts: bool = False) -> str:
    """Return the address of a saved view, as a table or as charts, relative to the UI's root."""
    query = dict(_PAGE_QUERY)
    if charts:
        query["compareRunsMode"] = "CHART"
    query["viewStateShareKey"] = view
    return f"#/experiments/{experiment}/runs?{urlencode(query)}"


def make_study_links(experiment: str, report: str) -> dict[str, str]:
    """Return the links of a study's description, by their text; `report` is the report's run, or ""."""
    links = {
        "Means by arm": make_view_link(experiment, ARMS),
        "Charts by arm": make_view_link(experiment, ARMS, charts=True),
        "Arms and trials": make_view_link(experiment, TRIALS),
    }
    if report:
        links["Report"] = f"#/experiments/{experiment}/runs/{report}/artifacts/index.html"
    return links


def make_saved_views(plan: Plan, mark: str) -> dict[str, str]:
    """Return the saved views as tags. They show the runs of the plan with this mark, for "" all runs.

    "By arm" has a line for each arm with its means, the best first, and charts of them. "Arms and trials" has
    the arms in the study's order with their trials beneath: MLflow nests only lists sorted by time, and
    counts arms and trials as runs.
    """
    role = "tags.`unrolled.role`"
    runs = f"tags.`unrolled.plan` = '{mark}' and {role}" if mark else role
    first = plan.rules.metrics[0]
    arms = {
        "searchFilter": f"{runs} = 'arm'" if mark else f"{runs} != 'study'",
        "orderByKey": f"metrics.`{make_metric_key(first.name)}`",
        "orderByAsc": first.lower_is_better,
        **_make_chart_section(plan),
    }
    trials = {"searchFilter": f"{runs} != 'study'", "orderByKey": _START_COLUMN, "orderByAsc": True}
    interval_columns = [
        f"metrics.`{make_metric_key(f'{metric.name} {end}')}`"
        for metric in plan.rules.metrics
        for end in ("low", "high")
    ]
    return {
        **_make_view_tag(ARMS, "By arm", arms, plan, [_VERDICT_COLUMN], interval_columns),
        **_make_view_tag(TRIALS, "Arms and trials", trials, plan, [], ["tags.`unrolled.reason`"]),
    }


def _make_view_tag(
    view: str,
    name: str,
    state: Mapping[str, object],
    plan: Plan,
    front_columns: Sequence[str],
    further_columns: Sequence[str],
) -> dict[str, str]:
    """Return a view as a tag, whose length MLflow limits to 20,000 characters.

    `front_columns` come first: at 1280 pixels they can be seen even beside MLflow's assistant, which unfolds
    on the first visit. Without the assistant there is room for four metrics, too.
    """
    settings = list(dict.fromkeys(setting for arm in plan.arms for setting in arm.changes))[:MOST_COLUMNS]
    machine = ("gpu", "driver", "cuda") if plan.device == "cuda" else ()
    facts = [*(f"tags.`{MACHINE}{fact}`" for fact in machine), "attributes.`Dataset`"]
    metrics = [f"metrics.`{make_metric_key(name)}`" for name in _list_table_metrics(plan)]
    params = [f"params.`{to_key(setting)}`" for setting in settings]
    columns = [
        *front_columns,
        *metrics[:_FRONT_METRICS],
        _SEEDS_COLUMN,
        *metrics[_FRONT_METRICS:],
        *further_columns,
        *params,
        *facts,
    ]
    table = {
        "selectedColumns": columns,
        "columnOrder": [_NAME_COLUMN, *columns],
        "columnWidths": {  # widths in pixels
            _NAME_COLUMN: 250,
            **dict.fromkeys(metrics, 100),
            _SEEDS_COLUMN: 120,
            _VERDICT_COLUMN: 180,
        },
    }
    page = json.dumps({**state, **table, **_ALL_RUNS}, ensure_ascii=False)
    saved_view = {"name": name, "createdAt": 0, "updatedAt": 0, "state": page}
    return {f"mlflow.sharedViewState.{view}": json.dumps(saved_view, ensure_ascii=False)}


def _list_table_metrics(plan: Plan) -> list[str]:
    """Return the metrics of a study's tables and charts."""
    on_a_gpu = plan.device == "cuda"
    return plan.mlflow_metrics.list_table_metrics(plan.rules.metric_names, on_a_gpu=on_a_gpu)


def _make_chart_section(plan: Plan) -> dict[str, object]:
    """Return the first section of charts."""
    curves = plan.mlflow_metrics.list_curves(plan.rules.metric_names)
    charts = [*(("BAR", name) for name in _list_table_metrics(plan)), *(("LINE", name) for name in curves)]
    cards = [_make_chart_card(chart_type, make_metric_key(name)) for chart_type, name in charts]
    section = {"uuid": "arms", "name": "Arms", "display": True, "isReordered": True}
    return {"compareRunSections": [section], "compareRunCharts": cards}


def _make_chart_card(chart_type: str, metric: str) -> dict[str, object]:
    """Return a card of the section of charts: bars of the last values, or lines over the epochs."""
    return {
        "uuid": f"{chart_type} {metric}",
        "type": chart_type,
        "metricKey": metric,
        "metricSectionId": "arms",
        "runsCountToCompare": 100,
        "isGenerated": False,
        "deleted": False,
        **(_LINE_CHART if chart_type == "LINE" else {}),
    }


def describe_study(plan: Plan, claims: Sequence[str], links: Mapping[str, str]) -> str:
    """Return a study's question and its report's claims, as Markdown without HTML; `links` by their text."""
    lines = [f"- {escape_markdown(claim)}" for claim in claims] or ["- no answer yet"]
    arms = ", ".join(escape_markdown(arm.name) for arm in plan.arms)
    command = html.escape(plan.command.replace("`", "'"), quote=False)
    parts = [
        escape_markdown(plan.rules.question),  # first, as MLflow's lists show the beginning unformatted
        "\n".join(lines),
        " · ".join(f"[{label}]({address})" for label, address in links.items()),
        escape_markdown(plan.rules.about),
        arms and f"Arms: {arms}",
        f"Plan {escape_markdown(plan.study_hash[:12])}" + (f", made by `{command}`" if command else ""),
    ]
    return fit_text("\n\n".join(filter(None, parts)), TAG_LENGTH)


def describe_arm(claim: str, seeds: str) -> str:
    """Return the description of an arm's run, as Markdown without HTML."""
    parts = [escape_markdown(claim), seeds and f"Seeds: {escape_markdown(seeds)}"]
    return fit_text("\n\n".join(filter(None, parts)), TAG_LENGTH)
