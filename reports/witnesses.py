"""What the witnesses of a factor say over an arm's trials: whether a setting took effect."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unrolled.bench.trial import Result, describe_witness


@dataclass(frozen=True)
class Proof:
    """What the witness of a factor said of each of an arm's finished trials."""

    factor: str
    witnesses: Sequence[Mapping[str, Any]]

    @property
    def failed(self) -> list[Mapping[str, Any]]:
        """The witnesses against it: of trials in which the factor did not take effect."""
        return [witness for witness in self.witnesses if not witness.get("ok")]

    @property
    def ok(self) -> bool:
        """True if the factor took effect in every trial."""
        return not self.failed

    @property
    def where(self) -> str:
        """The number of trials in which it did not take effect; "" if that is none or all."""
        without = len(self.failed)
        trials = len(self.witnesses)
        return f"{without} of {trials} seeds" if 0 < without < trials else ""

    def __str__(self) -> str:
        description = describe_witness(self.factor, (self.failed or self.witnesses)[0])
        return f"{description} ({self.where})" if self.where else description


def collect_proofs(results: Iterable[Result]) -> tuple[Proof, ...]:
    """Return one proof for each factor that has a witness, from finished trials."""
    by_factor: dict[str, list[Mapping[str, Any]]] = {}
    for result in results:
        for factor, witness in result.witnesses.items():
            by_factor.setdefault(factor, []).append(witness)
    return tuple(Proof(factor, witnesses) for factor, witnesses in by_factor.items())
