"""Files of events of TensorBoard, which have no suffix: events.out.tfevents.1700000000.host."""

from pathlib import Path

from unrolled.bench.formats.table_files import Format, Row


def read_tensorboard(path: Path) -> list[Row]:
    """Return the scalars of a file of events, a row each: {"step": 10, "loss/train": 0.5}."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util import tensor_util

    events = EventAccumulator(str(path), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    rows: list[Row] = []
    for tag in tags["scalars"]:
        rows += [{"step": event.step, tag: event.value} for event in events.Scalars(tag)]
    for tag in tags["tensors"]:  # Keras writes its metrics as tensors
        arrays = [(event.step, tensor_util.make_ndarray(event.tensor_proto)) for event in events.Tensors(tag)]
        rows += [{"step": step, tag: float(array)} for step, array in arrays if array.ndim == 0]
    return rows


EVENTS = Format(read_tensorboard, package="tensorboard", requirement="'unrolled[tensorboard]'")
