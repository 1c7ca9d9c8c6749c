"""Imported once by the process that trials are forked from, so that they start warm.

The one module whose import does something: it loads torch and fastai, writes out and tokenises Human
Numbers, asks git, the installation and a GPU's driver for their versions, and makes an optimizer, whose
first one loads torch's compiler (1.4 s). It opens no GPU, which would not survive the fork.
"""

import torch

import bench.training.learner
import bench.training.loop
import bench.training.sgd
from bench import corpus, machine, nvidia
from bench.models import awd, counts, elman, gru, lstm
from bench.trial import Trial

WARM = (
    (bench.training.learner, bench.training.loop, bench.training.sgd, awd, counts, elman, gru, lstm),
    corpus.load(Trial(model="lm4", seed=0)),
    machine.code_version(),
    machine.package_versions(),
    nvidia.driver(),
    torch.optim.AdamW([torch.zeros(1)], fused=True),
)
