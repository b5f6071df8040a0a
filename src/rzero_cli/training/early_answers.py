"""The answers of a Solver on other devices, which starts while rollouts are still generated.

Without this, the Solver's server would be idle until the last rollout of a step has finished.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from queue import SimpleQueue

from rzero_cli.engines import Completion, derived_seed
from rzero_cli.engines.answering import Solver
from rzero_cli.engines.in_flight import in_background
from rzero_cli.method.prompts import prompt_for
from rzero_cli.method.question import parse_question
from rzero_cli.system.processes import rank
from rzero_cli.system.stopwatch import ANSWERS, VOTES


class EarlyAnswers:
    """The questions of one process in one step after another, and their answers.

    Args:
        solver: a Solver at a server, which answers each question m times.
        require_boxed: treat a question without a boxed answer as malformed (`official`).
        seed: seeds the answers, together with the update and the process.
    """

    def __init__(self, solver: Solver, *, require_boxed: bool = False, seed: int = 0) -> None:
        self._solver, self._require_boxed, self._seed = solver, require_boxed, seed
        self._sent: list[str] = []
        self._inbox = SimpleQueue[str | None]()
        self._answers: Iterator[tuple[int, list[Completion]]] = iter(())

    def ask(self, rollouts: Sequence[str], update: int) -> None:
        """Send the questions in finished rollouts to the Solver.

        Args:
            rollouts: completions of the Challenger.
            update: the number of updates so far.
        """
        with self._solver.spent.during(VOTES):
            for text in rollouts:
                question, _ = parse_question(text, require_boxed=self._require_boxed)
                if question is not None:
                    self._send(question, update)

    def p_hats(self, questions: Sequence[str | None], update: int) -> list[float | None]:
        """Return p_hat of each of the step's questions, None for a malformed one.

        A question is identified by its text; one that has not been sent is sent now.
        """
        wanted = [question for question in questions if question is not None]
        for question in (Counter(wanted) - Counter(self._sent)).elements():
            self._send(question, update)
        self._inbox.put(None)
        read = dict[int, float]()
        for number, completions in self._solver.spent.each(ANSWERS, self._answers):
            read[number] = self._solver.read(completions).vote.p_hat
        found = defaultdict[str, deque[float]](deque)
        for number, question in enumerate(self._sent):
            found[question].append(read[number])
        self._sent, self._inbox, self._answers = [], SimpleQueue(), iter(())
        return [None if question is None else found[question].popleft() for question in questions]

    def _send(self, question: str, update: int) -> None:
        if not self._sent:
            prompts = (
                (number, prompt_for(self._solver.prompt, text))
                for number, text in enumerate(iter(self._inbox.get, None))
            )
            seed = derived_seed(self._seed, update, rank())
            sampling = replace(self._solver.sampling, seed=seed)
            self._answers = in_background(self._solver.engine.complete(prompts, sampling))
        self._sent.append(question)
        self._inbox.put(question)
