"""A command line: split before it is filled in, nothing guessed, a brace that belongs to no name refused."""

import pytest

from tests.helpers.bad_input import raises_bad_input
from unrolled.bench.program.template import Field, fill_template, fill_word, list_fields, split_template


def test_a_value_with_spaces_or_quotes_stays_one_word() -> None:
    words = fill_template(
        "python train.py --name {name} '--note=a {name}' {{seed}}", {"name": "two words; rm -rf $HOME"}
    )
    value = "two words; rm -rf $HOME"
    assert words == ["python", "train.py", "--name", value, f"--note=a {value}", "{seed}"]


@pytest.mark.parametrize(
    ("template", "on", "off"),
    [
        ("run {tie?--tie:--no-tie}", ["run", "--tie"], ["run", "--no-tie"]),
        ("run {tie?--tie:}", ["run", "--tie"], ["run"]),
        ("run --tie={tie?1:}", ["run", "--tie=1"], ["run", "--tie="]),
    ],
)
def test_a_switch_chooses_one_of_two_texts(template: str, on: list[str], off: list[str]) -> None:
    assert [fill_template(template, {"tie": value}) for value in (True, False)] == [on, off]


def test_an_empty_string_is_a_word() -> None:
    assert fill_template("run {name}", {"name": ""}) == ["run", ""]


def test_a_list_becomes_a_word_for_each_of_its_values() -> None:
    assert fill_template("run -w {w*} -x", {"w": "64 32"}) == ["run", "-w", "64", "32", "-x"]
    assert fill_template("run {w*}", {"w": ""}) == ["run"]


def test_the_names_of_a_template_are_known_with_their_kind() -> None:
    fields = list_fields("run", split_template("run --lr {learning-rate} {model.tie?--tie:} {w*} --{{x}}"))
    assert fields == [Field("learning-rate"), Field("model.tie", switch=True), Field("w", list=True)]


def test_a_path_is_filled_in_as_a_whole() -> None:
    assert fill_word("{out}/my file.csv", {"out": "a b"}) == "a b/my file.csv"


@pytest.mark.parametrize(
    "template",
    ["run {lr", "run lr}", "run {l r}", "run {}", "run {l[0]}", "run x={l*}", "run 'a", "", "run {tie?yes}"],
)
def test_a_template_that_cannot_be_read_is_refused(template: str) -> None:
    with raises_bad_input(key="run"):
        list_fields("run", split_template(template))
