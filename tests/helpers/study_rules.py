"""The rules of made-up studies, plans and designs."""

from dataclasses import fields, replace
from typing import Any, TypeVar

from unrolled.ablations.plans.plan import Plan
from unrolled.ablations.study.study import Study
from unrolled.bench.study_rules import StudyRules
from unrolled.reports.compare.design import Design

RuledType = TypeVar("RuledType", Study, Plan, Design)


def take_rules(facts: dict[str, Any]) -> StudyRules:
    """Remove the rules from the facts of a plan or a design, where `study` is their name, and return them."""
    names = {field.name for field in fields(StudyRules)} & facts.keys()
    return StudyRules(name=facts.pop("study"), **{name: facts.pop(name) for name in names})


def change_rules(ruled: RuledType, **changes: Any) -> RuledType:
    """Return a study, a plan or a design with other rules."""
    return replace(ruled, rules=replace(ruled.rules, **changes))
