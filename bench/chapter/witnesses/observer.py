"""Recording the batches that a training gives to its model, and whether the model had a state before each.

It uses forward hooks and changes no number of a trial.
"""

from typing import Any

from torch import Tensor, nn

from unrolled.bench.chapter.models.recurrent import LanguageModel, Output

KEPT_BATCHES = 2  # training batches whose tokens are kept


class BatchRecorder:
    """Records from its creation until `close`. A pass is a run through the training or validation batches."""

    def __init__(self, model: LanguageModel) -> None:
        self.batches: list[Tensor] = []  # the first batches of a training pass, each (b, t)
        self.shapes: set[tuple[int, int]] = set()  # (b, t) of every training batch
        self.targets: set[int] = set()  # number of predictions per row, for every training batch
        self.state_at_start: set[bool] = set()  # whether a pass, except the first pass, began with a state
        self.state_later: set[bool] = set()  # whether the later batches of a pass had a state
        self._training: bool | None = None
        self._hooks = (
            model.register_forward_pre_hook(self._record_input),  # type: ignore[arg-type]
            model.register_forward_hook(self._record_output),  # type: ignore[arg-type]
        )

    @property
    def widths(self) -> set[int]:
        """Tokens a row, of every training batch."""
        return {width for _, width in self.shapes}

    def close(self) -> "BatchRecorder":
        """Remove the hooks. Returns the recorder."""
        for hook in self._hooks:
            hook.remove()
        return self

    def _record_input(self, model: LanguageModel, inputs: tuple[Tensor]) -> None:
        starts_pass = model.training is not self._training
        if self._training is not None:
            states = self.state_at_start if starts_pass else self.state_later
            states.add(model.state is not None)
        self._training = model.training
        if model.training:
            self.shapes.add((inputs[0].shape[0], inputs[0].shape[1]))
            if len(self.batches) < KEPT_BATCHES and not (starts_pass and self.batches):
                self.batches.append(inputs[0])

    def _record_output(self, model: nn.Module, inputs: tuple[Tensor], output: Output | Any) -> None:
        if model.training:
            logits = output[0]
            self.targets.add(logits.shape[1] if logits.dim() == 3 else 1)
