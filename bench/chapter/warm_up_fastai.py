"""Imported once, after `warm_up`, where trials need fastai: the engine `learner`, or AWD-LSTM.

It is a module of its own because importing it loads fastai.
"""

from unrolled.bench.chapter.warm_up import load_unchanged


def _load_modules() -> tuple[object, ...]:
    from unrolled.bench.chapter.models import awd
    from unrolled.bench.chapter.training import learner

    return (learner, awd)


WARM = load_unchanged(_load_modules)
