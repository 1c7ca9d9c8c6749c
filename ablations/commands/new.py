"""`unrolled new`: write a short working example of a cell, model, regulariser, study or program."""

import keyword
import re
import shlex
from pathlib import Path

from unrolled.ablations.drafting.draft import draft_study
from unrolled.ablations.study.chapter_factory import DEFAULTS
from unrolled.ablations.study.study_reader import list_shipped_studies
from unrolled.ablations.terminal import print_line
from unrolled.bench.chapter.models.registry import ZOO
from unrolled.bench.errors import require
from unrolled.bench.files.atomic_files import explain_file_errors

CELL = '''\
import torch
from torch import nn

from unrolled import cell


@cell("{name}", "{title}")
class {cls}(nn.Module):
    """A minimal gated unit: one gate decides how much of the state is new."""

    def __init__(self, inputs, hidden):
        super().__init__()
        self.gate, self.new = (nn.Linear(inputs + hidden, hidden) for _ in range(2))

    def forward(self, x, h=None):  # x (b, inputs), h (b, hidden) or None → output (b, hidden), next state
        h = x.new_zeros(len(x), self.new.out_features) if h is None else h
        gate = torch.sigmoid(self.gate(torch.cat([x, h], 1)))
        new = torch.tanh(self.new(torch.cat([x, gate * h], 1)))
        h = (1 - gate) * h + gate * new
        return h, h
'''

MODEL = '''\
from torch import nn

from unrolled.bench.chapter.models.recurrent import LanguageModel, Output
from unrolled import model


@model("{name}", "{title}")
class {cls}(LanguageModel):
    """Embedding, GRU, linear. The keywords below are what a study can set."""

    def __init__(self, vocab, hidden=64, layers=1):
        super().__init__()
        self.i_h = nn.Embedding(vocab, hidden)
        self.rnn = nn.GRU(hidden, hidden, layers, batch_first=True)
        self.h_o = nn.Linear(hidden, vocab)

    def unroll(self, tokens, state):  # tokens (b, t) → hidden states (b, t, hidden), next state
        return self.rnn(self.embed(tokens), state)

    def compute_output(self, hidden):  # (b, t, hidden) → logits (b, t, vocab), and what penalties read
        last = hidden[:, -1] if self.target == "last" else hidden
        return Output(self.h_o(last), hidden, hidden)
'''

REGULARIZER = '''\
from unrolled import regularizer


@regularizer("{name}", "{title}")
def {name}(output):
    """The mean size of the activations: an L1 penalty, where AR squares them."""
    return output.dropped.abs().mean()  # output.logits (b, t, vocab), .raw and .dropped (b, t, hidden)
'''

STUDY_TEMPLATE = """\
name = "{name}"
question = "How much does the width of LMModel6 matter?"
# what decides, and δ: a smaller difference counts as none
metrics = [{{ name = "valid_accuracy", delta = 0.02 }}, {{ name = "valid_loss", delta = 0.05 }}]
looks = [10, 15, 20, 30, 40]  # numbers of seeds after which verdicts are sought

[baseline]
model = "lm6"       # `unrolled show models` lists what there is, and what can be set on it
epochs = 5          # five epochs are quick; LMModel6's own are 15
# corpus = "my.txt" # any text of your own

[design.one_at_a_time]
hidden = [16, 32, 128]
"""

SCRIPT = '''\
"""A linear classifier, trained by gradient descent. Put a program of your own in its place."""

import argparse
import json

import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--average", action=argparse.BooleanOptionalAction)
parser.add_argument("--seed", type=int)
args = parser.parse_args()

random = np.random.default_rng(args.seed)
x = random.normal(size=(400, 20))  # 200 rows to train on, 200 to validate
y = np.sign(x @ np.linspace(-1, 1, 20) + random.normal(size=400))
w = average = np.zeros(20)
for epoch in range(20):
    for i in random.permutation(200):
        w = w + args.lr * (y[i] - np.tanh(x[i] @ w)) * x[i]
        average = 0.99 * average + 0.01 * w
    used = average if args.average else w
    accuracy = np.mean(np.sign(x[200:] @ used) == y[200:])
    print(json.dumps({"epoch": epoch, "norm": np.linalg.norm(used), "valid_accuracy": accuracy}))
'''

