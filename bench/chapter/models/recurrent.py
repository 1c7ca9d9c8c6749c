"""Base classes of the zoo's language models: the carried state, how far gradients flow, the output.

A family defines `unroll`, the recurrence over one stretch of tokens from one state. Batches, resets and
detaching are handled here.
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from unrolled.bench.chapter.regularization import Dropout

State = Any
"""None (zeros), a tensor, or tuples of states."""


class Output(NamedTuple):
    """The output of a model: AR reads `dropped`, TAR reads `raw`, the loss reads `logits`."""

    logits: Tensor  # (b, t, vocab), or (b, vocab) where only the last word is predicted
    raw: Tensor  # (b, t, hidden)
    dropped: Tensor  # (b, t, hidden)


class LanguageModel(nn.Module):
    """A language model that carries its hidden state from batch to batch and detaches it in between.

    The state is created from the first input, with its batch size and device. A batch with another number
    of rows starts from an empty state. `detach_every` is the number of tokens that gradients flow back; 0 is
    the window, as in chapter 12, "Backpropagation through time":

    - Below the window, the state is detached every `detach_every` tokens within a window.
    - Above it, the earlier windows are run again from their stored state with the current weights, and
      gradients flow through this replay. The values of the state remain those that were carried.
    """

    def __init__(self) -> None:
        super().__init__()
        self.i_h: nn.Module
        self.detach_every = 0  # 0: the window
        self.target = "every"
        self.past: deque[tuple[Tensor, State]] = deque()
        self.reset()

    def unroll(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Hidden states (b, t, hidden) and the last state, from `tokens` (b, t) and the state before."""
        raise NotImplementedError

    def embed(self, tokens: Tensor) -> Tensor:
        """Embeddings (…, e) of `tokens` (…). The witness of `detach_every` intercepts this method."""
        vectors: Tensor = self.i_h(tokens)
        return vectors

    def read(self, hidden: Tensor) -> Output:
        """Logits from hidden states (b, t, hidden)."""
        raise NotImplementedError

    def reset(self) -> None:
        """Forget the hidden state."""
        self.state: State = None
        self.rows = 0
        self.past.clear()

    def forward(self, tokens: Tensor) -> Output:
        """The output for `tokens` (b, t), int64, from the state that the previous call left."""
        if len(tokens) != self.rows:
            self.reset()
            self.rows = len(tokens)
        if not self.training:
            self.past.clear()  # the state goes on from here, and not from the windows kept for a replay
        hidden, state = self._pieces(tokens) if self.training else self.unroll(tokens, self.state)
        self.state = detached(state)
        return self.read(hidden)

    def _pieces(self, tokens: Tensor) -> tuple[Tensor, State]:
        window = tokens.shape[1]
        if not self.detach_every or self.detach_every == window:
            return self.unroll(tokens, self.state)
        if self.detach_every > window:
            return self.unroll(tokens, self._replayed(tokens))
        hidden, state = [], self.state
        for piece in torch.split(tokens, self.detach_every, dim=1):
            out, state = self.unroll(piece, state)
            hidden.append(out)
            state = detached(state)
        return torch.cat(hidden, dim=1), state

    def _replayed(self, tokens: Tensor) -> State:
        """The carried state, with the gradient of the same state replayed from `detach_every` tokens back."""
        carried = self.state
        if self.past:
            _, replayed = self.unroll(torch.cat([t for t, _ in self.past], dim=1), self.past[0][1])
            carried = _through(carried, replayed)
        self.past.append((tokens, self.state))
        if len(self.past) > self.detach_every // tokens.shape[1] - 1:
            self.past.popleft()
        return carried


