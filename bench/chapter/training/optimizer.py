"""The engine `loop`'s optimizer and schedule: fastai's Adam and fit_one_cycle, in plain torch."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

DIV = 25.0  # DIV, DIV_FINAL and PCT_START are the defaults of fastai's fit_one_cycle
DIV_FINAL = 1e5
PCT_START = 0.25
EPS = 1e-5  # fastai's Adam; torch's default is 1e-8
SQR_MOM = 0.99  # fastai's Adam; torch's default is .999

NORMS = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
    nn.LayerNorm,
)  # the same as fastai's norm_types


def one_cycle(steps: int, lr: float, moms: tuple[float, float, float]) -> Iterator[tuple[float, float]]:
    """Yield (learning rate, momentum) of each step: by cosines from lr/25 up to lr, then down to lr/1e5."""
    lrs = (lr / DIV, lr, lr / DIV_FINAL)
    for step in range(steps):
        progress = step / steps
        if progress < PCT_START:
            phase = 0
            position = progress / PCT_START
        else:
            phase = 1
            position = (progress - PCT_START) / (1 - PCT_START)
        weight = (1 - math.cos(math.pi * position)) / 2
        yield _interpolate(lrs, phase, weight), _interpolate(moms, phase, weight)


def _interpolate(levels: tuple[float, float, float], phase: int, weight: float) -> float:
    start = levels[phase]
    end = levels[phase + 1]
    return start + weight * (end - start)


def build_adam(model: nn.Module, wd: float) -> torch.optim.AdamW:
    """Return fastai's Adam for the trainable parameters.

    The weight decay is decoupled; `find_undecayed_parameters` finds the parameters without it. One fused call
    updates a whole group, which must be of one device and type. Parameters that are
    views of one flat tensor give the same bits and were no faster.
    """
    undecayed_weights = find_undecayed_parameters(model)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in weights if weight not in undecayed_weights], "weight_decay": wd},
        {"params": [weight for weight in weights if weight in undecayed_weights], "weight_decay": 0.0},
    ]
    placements = {(weight.device, weight.dtype) for weight in weights}
    if len(placements) == 1 and hasattr(torch, "_fused_adamw_"):
        return FusedAdamW(groups, eps=EPS, fused=True)
    return torch.optim.AdamW(groups, eps=EPS, fused=True)


class FusedAdamW(torch.optim.AdamW):
    """torch's AdamW(fused=True) without the work of its class around the call: the same bits, sooner."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update the weights. If one has no state or no gradient yet, torch's class updates them all."""
        weights = [weight for group in self.param_groups for weight in group["params"]]
        if any(weight.grad is None or weight not in self.state for weight in weights):
            super().step()
            return
        for group in self.param_groups:
            if group["params"]:
                _update_group(group, [self.state[weight] for weight in group["params"]])


def _update_group(group: dict[str, Any], states: list[dict[str, Tensor]]) -> None:
    """Update one group of weights and their states in place."""
    step_counts = [state["step"] for state in states]
    torch._foreach_add_(step_counts, 1)
    torch._fused_adamw_(
        group["params"],
        [weight.grad for weight in group["params"]],
        [state["exp_avg"] for state in states],
        [state["exp_avg_sq"] for state in states],
        [],  # the list for amsgrad, which is not used
        step_counts,
        lr=group["lr"],
        beta1=group["betas"][0],
        beta2=group["betas"][1],
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        amsgrad=False,
        maximize=False,
    )


def find_undecayed_parameters(model: nn.Module) -> set[nn.Parameter]:
    """Return the parameters without weight decay: of normalisation layers, and those named `bias`."""
    parameters: set[nn.Parameter] = set()
    for module in model.modules():
        if isinstance(module, NORMS):
            parameters.update(module.parameters())
        elif isinstance(bias := getattr(module, "bias", None), nn.Parameter):  # `bias` is a bool in nn.LSTM
            parameters.add(bias)
    return parameters
