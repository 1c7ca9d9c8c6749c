"""The source of the classes and functions that the questionnaire asks a reader to write."""

import inspect

from bench.analyses import validation_text
from bench.models import elman, gru, lstm
from bench.regularization import Dropout, activation, temporal_activation


def sources() -> dict[str, str]:
    """Python source by name, as it stands in this project."""
    asked = (
        elman.LMModel1,
        elman.LMModel2,
        lstm.GatesCell,
        lstm.ChunkCell,
        gru.ResetAfterCell,
        gru.ResetBeforeCell,
        Dropout,
        activation,
        temporal_activation,
        validation_text.batches,
    )
    return {each.__name__: inspect.getsource(each).rstrip() for each in asked}
