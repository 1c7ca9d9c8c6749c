"""Records the batches that a training gives to its model, and whether the model had a state before each.

It uses forward hooks and changes no number of a trial.
"""

from typing import Any

from torch import Tensor, nn

from unrolled.bench.chapter.models.recurrent import LanguageModel, Output

KEPT = 2  # training batches whose tokens are kept


class BatchRecorder:
    """Records from its creation until `close`."""

    def __init__(self, model: LanguageModel) -> None:
        self.batches: list[Tensor] = []  # the first ones of a training pass, each (b, t)
        self.shapes: set[tuple[int, int]] = set()  # (b, t) of every training batch
        self.targets: set[int] = set()  # predictions a row, of every training batch
        self.starts: set[bool] = set()  # whether a pass, the first one apart, began with a state
        self.within: set[bool] = set()  # whether the later batches of a pass had one
        self._training: bool | None = None
        self._hooks = (
            model.register_forward_pre_hook(self._before),  # type: ignore[arg-type]
            model.register_forward_hook(self._after),  # type: ignore[arg-type]
        )

    @property
    def widths(self) -> set[int]:
        """Tokens a row, of every training batch."""
        return {width for _, width in self.shapes}

    def close(self) -> "BatchRecorder":
        """Remove the hooks."""
        for hook in self._hooks:
            hook.remove()
        return self

    def _before(self, model: LanguageModel, inputs: tuple[Tensor]) -> None:
        begins = model.training is not self._training
        if self._training is not None:
            (self.starts if begins else self.within).add(model.state is not None)
        self._training = model.training
        if model.training:
            self.shapes.add((inputs[0].shape[0], inputs[0].shape[1]))
            if len(self.batches) < KEPT and not (begins and self.batches):
                self.batches.append(inputs[0])

    def _after(self, model: nn.Module, inputs: tuple[Tensor], output: Output | Any) -> None:
        if model.training:
            logits = output[0]
            self.targets.add(logits.shape[1] if logits.dim() == 3 else 1)
