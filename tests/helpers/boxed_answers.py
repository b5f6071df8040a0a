"""A scripted server that boxes each question, and the openai engine with 40 of them."""

from __future__ import annotations

from helpers.scripted_server import Body, Reply, ScriptedServer, completion, question
from rzero_cli.engines import Completion, Sampling, open_engine
from rzero_cli.method.prompts import SOLVER, prompt_for

PROMPTS = [prompt_for(SOLVER, str(n)) for n in range(40)]


def boxed(body: Body) -> Reply:
    """Return the question itself as the answer, in n different texts."""
    answer = rf"\boxed{{{question(body)}}}"
    answers = [answer + "." * i for i in range(body.get("n", 1))]
    return 200, completion(*answers, raw="prompt" in body)


def complete(*servers: ScriptedServer, prompts=PROMPTS, sampling=None, **options):
    sampling = sampling or Sampling(n=2)
    with open_engine("auto", None, endpoints=[s.url for s in servers], **options) as engine:
        return list(engine.generate(prompts, sampling))


def texts(results: list[list[Completion]]) -> list[list[str]]:
    return [[completion.text for completion in sampled] for sampled in results]


EXPECTED = [[rf"\boxed{{{n}}}", rf"\boxed{{{n}}}."] for n in range(40)]
