"""The description and the saved view of a study, as MLflow keeps them."""

import json

from tests.helpers.stub_results import build_plan
from unrolled.ablations.mlflow import views
from unrolled.bench.metric import Metric

MARK = "f00d-c0ffee"


def make_plan(arms=("a", "b"), settings=(), **facts):
    """Return a plan of these arms, which change these settings."""
    changes = dict.fromkeys(arms, dict.fromkeys(settings, 1))
    defaults = {"question": "Why?", "study_hash": "f00d" * 16, "command": ""}
    return build_plan(dict.fromkeys(arms, ()), changes, **{**defaults, **facts})


def read_state(plan, view=views.ARMS):
    """Return the state of a saved view."""
    return json.loads(
        json.loads(views.make_saved_views(plan, MARK)[f"mlflow.sharedViewState.{view}"])["state"]
    )


def test_names_are_no_markup():
    description = views.describe_study(
        make_plan(arms=("[x](javascript:y)", "*bold* `code` _low_ # ~~")), [], {}
    )
    assert r"Arms: \[x\](javascript:y), \*bold\* \`code\` \_low\_ \# \~\~" in description


def test_a_description_is_never_longer_than_a_tag():
    assert len(views.describe_study(make_plan(), ["x" * 900] * 100, {})) == 8000


def test_the_arms_are_sorted_by_the_studys_metric_the_best_first():
    assert (read_state(make_plan())["orderByKey"], read_state(make_plan())["orderByAsc"]) == (
        "metrics.`valid/loss`",
        True,
    )
    study = make_plan(metrics=(Metric("valid_accuracy", 0.02), Metric("valid_loss", 0.05)))
    assert (read_state(study)["orderByKey"], read_state(study)["orderByAsc"]) == (
        "metrics.`valid/accuracy`",
        False,
    )


def test_a_view_shows_one_plan_without_a_mean_of_runs():
    for view, role in ((views.ARMS, "= 'arm'"), (views.TRIALS, "!= 'study'")):
        state = read_state(make_plan(), view)
        assert state["searchFilter"] == f"tags.`unrolled.plan` = '{MARK}' and tags.`unrolled.role` {role}"
        assert state["groupBy"] is None


def test_an_arms_verdict_stands_beside_its_name():
    state = read_state(make_plan())
    assert state["columnOrder"][:2] == ["attributes.`Run Name`", "tags.`unrolled.verdict`"]


def test_a_gpus_columns_are_there_where_a_study_has_one():
    columns = read_state(make_plan(device="cuda"))["selectedColumns"]
    metrics = ["metrics.`speed_steady`", "metrics.`gpu_memory_peak`"]
    machine = ["tags.`machine.gpu`", "tags.`machine.driver`", "tags.`machine.cuda`"]
    assert {*metrics, *machine} <= {*columns}
    assert not {*metrics, *machine} & {*read_state(make_plan())["selectedColumns"]}


def test_the_view_has_a_column_for_up_to_eight_changed_settings():
    columns = read_state(make_plan(settings=("dropout", "lr")))["selectedColumns"]
    assert {"params.`dropout`", "params.`lr`", "attributes.`Dataset`"} <= set(columns)
    columns = read_state(make_plan(settings=tuple(f"f{i}" for i in range(30))))["selectedColumns"]
    assert sum(column.startswith("params") for column in columns) == 8


def test_the_views_fit_into_tags_however_many_arms_and_settings_there_are():
    many_arms = make_plan(arms=tuple(f'arm "{i}" é' for i in range(2000)))
    long_settings = make_plan(settings=tuple("é" * 240 + str(i) for i in range(8)))
    for study in (many_arms, long_settings):
        assert len(views.make_saved_views(study, MARK)) == 2
        assert max(map(len, views.make_saved_views(study, MARK).values())) <= 20_000
