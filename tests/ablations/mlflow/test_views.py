"""The description and the saved view of a study, as MLflow keeps them."""

import json

from stub_plans import planned

from unrolled.ablations.mlflow import views
from unrolled.bench.metric import Metric

MARK = "f00d-c0ffee"


def plan(arms=("a", "b"), factors=(), **facts):
    changes = dict.fromkeys(arms, dict.fromkeys(factors, 1))
    told = {"question": "Why?", "hash": "f00d" * 16, "command": ""}
    return planned(dict.fromkeys(arms, ()), changes, **{**told, **facts})


def state(plan, view=views.ARMS):
    return json.loads(json.loads(views.saved_views(plan, MARK)[f"mlflow.sharedViewState.{view}"])["state"])


def test_names_are_no_markup():
    said = views.describe_study(plan(arms=("[x](javascript:y)", "*bold* `code` _low_ # ~~")), [], {})
    assert r"Arms: \[x\](javascript:y), \*bold\* \`code\` \_low\_ \# \~\~" in said


def test_a_description_is_never_longer_than_a_tag():
    assert len(views.describe_study(plan(), ["x" * 900] * 100, {})) == 8000


def test_the_arms_are_sorted_by_the_studys_metric_the_best_first():
    assert (state(plan())["orderByKey"], state(plan())["orderByAsc"]) == ("metrics.`valid/loss`", True)
    study = plan(metrics=(Metric("valid_accuracy", 0.02), Metric("valid_loss", 0.05)))
    assert (state(study)["orderByKey"], state(study)["orderByAsc"]) == ("metrics.`valid/accuracy`", False)


def test_a_view_shows_one_plan_and_mlflow_computes_no_mean_of_the_runs_that_it_has_loaded():
    for view, role in ((views.ARMS, "= 'arm'"), (views.TRIALS, "!= 'study'")):
        shown = state(plan(), view)
        assert shown["searchFilter"] == f"tags.`unrolled.plan` = '{MARK}' and tags.`unrolled.role` {role}"
        assert shown["groupBy"] is None


def test_a_gpus_columns_are_there_where_a_study_has_one():
    columns = state(plan(device="cuda"))["selectedColumns"]
    named = ["metrics.`speed_steady`", "metrics.`gpu_memory_peak`"]
    machine = ["tags.`machine.gpu`", "tags.`machine.driver`", "tags.`machine.cuda`"]
    assert {*named, *machine} <= {*columns}
    assert not {*named, *machine} & {*state(plan())["selectedColumns"]}


def test_the_view_has_a_column_for_each_setting_that_the_arms_change_up_to_eight():
    columns = state(plan(factors=("dropout", "lr")))["selectedColumns"]
    assert {"params.`dropout`", "params.`lr`", "attributes.`Dataset`"} <= set(columns)
    columns = state(plan(factors=tuple(f"f{i}" for i in range(30))))["selectedColumns"]
    assert sum(column.startswith("params") for column in columns) == 8


def test_the_views_fit_into_tags_however_many_arms_and_settings_there_are():
    many = plan(arms=tuple(f'arm "{i}" é' for i in range(2000)))
    widest = plan(factors=tuple("é" * 240 + str(i) for i in range(8)))
    for study in (many, widest):
        assert len(views.saved_views(study, MARK)) == 2
        assert max(map(len, views.saved_views(study, MARK).values())) <= 20_000
