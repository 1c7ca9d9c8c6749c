"""The names of stored fields: files of one format have the same names."""

from dataclasses import fields

import pytest

from unrolled.ablations.commits.chain.chain_record import CandidateContent, Chain, Proposal
from unrolled.ablations.plans.plan import EarlierVerdict, Plan, PlanDeclaration, PlannedArm
from unrolled.bench.study_rules import StudyRules
from unrolled.bench.trial import RESULT_FORMAT, Result

NAMES = {
    Result: """
        trial status reason cause attempts run_token started attempt_seconds curves metrics witnesses
        fingerprints records trace provenance output
    """,
    Plan: """
        rules arms study_hash command trainer_name declared_at
        command_template setting_titles seen_pairs earlier_number_hashes is_shipped earlier_verdicts
        unlisted_verdicts earlier_plans device repeats_first_trial stop_reason
        repetition_differences unjudged_repetition_differences
    """,
    StudyRules: """
        name question about metrics seeds looks stopping_rule to_the_end gain_level simpler_level audit
    """,
    PlannedArm: """
        name changes question note exploratory against may_be_identical seed_offset other_names
        model title trial_ids trial_fields settings_hash commit
    """,
    PlanDeclaration: """
        study_hash declared_at trial_ids seen_pairs
    """,
    EarlierVerdict: """
        study declared_at arm baseline seeds metric delta verdict command_template
    """,
    Chain: """
        name study_text frozen_blobs looks level_rule alpha first_incumbent began_at
    """,
    CandidateContent: """
        commit content_hash lines
    """,
    Proposal: """
        number candidate incumbent_number last_keep_number level simpler_level seeds outcome p
        simpler_p difference bound sd pairs seconds reason remarks accepted_as_simpler began_at
        ended_at
    """,
}


@pytest.mark.parametrize("stored_class", NAMES)
def test_a_stored_class_has_the_fields_of_its_format(stored_class: type) -> None:
    """A renamed field of a Result needs another RESULT_FORMAT: otherwise old files count as damaged."""
    assert RESULT_FORMAT == 10
    assert " ".join(field.name for field in fields(stored_class)) == " ".join(NAMES[stored_class].split())
