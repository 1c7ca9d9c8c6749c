"""The description and the saved view of a study, as MLflow keeps them."""

import json

from ablations.tracking import browsing
from ablations.tracking.entry import StudyFacts


def facts(**words):
    return StudyFacts(**{"name": "n", "question": "Why?", "plan": "f00d" * 16, "arms": ("a", "b"), **words})


def state(study):
    (value,) = browsing.view(study).values()
    return json.loads(json.loads(value)["state"])


def test_the_description_asks_answers_and_leads_on_without_html():
    study = facts(
        question="<script>x</script>?", answers=("▼ WORSENS — b against a",), command="unrolled run n.toml"
    )
    lines = browsing.description(study, {"Charts by arm": "#/x"}).split("\n\n")
    assert lines == [
        "&lt;script&gt;x&lt;/script&gt;?",
        "- ▼ WORSENS — b against a",
        "[Charts by arm](#/x)",
        "Arms: a, b",
        "Plan f00df00df00d, made by `unrolled run n.toml`",
    ]


def test_a_study_without_a_report_says_so():
    assert "- no answer yet" in browsing.description(facts(), {})


def test_names_are_no_markup():
    said = browsing.description(facts(arms=("[x](javascript:y)", "*bold* `code` _low_ # ~~")), {})
    assert r"Arms: \[x\](javascript:y), \*bold\* \`code\` \_low\_ \# \~\~" in said


def test_a_description_is_never_longer_than_a_tag():
    assert len(browsing.description(facts(answers=("x" * 900,) * 100), {})) == 8000


def test_the_view_sorts_by_the_studys_metric_the_best_first():
    assert (state(facts())["orderByKey"], state(facts())["orderByAsc"]) == ("metrics.`valid/loss`", True)
    study = facts(metric="valid_accuracy")
    assert (state(study)["orderByKey"], state(study)["orderByAsc"]) == ("metrics.`valid/accuracy`", False)


def test_the_view_has_a_column_for_each_setting_that_the_arms_change_up_to_eight():
    columns = state(facts(factors=("dropout", "lr")))["selectedColumns"]
    assert {"params.`dropout`", "params.`lr`", "attributes.`Dataset`"} <= set(columns)
    columns = state(facts(factors=tuple(f"f{i}" for i in range(30))))["selectedColumns"]
    assert sum(column.startswith("params") for column in columns) == 8


def test_the_view_fits_into_a_tag_however_many_arms_there_are():
    few, many = facts(), facts(arms=tuple(f'arm "{i}" é' for i in range(2000)))
    assert state(few)["groupsExpanded"] == {"param.arm.a": False, "param.arm.b": False}
    assert state(many)["groupsExpanded"] == {}
    widest = facts(arms=("é" * 1000,), factors=tuple("é" * 240 + str(i) for i in range(8)))
    assert max(len(next(iter(browsing.view(study).values()))) for study in (few, many, widest)) <= 20_000
