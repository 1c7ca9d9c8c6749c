"""Seeding and determinism."""

import hashlib
import os

import torch

from unrolled.bench.errors import BadInput


def derive_seed(seed: int, name: str) -> int:
    """Return the seed of one use of randomness (init, data, dropout), from the trial's seed alone.

    It does not depend on the arm, so arms of one seed share their initial weights and the order of data.
    """
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8]) >> 1


def make_deterministic() -> None:
    """Make torch use one thread and give the same bits each time. Call it first in a trial's process."""
    # 32 MiB, as torch's own default on Hopper: cuBLASLt shares it, and torch warns of less in every trial
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(1)
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms, without its 1.4 s of imports
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # costs time, for nothing
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False  # 10 bits of 23, in nn.LSTM alone and not in a cell by hand
    torch.set_float32_matmul_precision("highest")  # nor in a cell by hand alone, as a variable can ask for
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)


def select_device(kind: str) -> torch.device:
    """Return the device "cpu" or "cuda". Raises BadInput if torch finds no GPU for "cuda"."""
    if kind == "cuda" and not torch.cuda.is_available():
        rule = f"torch {torch.__version__} finds no GPU"
        raise BadInput(rule, place="device cuda", cure="see `nvidia-smi`, or use --device cpu")
    return torch.device(kind)
