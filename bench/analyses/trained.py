"""What trained LSTMs do with numbers: mistakes by kind of word, the carried state, the gates."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bench import corpus
from bench.analyses.learning import build, fit, valid_batches
from bench.metrics import Evaluation
from bench.models.recurrent import RecurrentLM
from bench.models.registry import spec_of
from bench.trial import Trial

LEAD = "lead digit"
POINTS = 400
STEPS = 128  # tokens of each row, through which the gates are read


def trained(seeds: Sequence[int] = (0, 1, 2), **changes: Any) -> dict[str, Any]:
    """LMModel6 and LMModel7 as the chapter trains them, and LMModel6 on shuffled windows, over a few seeds:

    - `roles`: of LMModel6 and LMModel7, by kind of word: [nats, hits, targets] by seed;
    - `lead`: their guesses where a number's first digit is asked for, by the digit that is right, by seed;
    - `held`: how often each digit begins a number in the training text;
    - `reading`: accuracy of LMModel6 by its order in training and by what is done with its state;
    - `gates`: of LMModel6, the mean of each gate of each layer by the kind of word that is read;
    - `states`: of its first seed, the two directions in which the last layer's h varies most.
    """
    found: dict[str, Any] = {"seeds": list(seeds), "roles": {}, "lead": {}, "reading": {}, "gates": []}
    for name in ("lm6", "lm7"):
        title = f"LMModel{name[-1]}"
        for seed in seeds:
            trial = spec_of(name).trial(seed, **changes)
            model: Any = build(trial)
            valid = fit(trial, model).valid
            _mistakes(found, title, trial, valid)
            if name == "lm6":
                _read_on(found, "grouped", model, trial)
                gates, points = _inside(model, trial)
                found["gates"].append(gates)
                found.setdefault("states", points)
    for seed in seeds:
        trial = spec_of("lm6").trial(seed, **{**changes, "order": "shuffled"})
        model = build(trial)
        fit(trial, model)
        _read_on(found, "shuffled", model, spec_of("lm6").trial(seed, **changes))
    return {**found, "held": _held(spec_of("lm6").trial(0, **changes))}


def _mistakes(found: dict[str, Any], title: str, trial: Trial, valid: Evaluation) -> None:
    data, asked = corpus.load(trial), valid_batches(trial)
    roles = data.roles[asked.positions[asked.order].flatten()]
    found["roles"].setdefault(title, []).append(valid.by_role(roles, data.role_names))
    lead = roles == data.role_names.index(LEAD)
    right, guessed = (data.decode(torch.cat(part)[lead]) for part in (valid.targets, valid.guesses))
    table: dict[str, Counter[str]] = {}
    for target, guess in zip(right, guessed, strict=True):
        table.setdefault(target, Counter())[guess] += 1
    found["lead"].setdefault(title, []).append({digit: dict(row) for digit, row in table.items()})


def _held(trial: Trial) -> dict[str, int]:
    data, train = corpus.load(trial), corpus.batches(trial, corpus.load(trial))[0]
    at = train.positions[train.order].flatten()
    return dict(Counter(data.decode(data.ids[at[data.roles[at] == data.role_names.index(LEAD)]])))


@torch.no_grad()
def _read_on(found: dict[str, Any], order: str, model: RecurrentLM, trial: Trial) -> None:
    """Validation accuracy in the text's order with the state kept, zeroed, and taken from the next row."""
    valid, model = valid_batches(trial), model.eval()
    for habit in ("kept", "zeroed", "another row's"):
        tally = Evaluation()
        model.reset()
        for tokens, answers in valid:
            if habit == "zeroed":
                model.reset()
            elif habit == "another row's" and model.state is not None:
                model.state = tuple(part.roll(1, dims=1) for part in model.state)  # (layers, b, hidden)
            tally.add(model(tokens).logits, answers)
        found["reading"].setdefault(order, {}).setdefault(habit, {})[trial.seed] = tally.accuracy()


@torch.no_grad()
def _inside(model: RecurrentLM, trial: Trial) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Means of the gates by layer and kind of word, and the states of the last layer in two directions."""
    data, valid = corpus.load(trial), valid_batches(trial)
    words, kinds = (part[valid.positions[valid.rows] - 1] for part in (data.ids, data.roles))
    words, kinds = (part.transpose(0, 1).flatten(1)[:, :STEPS] for part in (words, kinds))  # (b, tokens)
    rnn: Any = model.rnn
    last: list[Tensor] = []
    opened: dict[str, list[Tensor]] = {}  # by layer and gate: its mean over the layer, (b,) a token
    _, state = rnn(model.embed(words[:, :1]))
    for t in range(1, words.shape[1]):
        x, before = model.embed(words[:, t : t + 1]), state
        _, state = rnn(x, state)
        last.append(state[0][-1])
        for layer in range(rnn.num_layers):
            read = state[0][layer - 1] if layer else x[:, 0]
            for gate, value in _gates(rnn, layer, read, before[0][layer]).items():
                opened.setdefault(f"{gate}, layer {layer + 1}", []).append(value.mean(1))
    kinds = kinds[:, 1:]
    present = [(i, name) for i, name in enumerate(data.role_names) if bool((kinds == i).any())]
    means = {
        gate: {name: float(torch.stack(values, 1)[kinds == i].mean()) for i, name in present}
        for gate, values in opened.items()
    }
    return means, _map(torch.stack(last, 1).flatten(0, 1), [data.role_names[i] for i in kinds.flatten()])


def _gates(rnn: Any, layer: int, x: Tensor, h: Tensor) -> dict[str, Tensor]:
    """The three gates of a layer of nn.LSTM for an input and the state before, each (b, hidden)."""
    of_x, of_h, bias_x, bias_h = rnn.all_weights[layer]
    i, f, _, o = (x @ of_x.T + h @ of_h.T + bias_x + bias_h).sigmoid().chunk(4, dim=1)
    return {"input": i, "forget": f, "output": o}


def _map(states: Tensor, kinds: list[str]) -> list[dict[str, Any]]:
    """Some of the states (n, hidden) in the two directions in which all of them vary most (PCA)."""
    centred = (states - states.mean(0)).double()
    places = centred @ torch.linalg.svd(centred, full_matrices=False).Vh[:2].T
    return [
        {"x": round(float(places[i, 0]), 3), "y": round(float(places[i, 1]), 3), "kind": kinds[i]}
        for i in range(0, len(kinds), max(1, len(kinds) // POINTS))
    ]
