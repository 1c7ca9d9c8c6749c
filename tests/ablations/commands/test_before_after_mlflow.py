"""`unrolled compare BEFORE AFTER` on a real MLflow database: with a ledger, with itself, of anyone else."""

import random
from dataclasses import replace

from result_sets import ledger, trained
from stub_plans import planned, sync

from unrolled.ablations.ledger import Ledger
from unrolled.ablations.mlflow.database import set_environment
from unrolled.ablations.study import stored_plans

set_environment()  # before anything imports mlflow


PLAN = planned()


def test_an_mlflow_experiment_is_compared_with_a_ledger_and_with_itself(store, tmp_path, gate) -> None:
    made = [trained(seed) for seed in range(8)]
    sync(PLAN, {"base": made}, store)
    before = ledger(tmp_path / "a", {"base": made})
    code, said = gate(before, f"mlflow:{store}")
    assert code == 0 and "1 bit-identical" in said and "speed not compared" not in said

    worse = [trained(s, code="v2", worse=0.05, slow=1.2, commit="beefbeef") for s in range(8)]
    worse[5] = replace(worse[5], status="diverged", reason="diverged at step 3", metrics={"valid_loss": 9.0})
    sync(PLAN, {"base": [*made, *worse]}, store)
    code, said = gate(f"{store}#c0ffee", f"{store}#beef", "--metric", "valid_loss=0.02")
    assert code == 3
    assert "1 new failure, seed 5: diverged at step 3" in said
    assert "slower: the baseline's time ×1.2" in said
    code, said = gate(store, store)
    assert code == 2 and said.endswith("give --metric NAME=δ\n")
    assert "has no plan" in gate(store, before)[1], "nor may the candidate declare it"
    said = gate(before, f"{store}#0000")[1]
    assert "has no ended run of commit 0000" in said and "its runs are of beefbee, c0ffee1" in said


def test_a_ledger_is_its_own_mlflow_also_where_an_arm_has_seeds_of_its_own(store, tmp_path, gate) -> None:
    arms = {"base": [trained(seed) for seed in range(8)], "A/A": [trained(1000 + s) for s in range(8)]}
    sync(PLAN, arms, store)
    kept = Ledger(ledger(tmp_path / "a", {"base": arms["base"]}))
    for result in arms["A/A"]:
        kept.record(result)
    base, again = planned(arms).arms
    again = replace(
        again, trials={seed - 1000: id for seed, id in again.trials.items()}
    )  # as the study has it
    stored_plans.store(replace(planned({"base": arms["base"]}), arms=(base, again)), kept)
    code, said = gate(kept.root, store)
    assert code == 0 and "2 bit-identical" in said and "changed" not in said


def test_a_ledgers_losses_that_were_changed_are_found_by_its_mlflow(store, tmp_path, gate) -> None:
    made = [replace(trained(s), records={"roles": {"digit": [3.0 + s, 2, 4]}}) for s in range(8)]
    sync(PLAN, {"base": made}, store)
    assert gate(ledger(tmp_path / "a", {"base": made}), store)[0] == 0
    for name, changed in (
        ("valid/loss", replace(made[3], metrics={**made[3].metrics, "valid_loss": 1.0})),
        ("role/digit accuracy", replace(made[3], records={"roles": {"digit": [6.0, 3, 4]}})),
    ):
        spoilt = ledger(tmp_path / name, {"base": [*made[:3], changed, *made[4:]]})
        code, said = gate(spoilt, store)
        assert code == 3 and "bit-identical" not in said
        assert f"the same fingerprints and other numbers, seed 3: {name} " in " ".join(said.split())


def test_mlflow_knows_the_kind_of_machine_and_the_text(store, tmp_path, gate) -> None:
    made = [trained(seed, mkldnn=True, variables={"MKL_CBWR": "AVX2"}) for seed in range(8)]
    elsewhere = [trained(seed, mkldnn=False) for seed in range(8)]
    other = [trained(seed, commit="beefbeef") for seed in range(8)]
    other = [replace(r, trial=replace(r.trial, data="beef", corpus="my.txt")) for r in other]
    before = ledger(tmp_path / "a", {"base": made})
    sync(PLAN, {"base": [*elsewhere, *other]}, store)
    code, said = gate(before, f"{store}#c0ffee")
    apart = "oneDNN on / off, MKL_CBWR AVX2 / not set"
    assert code == 0 and f"speed not compared: unlike machines: {apart}" in said
    assert f"8 of 8 pairs compare results of two kinds of machine ({apart})" in " ".join(said.split())
    code, said = gate(before, f"{store}#beef")
    assert code == 3 and "another task, so that the numbers cannot be compared: data changed" in said


def test_anyones_experiment_with_arms_and_seeds_is_compared(store, gate) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=store)
    for name, worse in (("before", 0.0), ("after", 0.5)):
        experiment = client.create_experiment(name)
        for seed in range(6):
            run = client.create_run(experiment, tags={"arm": "big"}).info.run_id
            client.log_param(run, "seed", seed)
            client.log_metric(run, "val", 1.0 + 0.01 * random.Random(f"{name}{seed}").random() + worse)
            client.set_terminated(run)
        client.create_run(experiment, tags={"arm": "big", "seed": "6"})  # still running
    words = ("--metric", "val=0.1", "--lower", "val")
    assert gate(store, store, "--study", "before", *words[:2])[0] == 2, "no direction is known of it"
    assert "choose an experiment with --study: " in gate(store, store, *words)[1]
    code, said = gate(store, store, "--study", "before", *words)
    assert code == 3 and "✗  big  0.000" in said and "only on one side" not in said, "six ties show nothing"
    assert gate(store, store, "--study", "after", *words)[0] == 3