class RecurrentLM(LanguageModel):
    """Embedding → recurrent core → dropout → linear: LMModel5 to 7 and everything shaped like them.

    `core()` builds a module that maps (b, t, hidden) and a state to (b, t, hidden) and the next state, as
    `nn.LSTM(batch_first=True)` does. Parameters are created in the chapter's order.
    """

    def __init__(
        self,
        vocab: int,
        core: Callable[[], nn.Module],
        hidden: int,
        dropout: float = 0.0,
        tying: bool = False,
    ) -> None:
        super().__init__()
        self.i_h = nn.Embedding(vocab, hidden)
        self.rnn = core()
        self.drop = Dropout(dropout)
        self.h_o = nn.Linear(hidden, vocab)
        if tying:
            self.h_o.weight = self.i_h.weight

    def unroll(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """See LanguageModel.unroll."""
        hidden, state = self.rnn(self.embed(tokens), state)
        return hidden, state

    def read(self, hidden: Tensor) -> Output:
        """See LanguageModel.read."""
        dropped = self.drop(hidden)
        last = dropped[:, -1] if self.target == "last" else dropped
        return Output(self.h_o(last), hidden, dropped)


class Cell(nn.Module):
    """A cell from scratch, which can take the weights of one layer of torch's module."""

    def copy(self, weights: Mapping[str, Tensor]) -> None:
        """Take weight_ih, weight_hh, bias_ih and bias_hh of a layer of nn.LSTM or nn.GRU."""
        raise NotImplementedError


class Unrolled(nn.Module):
    """Layers of cells, unrolled over time: what nn.LSTM and nn.GRU do, as a loop that can be read.

    A cell maps an input (b, hidden) and its state (None for zeros) to an output (b, hidden) and its state.
    """

    def __init__(self, cells: list[nn.Module]) -> None:
        super().__init__()
        self.cells = nn.ModuleList(cells)

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Outputs (b, t, hidden) of the last layer, and each layer's state."""
        states = list(state or [None] * len(self.cells))
        for layer, cell in enumerate(self.cells):
            outputs = []
            for step in x.unbind(1):
                out, states[layer] = cell(step, states[layer])
                outputs.append(out)
            x = torch.stack(outputs, dim=1)
        return x, tuple(states)

    @torch.no_grad()
    def copy(self, theirs: nn.RNNBase) -> None:
        """Take the weights of torch's module, layer by layer, into cells from scratch."""
        names = [f"{kind}_{part}" for kind in ("weight", "bias") for part in ("ih", "hh")]
        for layer, cell in enumerate(self.cells):
            assert isinstance(cell, Cell)
            cell.copy({name: theirs.get_parameter(f"{name}_l{layer}") for name in names})


class BuiltinLM(RecurrentLM):
    """RecurrentLM around one of torch's own recurrent modules, `core`."""

    core: ClassVar[Callable[..., nn.RNNBase]]

    def __init__(
        self, vocab: int, hidden: int, layers: int, dropout: float, tying: bool, **options: Any
    ) -> None:
        def core() -> nn.Module:
            return self.core(hidden, hidden, layers, batch_first=True, **options)

        super().__init__(vocab, core, hidden, dropout, tying)


class ScratchLM(RecurrentLM):
    """RecurrentLM around cells from scratch; `form` chooses one of `forms`.

    With `init` "built-in", every initial weight is the one that `twin`, the model around torch's module,
    draws from the same seed.
    """

    forms: ClassVar[Mapping[str, type[Cell]]]
    twin: ClassVar[type[BuiltinLM]]

    def __init__(
        self, vocab: int, hidden: int, layers: int, dropout: float, tying: bool, form: str, init: str
    ) -> None:
        def cells() -> Unrolled:
            return Unrolled([self.forms[form](hidden, hidden) for _ in range(layers)])

        def core() -> Unrolled:
            if init == "own":
                return cells()
            with torch.random.fork_rng(devices=[]):  # what follows is drawn as the twin draws it
                made = cells()
            made.copy(self.twin.core(hidden, hidden, layers))
            return made

        super().__init__(vocab, core, hidden, dropout, tying)


def detached(state: State) -> State:
    """The same state, detached from the autograd graph."""
    if isinstance(state, Tensor):
        return state.detach()
    return tuple(detached(s) for s in state) if isinstance(state, tuple | list) else state


def parts_of(state: State) -> list[Tensor]:
    """The tensors of a state."""
    if isinstance(state, Tensor):
        return [state]
    return [p for s in state for p in parts_of(s)] if isinstance(state, tuple | list) else []


def _through(value: State, gradient: State) -> State:
    """`value`, to the bit, with the gradient of `gradient`."""
    if isinstance(value, Tensor):
        return value + (gradient - gradient.detach())
    return tuple(_through(v, g) for v, g in zip(value, gradient, strict=True))
