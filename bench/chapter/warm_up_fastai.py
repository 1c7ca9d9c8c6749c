"""Imported once, after `warm_up`, where trials need fastai: the engine `learner`, or AWD-LSTM."""

from bench.chapter.warm_up import load_unchanged


def _warm() -> tuple[object, ...]:
    import bench.chapter.training.learner
    from bench.chapter.models import awd

    return (bench.chapter.training.learner, awd)


WARM = load_unchanged(_warm)
