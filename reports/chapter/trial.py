"""One trial of the chapter as text: where its model fails, by kind of token and in a passage."""

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence

from unrolled.bench.trial import Result, Trial

WIDTH = 100  # characters of a line
BAR = 20  # characters of a full bar
EIGHTHS = " ▏▎▍▌▋▊▉"
CONFUSIONS = 8  # that are shown


def sections(result: Result) -> Iterator[tuple[str, list[str]]]:
    """Titles and lines; none of a title that the result has nothing of."""
    yield "by kind of token: accuracy, loss, share of the whole loss", _roles(result)
    yield "where it fails, in the passage below", _confusions(result)
    yield "passage: a wrong guess follows the missed token in ‹›", _passage(result)


def bar(share: float) -> str:
    """A share of 0 to 1 as a bar of eighths of a character, padded to `BAR`."""
    eighths = round(min(max(share, 0.0), 1.0) * BAR * 8)
    return ("█" * (eighths // 8) + EIGHTHS[eighths % 8]).strip().ljust(BAR)


def _roles(result: Result) -> list[str]:
    roles = {name: sums for name, sums in result.records.get("roles", {}).items() if sums[2]}
    total = sum(float(nats) for nats, _, _ in roles.values()) or 1.0
    width = max(map(len, roles), default=0)
    return [
        f"{name:<{width}}  {bar(hits / count)} {hits / count:>6.1%} of {count:<8,} "
        f"{float(nats) / count:>7.4f} nats  {float(nats) / total:>4.0%}"
        for name, (nats, hits, count) in roles.items()
    ]


def _confusions(result: Result) -> list[str]:
    wrong = Counter((token, guess) for token, guess in _guesses(result) if token != guess)
    return [
        f"{count}× {token_text(result.trial, guess)} for {token_text(result.trial, token)}"
        for (token, guess), count in wrong.most_common(CONFUSIONS)
    ]


def _guesses(result: Result) -> list[tuple[str, str]]:
    return [(row["token"], row["guess"]) for row in result.records.get("passage", ())]


def _passage(result: Result) -> list[str]:
    marked = []
    for token, guess in _guesses(result):
        wrong = "" if token == guess else f"‹{token_text(result.trial, guess)}›"
        marked.append(token_text(result.trial, token) + wrong)
    return joined(result.trial, marked)


def joined(trial: Trial, tokens: Sequence[str]) -> list[str]:
    """Words with spaces between, characters without."""
    if _in_characters(trial):
        whole = "".join(tokens)
        return [whole[at : at + WIDTH] for at in range(0, len(whole), WIDTH)]
    return textwrap.wrap(" ".join(tokens), WIDTH, break_on_hyphens=False)


def token_text(trial: Trial, token: str) -> str:
    """A token as it can be seen: a space or the end of a line of a text that is read by characters."""
    return token.replace("\n", "⏎").replace(" ", "␣") if _in_characters(trial) else token


def _in_characters(trial: Trial) -> bool:
    return trial.task.get("tokens") == "char"
