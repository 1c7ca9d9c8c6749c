"""What a person finds in MLflow's pages: a study's description, and its trials grouped by arm. Pure.

MLflow keeps a saved view (its menu "Views") as a tag of the experiment: the page's state in JSON. Source of
the names: mlflow/server/js of 3.17, ExperimentPageUIState and ExperimentPageSearchFacetsState.
"""

import html
import json
import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from ablations.tracking.entry import TAG_LENGTH, StudyFacts, key, section, text
from bench.trial import lower_is_better

VIEW = "by-arm"
MOST_COLUMNS = 8  # of factors: a wider table cannot be read
EXPERIMENT_TAG_LENGTH = 20_000  # characters that MLflow takes

_LINES = {
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
_NAME = "attributes.`Run Name`"
_PAGE = {"workflowType": "machine_learning"}  # else MLflow opens among its pages for language models


def first_page(port: int) -> str:
    """The address of MLflow's list of studies."""
    return f"http://127.0.0.1:{port}/#/experiments?{urlencode(_PAGE)}"


def view_link(experiment: str, *, charts: bool) -> str:
    """The experiment's trials grouped by arm, as a table or as charts; from the UI's root."""
    mode = {"compareRunsMode": "CHART"} if charts else {}
    return f"#/experiments/{experiment}/runs?{urlencode({**_PAGE, **mode, 'viewStateShareKey': VIEW})}"


def run_link(experiment: str, run: str, artifact: str = "") -> str:
    """The page of one run, or of one of its files; from the UI's root."""
    return f"#/experiments/{experiment}/runs/{run}" + (f"/artifacts/{artifact}" if artifact else "")


def view(study: StudyFacts) -> dict[str, str]:
    """The saved view as a tag: trials alone, one line an arm with its means, the best first; three charts.

    What does not fit into a tag is left out: how the groups are folded, then the columns of the factors.
    """
    factors = study.factors[:MOST_COLUMNS]
    for arms, columns in (study.arms, factors), ((), factors), ((), ()):
        state = json.dumps(_state(study.metric, arms, columns))
        saved = json.dumps({"name": "By arm", "createdAt": 0, "updatedAt": 0, "state": state})
        if len(saved) <= EXPERIMENT_TAG_LENGTH:
            break
    return {f"mlflow.sharedViewState.{VIEW}": saved}


def _state(metric: str, arms: Sequence[str], factors: Sequence[str]) -> dict[str, object]:
    shown = section(metric)
    metrics = [f"metrics.`{name}`" for name in dict.fromkeys([shown, "valid/accuracy", "speed/train"])]
    settings = [f"params.`{key(name)}`" for name in factors]
    columns = [*metrics, *settings, "attributes.`Dataset`", "tags.`unrolled.reason`"]
    return {
        "searchFilter": "tags.`unrolled.role` = 'trial'",
        "orderByKey": metrics[0],
        "orderByAsc": lower_is_better(metric),
        "selectedColumns": columns,
        "columnOrder": [_NAME, *columns],
        "columnWidths": {_NAME: 320, **dict.fromkeys(metrics, 120)},
        "groupBy": {
            "aggregateFunction": "average",
            "groupByKeys": [{"mode": "param", "groupByData": "arm"}],
        },
        "groupsExpanded": {f"param.arm.{arm}": False for arm in arms},
        "runsHiddenMode": "SHOW_ALL",
        "compareRunSections": [{"uuid": "arms", "name": "Arms", "display": True, "isReordered": True}],
        "compareRunCharts": [_chart("BAR", shown), _chart("LINE", shown), _chart("LINE", "train/loss")],
    }


def _chart(kind: str, metric: str) -> dict[str, object]:
    """One card of the section of charts: bars of the last values, or lines over the epochs."""
    return {
        "uuid": f"{kind} {metric}",
        "type": kind,
        "metricKey": metric,
        "metricSectionId": "arms",
        "runsCountToCompare": 100,
        "isGenerated": False,
        "deleted": False,
        **(_LINES if kind == "LINE" else {}),
    }


def description(study: StudyFacts, links: Mapping[str, str]) -> str:
    """What the study asks and answers, as Markdown without HTML; `links` by the words that carry them."""
    answers = [f"- {_plain(answer)}" for answer in study.answers] or ["- no answer yet"]
    arms = ", ".join(_plain(arm) for arm in study.arms)
    parts = [
        _plain(study.question),  # first and plain: MLflow's lists show the beginning as it is
        "\n".join(answers),
        " · ".join(f"[{words}]({address})" for words, address in links.items()),
        _plain(study.about),
        arms and f"Arms: {arms}",
        f"Plan {_plain(study.plan[:12])}" + (f", made by `{_code(study.command)}`" if study.command else ""),
    ]
    return text("\n\n".join(filter(None, parts)), TAG_LENGTH)


def _plain(value: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", html.escape(value, quote=False))


def _code(value: str) -> str:
    return html.escape(value.replace("`", "'"), quote=False)
