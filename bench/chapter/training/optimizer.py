"""The engine `loop`'s optimizer and schedule: fastai's Adam and fit_one_cycle, in plain torch."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

DIV, DIV_FINAL, WARM_UP = 25.0, 1e5, 0.25  # of fastai's fit_one_cycle
EPS = 1e-5  # of fastai's Adam; torch's own is 1e-8
SQR_MOM = 0.99  # of fastai's Adam; torch's own is .999

NORMS = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
    nn.LayerNorm,
)  # fastai's norm_types


def one_cycle(steps: int, lr: float, moms: tuple[float, float, float]) -> Iterator[tuple[float, float]]:
    """(learning rate, momentum) of each step: by cosines from lr/25 up to lr, then down to lr/1e5."""
    lrs = (lr / DIV, lr, lr / DIV_FINAL)
    for step in range(steps):
        done = step / steps
        rising = done < WARM_UP
        at = done / WARM_UP if rising else (done - WARM_UP) / (1 - WARM_UP)
        share = (1 - math.cos(math.pi * at)) / 2
        (lr_from, lr_to), (mom_from, mom_to) = (p[:2] if rising else p[1:] for p in (lrs, moms))
        yield lr_from + share * (lr_to - lr_from), mom_from + share * (mom_to - mom_from)


def adam(model: nn.Module, wd: float) -> torch.optim.AdamW:
    """fastai's Adam for the trainable parameters, with decoupled decay of all but the `spared` ones.

    One fused call updates a whole group, which must be of one device and type. A flat tensor that the
    parameters are views of gives the same bits and was no faster.
    """
    without = spared(model)
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p not in without], "weight_decay": wd},
        {"params": [p for p in trained if p in without], "weight_decay": 0.0},
    ]
    alike = len({(p.device, p.dtype) for p in trained}) == 1
    direct = alike and hasattr(torch, "_fused_adamw_")
    return (FusedAdamW if direct else torch.optim.AdamW)(groups, eps=EPS, fused=True)


class FusedAdamW(torch.optim.AdamW):
    """torch's AdamW(fused=True) without what its class does around the call: the same bits, sooner."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update the weights. Those that have no state or no gradient yet are left to torch's class."""
        weights = [p for group in self.param_groups for p in group["params"]]
        if any(p.grad is None or p not in self.state for p in weights):
            super().step()
            return
        for group in self.param_groups:
            if group["params"]:
                _update(group, [self.state[p] for p in group["params"]])


def _update(group: dict[str, Any], states: list[dict[str, Tensor]]) -> None:
    """Update one group of weights and their states in place."""
    updates = [state["step"] for state in states]
    torch._foreach_add_(updates, 1)
    torch._fused_adamw_(
        group["params"],
        [p.grad for p in group["params"]],
        [state["exp_avg"] for state in states],
        [state["exp_avg_sq"] for state in states],
        [],  # amsgrad's
        updates,
        lr=group["lr"],
        beta1=group["betas"][0],
        beta2=group["betas"][1],
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        amsgrad=False,
        maximize=False,
    )


def spared(model: nn.Module) -> set[nn.Parameter]:
    """Parameters without weight decay: those of normalisation layers, and those named `bias`."""
    found: set[nn.Parameter] = set()
    for module in model.modules():
        if isinstance(module, NORMS):
            found.update(module.parameters())
        elif isinstance(bias := getattr(module, "bias", None), nn.Parameter):  # a bool in nn.LSTM
            found.add(bias)
    return found
