"""Which trials a plan still wants, given the results so far: only arms that are undecided get more seeds."""

from collections.abc import Iterable, Mapping

from unrolled.ablations.plans.plan import Plan
from unrolled.ablations.publishing.plan_comparison import make_plan_design
from unrolled.bench.metric import judges_cost
from unrolled.bench.phrases import plural
from unrolled.bench.trial import ResultInStudy, Trial
from unrolled.reports.formats import quote_name, shorten


class SeedScheduler:
    """The trials that a plan wants, which follow from its results.

    A plan wants every trial up to the first look. Then it wants the trials of arms whose contrast is
    undecided and not given up as futile. A look is evaluated once no trial that it needs (`pending_ids`) is
    missing. The order in which results arrive does not matter: results beyond the look are ignored, and
    decisions are final (see `reports.statistics.decisions`), unless a result that they rest on is replaced.
    """

    def __init__(self, plan: Plan, results: Mapping[str, ResultInStudy]) -> None:
        self.results = {id: result.drop_details() for id, result in results.items()}
        self.pending_ids: set[str] = set()
        self.has_ended = False  # True if a plan that is a gate or a proposal wants nothing more
        self.status_line = ""  # the look being trained for, and how many contrasts are decided
        self._decides_jointly = False
        self._plan = plan
        self._seed_indices = _index_seeds(plan)  # by trial and arm
        self._undecided_arms: set[str] = set()  # both sides of each undecided contrast
        self._seeds_requested: dict[str, int] = {}  # number of seeds at the next look, by arm
        self._evaluate_looks()

    def _evaluate_looks(self) -> None:
        """Evaluate the looks whose results are complete."""
        from unrolled.reports.compare.contrast_decisions import count_arm_seeds, decide_looks  # imports scipy

        design = make_plan_design(self._plan, self.results)
        decisions = decide_looks(design)
        joint_decision = decisions.gate or decisions.proposal  # it judges all contrasts together
        self._decides_jointly = joint_decision is not None
        self.has_ended = joint_decision is not None and joint_decision.has_ended
        seeds_requested = {name: seeds for name, seeds in decisions.next_seed_counts.items() if seeds}
        # exploratory contrasts may be at another look
        fewest_seeds = min(seeds_requested.values(), default=0)
        rules = self._plan.rules
        verdicts = {name: by_metric[rules.metrics[0].name] for name, by_metric in decisions.verdicts.items()}
        reasons_by_arm = {
            name: verdict.state.halt_reason
            for name, verdict in verdicts.items()
            if not verdict.state.has_ended
        }
        look = decisions.looks_taken + 1 if seeds_requested else 0
        stage = _describe_stage(look, len(rules.looks))
        state = _describe_contrasts(len(verdicts), reasons_by_arm)
        if joint_decision:
            state = f"the {rules.stopping_rule} is {'ended' if self.has_ended else 'open'}"
        self.status_line = stage + state
        self._undecided_arms = {side for name in seeds_requested for side in (name, design.bases[name])}
        self._seeds_requested = count_arm_seeds(
            {name: seeds for name, seeds in seeds_requested.items() if seeds == fewest_seeds}, design
        )
        self.pending_ids = {
            id for id in self._seed_indices if id not in self.results and self._is_requested(id)
        }

    def sort_trials(self, trials: Iterable[Trial]) -> list[Trial]:
        """Sort trials by seed, so that a stopped run leaves whole pairs. Within a seed the longest is first.

        If a time, a speed or memory is judged, arms take turns within the seeds (see `_find_turn`). A
        trial may leave the next trial a filled cache: the turns keep this from favouring an arm.
        """
        names = [arm.name for arm in self._plan.arms]
        take_turns = judges_cost(self._plan.rules.metrics)

        def sort_key(trial: Trial) -> tuple[int, float]:
            arms = self._seed_indices[trial.id]
            arm = min(arms, key=lambda name: arms[name])
            if take_turns:
                return arms[arm], _find_turn(names.index(arm), arms[arm], len(names))
            return arms[arm], -trial.expected_seconds

        return sorted(trials, key=sort_key)

    @property
    def possible_ids(self) -> set[str]:
        """The missing trials that any look may need, including `pending_ids`."""
        return {id for id in self._seed_indices if id not in self.results and self.is_wanted(id)}

    def add_result(self, result: ResultInStudy) -> bool:
        """Take a result into account. Returns True if it completed a look."""
        id = result.trial.id
        replaces_result = id in self.results
        self.results[id] = result.drop_details()
        completes_look = self.pending_ids == {id}
        self.pending_ids.discard(id)
        may_end = self._decides_jointly and not result.is_done  # one failed trial may fail a gate
        if completes_look or may_end or replaces_result:
            self._evaluate_looks()
        return completes_look

    def is_wanted(self, id: str) -> bool:
        """Return True if a trial is wanted. One beyond the next look may turn out to be needless."""
        return self._is_requested(id) or not self._undecided_arms.isdisjoint(self._seed_indices[id])

    def _is_requested(self, id: str) -> bool:
        """Return True if the next look needs a trial."""
        if self.has_ended:
            return False
        return any(index < self._seeds_requested[arm] for arm, index in self._seed_indices[id].items())


def _index_seeds(plan: Plan) -> dict[str, dict[str, int]]:
    """Return, by trial, the arms that share it, and the index of its seed in each."""
    indices: dict[str, dict[str, int]] = {}
    for arm in plan.arms:
        for index, seed in enumerate(plan.rules.seeds):
            indices.setdefault(arm.trial_ids[seed], {})[arm.name] = index
    return indices


def _find_turn(arm: int, seed: int, arms: int) -> int:
    """Return the turn of an arm among all arms within a seed; `arm` and `seed` are indices in the plan.

    Seeds come in pairs. The second seed reverses the order of the first: of any two arms, each comes first
    once. The next pair begins with another arm. Three arms: 0 1 2, 2 1 0; 1 2 0, 0 2 1; 2 0 1, 1 0 2.
    """
    turn = (arm - seed // 2) % arms
    return arms - 1 - turn if seed % 2 else turn


def _describe_stage(look: int, looks: int) -> str:
    """Return how far the looks are: "after look 2 of 5, " while the third is trained for; "" at the end.

    `look` is the look that is trained for, counted from 1; 0 if nothing asks for seeds.
    """
    if not look or looks == 1:
        return ""
    return f"after look {look - 1} of {looks}, " if look > 1 else f"before look 1 of {looks}, "


def _describe_contrasts(contrasts: int, reasons_by_arm: Mapping[str, str]) -> str:
    """Return how many contrasts are decided, and which are open: "3 of 5 contrasts decided; open: …".

    `reasons_by_arm` has, for each open contrast, why it cannot go on, or "".
    """
    if not contrasts:
        return "no contrast to decide"
    decided = f"{contrasts - len(reasons_by_arm)} of {plural(contrasts, 'contrast')} decided"
    if not reasons_by_arm:
        return decided
    names = [
        quote_name(name) + (reason and f" ({shorten(reason, 40)})") for name, reason in reasons_by_arm.items()
    ]
    return f"{decided}; open: {', '.join([*names[:3], *['…'] * (len(names) > 3)])}"
