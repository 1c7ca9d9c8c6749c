"""LMModel4 of the fastai book, chapter 12, as a script of its own, which goes on from its checkpoint."""

import argparse
import csv
from pathlib import Path

import torch
import torch.nn.functional as F
from num2words import num2words
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--hidden", type=int)
parser.add_argument("--lr", type=float)
parser.add_argument("--detach", action=argparse.BooleanOptionalAction)
parser.add_argument("--seed", type=int)
parser.add_argument("--out", type=Path)
args = parser.parse_args()

words = " . ".join(num2words(n).replace(" and ", " ").replace("-", " ") for n in range(1, 1000)).split()
vocab = sorted(set(words))
ids = torch.tensor([vocab.index(word) for word in words])
cut, rows, window, epochs = int(len(ids) * 0.8), 16, 16, 4


def batches(part):
    """Windows of each row in turn, and the same moved by one word: (windows, 2, rows, window)."""
    length = (len(part) - 1) // rows // window * window
    x, y = (part[i : i + rows * length].view(rows, -1, window).transpose(0, 1) for i in (0, 1))
    return torch.stack([x, y], 1)


class LMModel4(nn.Module):
    def __init__(self, vocab, hidden):
        super().__init__()
        self.i_h, self.h_h = nn.Embedding(vocab, hidden), nn.Linear(hidden, hidden)
        self.h_o, self.h = nn.Linear(hidden, vocab), torch.zeros(1, hidden)

    def forward(self, x):  # (rows, window) → logits (rows, window, vocab)
        h, states = self.h, []
        for t in range(x.shape[1]):
            h = F.relu(self.h_h(h + self.i_h(x[:, t])))
            states.append(h)
        self.h = h.detach() if args.detach else torch.zeros(1, h.shape[1])
        return self.h_o(torch.stack(states, 1))


torch.manual_seed(args.seed)
model = LMModel4(len(vocab), args.hidden)
optimizer = torch.optim.AdamW(model.parameters(), args.lr)
saved, metrics, done = args.out / "checkpoint.pt", args.out / "metrics.csv", 0
if saved.exists():
    done, weights, state = torch.load(saved)
    model.load_state_dict(weights)
    optimizer.load_state_dict(state)
else:
    metrics.write_text("epoch,train_loss,valid_accuracy\n")
for epoch in range(done, epochs):
    model.h = torch.zeros(1, args.hidden)
    for x, y in batches(ids[:cut]):
        loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        model.h = torch.zeros(1, args.hidden)
        hits = [(model(x).argmax(-1) == y).float().mean() for x, y in batches(ids[cut:])]
    with metrics.open("a", newline="") as file:
        csv.writer(file).writerow([epoch, loss.item(), torch.stack(hits).mean().item()])
    torch.save((epoch + 1, model.state_dict(), optimizer.state_dict()), saved)