PROGRAM = """\
name = "{name}"
question = "Does averaging the weights help, and how does the learning rate matter?"
# what decides, and δ: a smaller difference counts as none
metrics = [{{ name = "valid_accuracy", delta = 0.01 }}]

[program]
run = "python {script} --lr {{lr}} {{average?--average:--no-average}} --seed {{seed}}"
code = ["{file}"]  # its files, which an edit trains again: add the modules that it imports

[baseline]  # the settings that the line above names
lr = 0.1
average = false

[design]
add_one = ["average"]
one_at_a_time = {{ lr = [0.01, 0.3] }}
"""

TEMPLATES = {
    "cell": CELL,
    "model": MODEL,
    "regularizer": REGULARIZER,
    "study": STUDY_TEMPLATE,
    "program": PROGRAM,
}
RESERVED_NAMES: dict[str, set[str]] = {
    "cell": {*ZOO, "none", "true", "false"},  # a class cannot be named None, True or False
    "model": {*ZOO, "none", "true", "false", "output"},
    "regularizer": {*DEFAULTS, *keyword.kwlist, *(key for spec in ZOO.values() for key in spec.options)},
    "study": {*list_shipped_studies()},
    "program": {*list_shipped_studies()},
}


def new(content: str, path: Path, script: Path | None = None) -> int:
    """Write a file to start from; for a program, optionally based on a script of the user's.

    Raises BadInput if the file's name is unsuitable or taken.
    """
    is_study = content in ("study", "program")
    suffix = ".toml" if is_study else ".py"
    rule = f"a {content} is a {suffix} file"
    require(path.suffix == suffix, rule, place=path, cure=f"name it {path.stem}{suffix}")
    names = _derive_names(content, path)
    sample_script = path.with_suffix(".py")
    texts = {
        path: TEMPLATES[content].format(
            script=shlex.quote(sample_script.name), file=sample_script.name, **names
        )
    }
    remarks: list[str] = []
    if script:
        require(content == "program", "is for a program", place=f"--for {script}", cure="leave it out")
        texts[path], remarks = draft_study(names["name"], script, path.parent)
    elif content == "program":
        texts[sample_script] = SCRIPT
    for file in texts:
        require(not file.exists(), "exists and is left as it is", place=file, cure="choose another name")
    require(path.parent.is_dir(), "there is no such folder", place=path, cure="make it, or choose another")
    for file, text in texts.items():
        with explain_file_errors(file), file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    name = names["name"]
    written = shlex.quote(str(path))
    command = f"compare lm6 {name} --plugin {written}"
    if is_study:
        command = f"run {written}"
    elif content == "regularizer":
        command = f"new study my.toml\n  unrolled run my.toml --plugin {written} --set {name}=0.1,0.5"
    works = "as far as its source shows; edit it, then" if script else "ready to run. Try it"
    print(f"{' and '.join(map(str, texts))}: written, {works}:\n  unrolled {command}")
    for remark in remarks:
        print_line(remark)
    return 0


def _derive_names(content: str, path: Path) -> dict[str, str]:
    """Return the names in a new file, from its own: my_cell.py → my-cell, "my cell", MyCell.

    Raises BadInput if the name is unsuitable or taken.
    """
    words = re.findall(r"[a-z0-9]+", path.stem.lower())
    rule = f"the file's name becomes the {content}'s"
    require(words and words[0][0].isalpha(), rule, place=path, cure="begin it with a letter, a to z")
    special = "".join(re.findall(r"[][*?'\"{}]", path.name))
    require(not special, f"{special} means something in a study", place=path, cure="choose another name")
    name = ("_" if content == "regularizer" else "-").join(words)
    rule = f"the name {name!r} is taken"
    require(name not in RESERVED_NAMES[content], rule, place=path, cure="choose another one")
    return {"name": name, "title": " ".join(words), "cls": "".join(word.title() for word in words)}
