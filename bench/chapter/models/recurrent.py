"""Base classes of the language models: the carried state, how far gradients flow, the output.

A subclass defines `unroll`, the recurrence over a stretch of tokens, and `compute_output`, which turns hidden
states into logits. This class carries, resets and detaches the state.
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

    The state is created from the first input, with its batch size and device. A batch of another size starts
    from an empty state. `detach_every` is the number of tokens that gradients flow back; 0 stands for the
    window, as in chapter 12, "Backpropagation through time":

    - Below the window, the state is detached every `detach_every` tokens within a window.
    - Above it, the earlier windows are run again from their stored states with the current weights, and
      gradients flow through this replay. The values of the state remain as they were carried.
    """

    def __init__(self) -> None:
        super().__init__()
        self.i_h: nn.Module
        self.detach_every = 0  # 0 stands for the window
        self.target = "every"
        self.earlier_windows: deque[tuple[Tensor, State]] = deque()  # each window with the state before it
        self.reset()

    def unroll(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the hidden states (b, t, hidden) for `tokens` (b, t), and the last state.

        `state` is the state before the first token.
        """
        raise NotImplementedError

    def embed(self, tokens: Tensor) -> Tensor:
        """Return the embeddings (…, e) of `tokens` (…). The witness of `detach_every` wraps this method."""
        vectors: Tensor = self.i_h(tokens)
        return vectors

    def compute_output(self, hidden: Tensor) -> Output:
        """Return the output for hidden states (b, t, hidden)."""
        raise NotImplementedError

    def reset(self) -> None:
        """Reset the hidden state to zeros."""
        self.state: State = None
        self.batch_size = 0  # batch size of the carried state
        self.earlier_windows.clear()

    def forward(self, tokens: Tensor) -> Output:
        """Return the output for `tokens` (b, t), int64, starting from the state of the previous call."""
        if len(tokens) != self.batch_size:
            self.reset()
            self.batch_size = len(tokens)
        if self.training:
            hidden, state = self._unroll_window(tokens)
        else:
            self.earlier_windows.clear()  # evaluation leaves a state to which the earlier windows do not lead
            hidden, state = self.unroll(tokens, self.state)
        self.state = detach_state(state)
        return self.compute_output(hidden)

    def _unroll_window(self, tokens: Tensor) -> tuple[Tensor, State]:
        """Return what `unroll` does, with gradients that flow back `detach_every` tokens."""
        window = tokens.shape[1]
        if not self.detach_every or self.detach_every == window:
            return self.unroll(tokens, self.state)
        if self.detach_every > window:
            return self.unroll(tokens, self._replay_earlier_windows(tokens))
        outputs = []
        state = self.state
        for piece in torch.split(tokens, self.detach_every, dim=1):
            output, state = self.unroll(piece, state)
            outputs.append(output)
            state = detach_state(state)
        return torch.cat(outputs, dim=1), state

    def _replay_earlier_windows(self, tokens: Tensor) -> State:
        """Return the carried state, with a gradient that flows back through the earlier windows.

        The present window, `tokens` (b, t), is kept for later replays.
        """
        state = self.state
        if self.earlier_windows:
            earlier_tokens = torch.cat([window for window, _ in self.earlier_windows], dim=1)
            first_state = self.earlier_windows[0][1]
            _, replayed_state = self.unroll(earlier_tokens, first_state)
            state = _attach_gradient(state, replayed_state)
        self.earlier_windows.append((tokens, self.state))
        if len(self.earlier_windows) > self.detach_every // tokens.shape[1] - 1:
            self.earlier_windows.popleft()
        return state


class RecurrentLM(LanguageModel):
    """Embedding → recurrent layers → dropout → linear: LMModel5 to LMModel7, and others of that form.

    `build_rnn()` returns a module that maps (b, t, hidden) and a state to (b, t, hidden) and the next state,
    as `nn.LSTM(batch_first=True)` does. Parameters are created in the chapter's order.
    """

    def __init__(
        self,
        vocab: int,
        build_rnn: Callable[[], nn.Module],
        hidden: int,
        dropout: float = 0.0,
        tying: bool = False,
    ) -> None:
        super().__init__()
        self.i_h = nn.Embedding(vocab, hidden)
        self.rnn = build_rnn()
        self.drop = Dropout(dropout)
        self.h_o = nn.Linear(hidden, vocab)
        if tying:
            self.h_o.weight = self.i_h.weight

    def unroll(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """See LanguageModel.unroll."""
        hidden, state = self.rnn(self.embed(tokens), state)
        return hidden, state

    def compute_output(self, hidden: Tensor) -> Output:
        """See LanguageModel.compute_output."""
        dropped = self.drop(hidden)
        last = dropped[:, -1] if self.target == "last" else dropped
        return Output(self.h_o(last), hidden, dropped)


class Cell(nn.Module):
    """A cell from scratch, which can take the weights of one layer of torch's module."""

    def copy_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Copy weight_ih, weight_hh, bias_ih and bias_hh of a layer of nn.LSTM or nn.GRU into this cell."""
        raise NotImplementedError


class StackedCells(nn.Module):
    """Layers of cells, unrolled over time: what nn.LSTM and nn.GRU do, as a loop that can be read.

    A cell maps an input (b, hidden) and its state (None for zeros) to an output (b, hidden) and its state.
    """

    def __init__(self, cells: list[nn.Module]) -> None:
        super().__init__()
        self.cells = nn.ModuleList(cells)

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Return the last layer's outputs (b, t, hidden) for `x` (b, t, inputs), and each layer's state."""
        states = list(state or [None] * len(self.cells))
        for layer, cell in enumerate(self.cells):
            outputs = []
            for step in x.unbind(1):
                output, states[layer] = cell(step, states[layer])
                outputs.append(output)
            x = torch.stack(outputs, dim=1)
        return x, tuple(states)

    @torch.no_grad()
    def copy_weights(self, rnn: nn.RNNBase) -> None:
        """Copy the weights of torch's module, layer by layer, into cells from scratch."""
        names = [f"{parameter}_{part}" for parameter in ("weight", "bias") for part in ("ih", "hh")]
        for layer, cell in enumerate(self.cells):
            assert isinstance(cell, Cell)
            cell.copy_weights({name: rnn.get_parameter(f"{name}_l{layer}") for name in names})


class BuiltinLM(RecurrentLM):
    """RecurrentLM around one of torch's own recurrent modules, `rnn_class`.

    `rnn_options` are further keywords of that module. A subclass whose model has them as options names them.
    """

    rnn_class: ClassVar[Callable[..., nn.RNNBase]]

    def __init__(
        self,
        vocab: int,
        hidden: int,
        layers: int,
        dropout: float,
        tying: bool,
        rnn_options: Mapping[str, Any] = {},
    ) -> None:
        def build_rnn() -> nn.Module:
            return self.rnn_class(hidden, hidden, layers, batch_first=True, **rnn_options)

        super().__init__(vocab, build_rnn, hidden, dropout, tying)


class ScratchLM(RecurrentLM):
    """RecurrentLM around cells from scratch. `form` chooses one of `forms`.

    `twin` is the same model around torch's module. With `init` "built-in", every initial weight is the one
    that the twin draws from the same seed.
    """

    forms: ClassVar[Mapping[str, type[Cell]]]
    twin: ClassVar[type[BuiltinLM]]

    def __init__(
        self, vocab: int, hidden: int, layers: int, dropout: float, tying: bool, form: str, init: str
    ) -> None:
        def build_cells() -> StackedCells:
            return StackedCells([self.forms[form](hidden, hidden) for _ in range(layers)])

        def build_rnn() -> StackedCells:
            if init == "own":
                return build_cells()
            with torch.random.fork_rng(devices=[]):  # so that the next draws equal the twin's draws
                cells = build_cells()
            cells.copy_weights(self.twin.rnn_class(hidden, hidden, layers))
            return cells

        super().__init__(vocab, build_rnn, hidden, dropout, tying)


def detach_state(state: State) -> State:
    """Return the state, detached from the autograd graph."""
    if isinstance(state, Tensor):
        return state.detach()
    if isinstance(state, tuple | list):
        return tuple(detach_state(part) for part in state)
    return state


def flatten_state(state: State) -> list[Tensor]:
    """Return the tensors of a state."""
    if isinstance(state, Tensor):
        return [state]
    if isinstance(state, tuple | list):
        return [tensor for part in state for tensor in flatten_state(part)]
    return []


def _attach_gradient(state: State, replayed_state: State) -> State:
    """Return `state`, to the bit, with the gradient of `replayed_state`: s + (r − r.detach())."""
    if isinstance(state, Tensor):
        return state + (replayed_state - replayed_state.detach())
    pairs = zip(state, replayed_state, strict=True)
    return tuple(_attach_gradient(part, replayed_part) for part, replayed_part in pairs)
