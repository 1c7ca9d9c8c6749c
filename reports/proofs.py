"""What the witnesses of a factor say over an arm's trials: whether a setting took effect."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.trial import Result


@dataclass(frozen=True, kw_only=True)
class Proof:
    """The witnesses of a factor over an arm's finished trials. If one failed, `seen` is from a failed one."""

    factor: str
    declared: object
    seen: object
    without: int  # trials whose witness failed
    trials: int

    @property
    def ok(self) -> bool:
        """Whether the factor took effect in every trial."""
        return not self.without

    @property
    def where(self) -> str:
        """The number of trials in which it did not take effect; "" if that is none or all."""
        return f"{self.without} of {self.trials} seeds" if 0 < self.without < self.trials else ""

    def __str__(self) -> str:
        seen = f"{self.factor}: {_plain(self.seen)}"
        where = f" ({self.where})" if self.where else ""
        return f"✓ {seen}" if self.ok else f"✕ {seen}, not {_plain(self.declared)}{where}"


def proofs(results: Iterable[Result]) -> tuple[Proof, ...]:
    """One proof for each factor that has a witness, from finished trials."""
    said: dict[str, list[Mapping[str, Any]]] = {}
    for result in results:
        for factor, witness in result.witnesses.items():
            said.setdefault(factor, []).append(witness)
    found = []
    for factor, every in said.items():
        against = [w for w in every if not w.get("ok")]
        declared, seen = map((against or every)[0].get, ("declared", "seen"))
        without, trials = len(against), len(every)
        found.append(Proof(factor=factor, declared=declared, seen=seen, without=without, trials=trials))
    return tuple(found)


def _plain(value: object) -> str:
    """A witness's value, short: 0.4003, true, 0.8, 0.7, 0.8."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_plain, value))
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value).lower() if isinstance(value, bool) else str(value)
