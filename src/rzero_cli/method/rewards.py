"""What the two models are rewarded for (paper, sections 3.2 and 3.4).

    r_unc = 1 - 2 |p_hat - 1/2|                    largest where the Solver is least sure
    r_rep = lambda_rep * |cluster of i| / B        clusters of similar questions, batch of B
    Challenger: max(0, r_unc - r_rep), 0 for a malformed completion
    Solver:     1 if the extracted answer is equivalent to the pseudo-label, else 0

`official` is what the authors' code computes: min(p, 1 - p) - r_rep, not clipped, and -1 - 1/B
for a malformed completion; for the Solver 0.9 * accuracy + 0.1 * format.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rzero_cli.errors import UsageError

if TYPE_CHECKING:
    from rzero_cli.method.similarity import Floats

RULES = ("paper", "official")
REWARDED = ("label", "format", "random")
"""What the Solver can be rewarded for: agreeing with its label, or, as null controls, an answer
that can be read, or nothing at all."""
BLEU_TOKENIZERS = ("13a", "char", "intl", "none", "zh")
"""Those of sacrebleu's tokenizers that need nothing else installed."""


@dataclass(frozen=True, slots=True)
class ChallengerReward:
    """The reward of one rollout and its parts; the parts are None for a malformed one."""

    reward: float
    r_unc: float | None = None
    r_rep: float | None = None
    cluster: int | None = None
    """Clusters are numbered from 0 in the order in which they first appear."""

    def as_keys(self) -> dict[str, float | int | None]:
        """What `score` adds to a record."""
        return {
            "r_unc": self.r_unc,
            "r_rep": self.r_rep,
            "cluster": self.cluster,
            "reward": self.reward,
        }


def r_unc(p_hat: float, *, rule: str = "paper") -> float:
    """The uncertainty reward of an empirical accuracy; `official` is half as steep."""
    return min(p_hat, 1.0 - p_hat) if rule == "official" else 1.0 - 2.0 * abs(p_hat - 0.5)


def challenger_rewards(
    questions: Sequence[str | None],
    p_hats: Sequence[float | None],
    *,
    rule: str = "paper",
    bleu: str = "13a",
    tau_bleu: float = 0.5,
    lambda_rep: float = 1.0,
) -> list[ChallengerReward]:
    """The Challenger's reward of a whole batch of B rollouts.

    Args:
        questions: B questions, None where the completion was malformed. Those count in B and
            are not clustered.
        p_hats: B empirical accuracies; ignored where the question is None.
        rule: "paper" or "official".
        bleu: tokenizer of the distance, see `bleu.distance_matrix`.
        tau_bleu: distance at which clusters are cut; pairs at exactly this distance stay apart.
        lambda_rep: weight of the repetition penalty; 0 leaves it out.
    """
    size = len(questions)
    valid = [i for i, question in enumerate(questions) if question is not None]
    clusters = cluster_questions(
        [question for question in questions if question is not None], bleu=bleu, tau_bleu=tau_bleu
    )
    members = Counter(clusters)
    malformed = -1.0 - 1.0 / max(1, size) if rule == "official" else 0.0
    rewards = [ChallengerReward(malformed)] * size
    for i, cluster in zip(valid, clusters, strict=True):
        p_hat = p_hats[i]
        if p_hat is None:
            raise ValueError(f"question {i} is well-formed and has no p_hat")
        unsure = r_unc(p_hat, rule=rule)
        repeated = lambda_rep * members[cluster] / size
        reward = unsure - repeated
        if rule == "paper":
            reward = max(0.0, reward)
        rewards[i] = ChallengerReward(reward, unsure, repeated, cluster)
    return rewards


def check_tokenizer(option: str, bleu: str) -> None:
    """Raise UsageError unless `bleu` names a tokenizer of sacrebleu's or "nltk"."""
    if bleu not in (known := [*BLEU_TOKENIZERS, "nltk"]):
        raise UsageError(f"{option} {bleu}: unknown; known: {', '.join(known)}")


def cluster_questions(
    questions: Sequence[str], *, bleu: str = "13a", tau_bleu: float = 0.5
) -> list[int]:
    """The cluster of each question: average linkage on d_ij = 1 - BLEU, cut below `tau_bleu`."""
    if len(questions) < 2:
        return [0] * len(questions)
    from rzero_cli.method.similarity import condensed_distances

    return clusters_of(condensed_distances(questions, bleu), tau_bleu)


def clusters_of(distances: Floats, tau_bleu: float) -> list[int]:
    """The clusters of two questions or more by their distances, as `condensed_distances` gives
    them."""
    import numpy as np
    from scipy.cluster.hierarchy import fcluster, linkage

    # fcluster merges at a distance of exactly t; the paper's clusters do not.
    below = np.nextafter(tau_bleu, -np.inf)
    labels = fcluster(linkage(distances, method="average"), t=below, criterion="distance")
    numbers: dict[int, int] = {}
    return [numbers.setdefault(int(label), len(numbers)) for label in labels]


def solver_format(completion: str) -> bool:
    r"""Whether a completion has the form `<think>..</think>..\boxed{}` (`official`)."""
    think = completion.find("<think>")
    closed = completion.find("</think>", think + 1) if think >= 0 else -1
    boxed = completion.find("\\boxed{", closed) if closed >= 0 else -1
    return boxed >= 0 and completion.find("}", boxed) >= 0


def solver_reward(correct: bool, completion: str, *, rule: str = "paper") -> float:
    """1 for an answer equivalent to the pseudo-label, else 0; `official` adds the format."""
    if rule == "official":
        return 0.9 * correct + 0.1 * solver_format(completion)
    return float(correct)
