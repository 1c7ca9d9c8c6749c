"""Imported once by the process that trials are forked from, so that they start warm.

The one module whose import does something: it loads torch and fastai, writes out Human Numbers, and makes
an optimizer, whose first one loads torch's compiler (1.4 s).
"""

import torch

import bench.training.learner
import bench.training.loop
from bench.corpus import corpus
from bench.models import awd, counts, elman, gru, lstm
from bench.text import HUMAN_NUMBERS

WARM = (
    (bench.training.learner, bench.training.loop, awd, counts, elman, gru, lstm),
    corpus(HUMAN_NUMBERS),
    torch.optim.AdamW([torch.zeros(1)], fused=True),
)
