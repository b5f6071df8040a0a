"""The rewards of the two models (paper, sections 3.2 and 3.4).

    r_unc = 1 - 2 |p_hat - 1/2|                    largest where the Solver is most uncertain
    r_rep = lambda_rep * |cluster of i| / B        clusters of similar questions, batch of B
    Challenger: max(0, r_unc - r_rep), 0 for a malformed completion
    Solver:     1 if the extracted answer is equivalent to the pseudo-label, else 0

`official` follows the authors' code. Challenger: min(p, 1 - p) - r_rep, not clipped, and -1 - 1/B
for a malformed completion. Solver: 0.9 * accuracy + 0.1 * format.
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
"""The Solver's reward signals: agreement with its label, or, as null controls, a readable answer or
a random reward."""
BLEU_TOKENIZERS = ("13a", "char", "intl", "none", "zh")
"""The sacrebleu tokenizers that need no further package."""


@dataclass(frozen=True, slots=True)
class ChallengerReward:
    """The reward of one rollout and its parts; the parts are None for a malformed completion."""

    reward: float
    r_unc: float | None = None
    r_rep: float | None = None
    cluster: int | None = None
    """Clusters are numbered from 0 in the order in which they first appear."""

    def as_keys(self) -> dict[str, float | int | None]:
        """Return the keys that `score` adds to a record."""
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
    """Return the Challenger's rewards for a batch of B rollouts.

    Args:
        questions: B questions, None for a malformed completion, which counts in B but is not
            clustered.
        p_hats: B empirical accuracies; ignored for malformed completions.
        rule: "paper" or "official".
        bleu: tokenizer of the distance, see `similarity.distance_matrix`.
        tau_bleu: distance below which clusters are merged; at exactly tau_bleu they stay apart.
        lambda_rep: weight of the repetition penalty; 0 disables it.

    Raises:
        ValueError: the lengths differ, a question has no p_hat, or one outside [0, 1].
    """
    size = len(questions)
    if len(p_hats) != size:
        raise ValueError(f"{size} questions but {len(p_hats)} p_hats: give one for each question")
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
            raise ValueError(f"question {i} is well-formed but has no p_hat")
        if not 0 <= p_hat <= 1:
            raise ValueError(f"p_hat {p_hat} of question {i} is not between 0 and 1")
        uncertainty = r_unc(p_hat, rule=rule)
        repetition = lambda_rep * members[cluster] / size
        reward = uncertainty - repetition
        if rule == "paper":
            reward = max(0.0, reward)
        rewards[i] = ChallengerReward(reward, uncertainty, repetition, cluster)
    return rewards


def check_tokenizer(option: str, bleu: str) -> None:
    """Raise UsageError unless `bleu` is in `BLEU_TOKENIZERS` or "nltk"."""
    if bleu not in (known := [*BLEU_TOKENIZERS, "nltk"]):
        raise UsageError(f"{option} {bleu}: unknown; known: {', '.join(known)}")


def cluster_questions(
    questions: Sequence[str], *, bleu: str = "13a", tau_bleu: float = 0.5
) -> list[int]:
    """Return the cluster of each question: average linkage on d_ij = 1 - BLEU, cut below tau_bleu.

    Clusters are numbered from 0 in the order in which they first appear.
    """
    if len(questions) < 2:
        return [0] * len(questions)
    from rzero_cli.method.similarity import condensed_distances

    return clusters_of(condensed_distances(questions, bleu), tau_bleu)


def clusters_of(distances: Floats, tau_bleu: float) -> list[int]:
    """Return the clusters of at least two questions from their `condensed_distances`."""
    import numpy as np
    from scipy.cluster.hierarchy import fcluster, linkage

    # fcluster merges at a distance of exactly t; the paper's clusters do not.
    below = np.nextafter(tau_bleu, -np.inf)
    labels = fcluster(linkage(distances, method="average"), t=below, criterion="distance")
    numbers: dict[int, int] = {}
    return [numbers.setdefault(int(label), len(numbers)) for label in labels]


def solver_format(completion: str) -> bool:
    r"""Return True if a completion has the form `<think>..</think>..\boxed{}` (`official`)."""
    think = completion.find("<think>")
    closed = completion.find("</think>", think + 1) if think >= 0 else -1
    boxed = completion.find("\\boxed{", closed) if closed >= 0 else -1
    return boxed >= 0 and completion.find("}", boxed) >= 0


def solver_reward(correct: bool, completion: str, *, rule: str = "paper") -> float:
    """Return the Solver's reward: 1.0 for a correct answer, else 0.0; `official` adds format."""
    if rule == "official":
        return 0.9 * correct + 0.1 * solver_format(completion)
    return float(correct)
