"""Programs that tell their numbers as public ones do, in our own words, and run in a Python of their own.

Each writes more than what is judged: clocks, its arguments, training losses.
"""

import shutil
import venv
from pathlib import Path

import pytest

from tests.helpers.command_call import PrintedCounts, check_command, read_trial_counts
from unrolled.ablations.ledger import Ledger

pytestmark = pytest.mark.usefixtures("skip_mlflow")

TRAIN = """
import argparse, json, pathlib, random, time
parser = argparse.ArgumentParser()
parser.add_argument("--decay", type=float)
parser.add_argument("--seed", type=int)
parser.add_argument("--out", type=pathlib.Path)
args = parser.parse_args()
noise = random.Random(args.seed)
losses = [noise.random() / step + args.decay / 10 for step in (1, 2)]
args.out.mkdir(exist_ok=True)
"""
STUDY = """
name = "mine"
question = "Does decay help?"
metrics = [{{ name = "{metric}", better = "lower", delta = 0.01 }}]
seeds = 2
[program]
run = "python train.py --decay {{decay}} --seed {{seed}} --out {{out}}/logs"
{keys}
[baseline]
decay = 0.0
[design.one_at_a_time]
decay = [0.5]
"""
KINDS = {  # the code that reports the losses, the metric, and the keys that read it
    "a line as makemore prints it": (
        """
print(vars(args))
for step, loss in enumerate(losses):
    print(f"step {step} | loss {time.time():.4f} | step time {time.time():.2f}ms")
    print(f"step {step} train loss: {time.time()} test loss: {loss}")
""",
        "test_loss",
        r"""patterns.test_loss = 'step (?P<step>\d+) .*test loss: (?P<value>\S+)'""",
    ),
    "key: value": (
        """
print("---")
print(f"val_bpb:          {losses[-1]:.6f}")
print(f"training_seconds: {time.time():.1f}")
""",
        "val_bpb",
        r"""patterns.val_bpb = 'val_bpb:\s+(?P<value>\S+)'""",
    ),
    "Lightning's CSVLogger": (
        """
folder = args.out / "lightning_logs" / "version_0"
folder.mkdir(parents=True)
(folder / "hparams.yaml").write_text(f"decay: {args.decay}")
rows = [f"{step},{step},{time.time()},\\n{step},{step},,{loss}\\n" for step, loss in enumerate(losses)]
(folder / "metrics.csv").write_text("epoch,step,train_loss_step,val_loss\\n" + "".join(rows))
""",
        "val_loss",
        'metrics = "{out}/**/metrics.csv"',
    ),
    "TensorBoard's events": (
        """
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter
writer = EventFileWriter(str(args.out))
for step, loss in enumerate(losses):
    scalars = {"Loss/test": loss, "time": time.time()}
    summary = Summary(value=[Summary.Value(tag=tag, simple_value=x) for tag, x in scalars.items()])
    writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))
writer.close()
""",
        "Loss/test",
        'metrics = "{out}/**/events.out.tfevents.*"',
    ),
    "trainer_state.json": (
        """
history = [{"epoch": step, "step": step, "eval_loss": loss, "eval_runtime": time.time()}
           for step, loss in enumerate(losses)]
history.append({"step": 2, "train_runtime": time.time(), "decay": args.decay, "seed": args.seed})
(args.out / "trainer_state.json").write_text(json.dumps({"best_metric": None, "log_history": history}))
""",
        "eval_loss",
        'metrics = "{out}/logs/trainer_state.json"\nrows = "log_history"',
    ),
    "mlflow.autolog() of scikit-learn": (
        """
import os, urllib.parse
store = pathlib.Path(urllib.parse.urlparse(os.environ["MLFLOW_TRACKING_URI"]).path)
metrics = store / "0" / "run" / "metrics"
metrics.mkdir(parents=True)
(metrics / "training_seconds").write_text(f"1700000000000 {time.time()} 0 train 0a1b\\n")
(metrics / "MLPClassifier_log_loss_x_test").write_text(f"1700000000001 {losses[-1]} 0 test 2c3d\\n")
""",
        "MLPClassifier_log_loss_x_test",
        'metrics = "mlflow"',
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_program_is_judged_as_it_is(tmp_path: Path, kind: str) -> None:
    code, metric, keys = KINDS[kind]
    (tmp_path / "train.py").write_text(TRAIN + code)
    (tmp_path / "mine.toml").write_text(STUDY.format(metric=metric, keys=keys))
    assert read_trial_counts(check_command(tmp_path, "run", "mine.toml")) == PrintedCounts(trained=4)
    levels: dict[str, list[float]] = {"decay 0.5": [], "baseline": []}
    for result in Ledger(tmp_path / "results").read_all_results():
        levels["decay 0.5" if result.trial.flat_settings()["decay"] else "baseline"].append(
            result.metrics[metric]
        )
    assert sum(levels["decay 0.5"]) - sum(levels["baseline"]) == pytest.approx(0.1, abs=1e-5)


TWO_PYTHONS = """
name = "mine"
question = "Does the version of rates matter?"
metrics = [{ name = "loss", delta = 0.01 }]
seeds = 2
[program]
run = "{env}/bin/python train.py {seed}"
[baseline]
env = "one"
[design.one_at_a_time]
env = ["two"]
"""


def install_rates(environment: Path, version: str) -> None:
    """Install a package of one module, whose version is its rate."""
    site = next(environment.glob("lib/*/site-packages"))
    for metadata in site.glob("rates-*"):
        shutil.rmtree(metadata)
    info = site / f"rates-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: rates\nVersion: {version}\n")
    (info / "RECORD").write_text(f"rates.py,,\n{info.name}/RECORD,,\n")
    (site / "rates.py").write_text(f"RATE = {version}\n")


def test_an_upgrade_in_one_of_two_pythons_trains_only_its_arm_again(
    tmp_path: Path,
) -> None:
    for name, version in (("one", "0.1"), ("two", "0.2")):
        venv.EnvBuilder(symlinks=True).create(tmp_path / name)
        install_rates(tmp_path / name, version)
    (tmp_path / "train.py").write_text(
        "import json, rates, sys\nprint(json.dumps({'loss': int(sys.argv[1]) / 7 + rates.RATE}))\n"
    )
    (tmp_path / "mine.toml").write_text(TWO_PYTHONS)
    assert read_trial_counts(check_command(tmp_path, "run", "mine.toml")) == PrintedCounts(trained=4)
    install_rates(tmp_path / "two", "0.3")
    plan_output = check_command(tmp_path, "plan", "mine.toml")
    run_output = check_command(tmp_path, "run", "mine.toml")
    for output in (plan_output, run_output):
        assert "rates 0.2 → 0.3: 2 trials to train" in output
    assert read_trial_counts(run_output) == PrintedCounts(trained=2, stored=2)
    ledger_results = Ledger(tmp_path / "results").read_all_results()
    losses = {result.metrics["loss"] for result in ledger_results if result.trial.seed == 0}
    assert losses == {0.1, 0.2, 0.3}, "the earlier ones stay"
