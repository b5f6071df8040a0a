"""Evaluation: the arithmetic on scripted answers, everything else on a real tiny model."""

from __future__ import annotations

import json
import string
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

pytest.importorskip("lm_eval")
datasets = pytest.importorskip("datasets")
torch = pytest.importorskip("torch")

from lm_eval.api.instance import Instance  # noqa: E402

from rzero_cli.answers.equivalence import Equivalence  # noqa: E402
from rzero_cli.data.jsonl import Line  # noqa: E402
from rzero_cli.engines import Completion, Sampling  # noqa: E402
from rzero_cli.engines.transformers import TransformersEngine  # noqa: E402
from rzero_cli.errors import DataError, RzeroError, UsageError  # noqa: E402
from rzero_cli.evaluation.lm import EngineLM  # noqa: E402
from rzero_cli.evaluation.loading import load_tasks  # noqa: E402
from rzero_cli.evaluation.passes import evaluate_data  # noqa: E402
from rzero_cli.evaluation.scores import Answered, summarize  # noqa: E402
from rzero_cli.evaluation.tables import results_table  # noqa: E402
from rzero_cli.evaluation.tasks import evaluate_tasks  # noqa: E402
from rzero_cli.method.prompts import SOLVER, Messages, prompt_for  # noqa: E402


@pytest.fixture(scope="module")
def equivalence() -> Iterator[Equivalence]:
    with Equivalence() as opened:
        yield opened


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random Llama that reads and writes characters, and `\\boxed{` as one of them."""
    from tokenizers import Regex, Tokenizer
    from tokenizers.decoders import Fuse
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Split
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = str(tmp_path_factory.mktemp("tiny"))
    pieces = ["<pad>", "<eos>", "<unk>", "\\boxed{", *string.printable]
    core = Tokenizer(WordLevel({p: i for i, p in enumerate(pieces)}, unk_token="<unk>"))
    core.pre_tokenizer = Split(Regex(r"\\boxed\{|[\s\S]"), "isolated")
    core.decoder = Fuse()
    PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(pieces),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=512,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def engine(checkpoint: str) -> Iterator[TransformersEngine]:
    with TransformersEngine(checkpoint, batch_size=8) as opened:
        yield opened


class Scripted:
    """Answers from a script: per question the greedy one, then the sampled ones."""

    def __init__(self, script: dict[str, list[str]], truncated: str = "no such text") -> None:
        self.script, self.truncated, self.asked = script, truncated, 0

    def generate(
        self, prompts: Iterable[Messages], sampling: Sampling, *, start: int = 0, ahead: Any = None
    ) -> Iterator[list[Completion]]:
        for messages in islice(prompts, start, None):
            self.asked += 1
            texts = self.script[messages[-1]["content"]]
            drawn = texts[1 : 1 + sampling.n] if sampling.temperature > 0 else texts[:1]
            yield [Completion(text, 5, self.truncated in text) for text in drawn]


def records(*rows: dict[str, Any]) -> list[Line]:
    return [Line("held.jsonl", i, b"", row) for i, row in enumerate(rows, 1)]


DEFAULTS: dict[str, Any] = {
    "k": 4,
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "max_tokens": 6,
    "seed": 0,
}
QUESTIONS = records(*({"question": f"{i} + {i}?", "reference": str(2 * i)} for i in range(5)))


# --- the arithmetic -------------------------------------------------------------------------------

SCRIPT = {
    "half?": [r"\boxed{0.5}", r"so \boxed{\frac{1}{2}}", r"\boxed{2}", r"\boxed{0.50}", "?"],
    "seven?": ["hm", r"\boxed{7}", r"\boxed{8}", r"\boxed{8}", r"\boxed{7"],
    "three?": [r"\boxed{4}", r"\boxed{3}", r"\boxed{4}", r"\boxed{3}", r"\boxed{4}"],
    "four?": [r"\boxed{4}", r"\boxed{4}", r"\boxed{3}", r"\boxed{4}", r"\boxed{3}"],
}
ASKED = records(
    {"id": "h", "question": "half?", "reference": "1/2", "group": "a"},
    {"id": "s", "question": "seven?", "reference": "7", "group": "a"},
    {"id": "t", "question": "three?", "reference": "3", "group": "b"},
    {"id": "f", "question": "four?", "reference": "4", "group": "b"},
)


def test_scores_worked_out_by_hand(equivalence: Equivalence) -> None:
    engine = Scripted(SCRIPT, truncated="hm")
    result = evaluate_data(engine, ASKED, equivalence=equivalence, **DEFAULTS)
    samples = {s["id"]: s for s in result["samples"]}

    assert samples["h"]["answers"] == [r"\frac{1}{2}", "2", "0.50", None]
    assert samples["h"]["correct"] == [True, False, True, False]
    assert samples["s"]["answers"] == ["7", "8", "8", None]
    assert [s["greedy"] for s in samples.values()] == [True, False, False, True]
    # A tie goes to the smallest canonical key: 3, which is right once and wrong once.
    assert [s["majority"] for s in samples.values()][2:] == ["3", "3"]
    assert [s["maj"] for s in samples.values()] == [True, False, True, False]

    assert result["greedy"]["score"] == 2 / 4
    assert result["mean_at_k"]["score"] == (2 / 4 + 1 / 4 + 2 / 4 + 2 / 4) / 4
    assert result["maj_at_k"]["score"] == 2 / 4
    # Wilson's interval of 2 in 4.
    assert result["greedy"]["ci95"] == pytest.approx([0.1500, 0.8500], abs=1e-4)
    assert (result["n"], result["k"], result["tokens"]) == (4, 4, 20 * 5)
    assert result["unreadable"] == 3 / 20
    assert result["truncated"] == 1 / 20
    assert result["timeouts"] == 0

    groups = result["groups"]
    assert {name: group["n"] for name, group in groups.items()} == {"a": 2, "b": 2}
    assert [groups[g]["greedy"]["score"] for g in "ab"] == [1 / 2, 1 / 2]
    assert [groups[g]["mean_at_k"]["score"] for g in "ab"] == [3 / 8, 1 / 2]
    assert [groups[g]["maj_at_k"]["score"] for g in "ab"] == [1 / 2, 1 / 2]


def test_results_are_json(equivalence: Equivalence) -> None:
    result = evaluate_data(Scripted(SCRIPT), ASKED, equivalence=equivalence, **DEFAULTS)
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_nothing_readable_is_all_wrong(equivalence: Equivalence) -> None:
    lines = records({"question": "q", "reference": "None"})
    result = evaluate_data(Scripted({"q": ["x"] * 5}), lines, equivalence=equivalence, **DEFAULTS)
    sample = result["samples"][0]
    assert (sample["majority"], sample["maj"], sample["greedy"]) == (None, False, False)
    assert result["mean_at_k"]["score"] == 0
    assert result["unreadable"] == 1


def test_keys_can_be_mapped_and_missing_groups_count_in_the_whole(equivalence: Equivalence) -> None:
    lines = records(
        {"problem": "three?", "truth": "3", "level": 1},
        {"problem": "four?", "truth": "4", "level": None},
    )
    keys = {"question_key": "problem", "reference_key": "truth", "group_key": "level"}
    result = evaluate_data(Scripted(SCRIPT), lines, equivalence=equivalence, **DEFAULTS, **keys)
    assert {name: group["n"] for name, group in result["groups"].items()} == {"1": 1}
    assert result["n"] == 2


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"question": "q"}, r'held.jsonl:1: key "reference" .* missing'),
        ({"question": "q", "reference": 4}, r'held.jsonl:1: key "reference" must be a string'),
        ({"reference": "4"}, r'held.jsonl:1: key "question"'),
        ({"question": "q", "reference": "4", "group": []}, r'held.jsonl:1: key "group"'),
    ],
)
def test_wrong_records_are_named(
    record: dict[str, Any], message: str, equivalence: Equivalence
) -> None:
    with pytest.raises(DataError, match=message):
        evaluate_data(Scripted({}), records(record), equivalence=equivalence, **DEFAULTS)


def test_no_records_is_an_error(equivalence: Equivalence) -> None:
    with pytest.raises(DataError, match="no questions"):
        evaluate_data(Scripted({}), [], equivalence=equivalence, **DEFAULTS)


def test_text_that_utf8_cannot_carry_is_data(equivalence: Equivalence) -> None:
    lines = records({"question": "\ud800?", "reference": "\ud800"})
    engine = Scripted({"\ud800?": [r"\boxed{5}"] * 5})
    result = evaluate_data(engine, lines, equivalence=equivalence, **DEFAULTS)
    assert result["greedy"]["score"] == 0


def test_a_prompt_of_several_turns_arrives_whole(equivalence: Equivalence) -> None:
    seen: list[Messages] = []

    class Listening(Scripted):
        def generate(self, prompts: Iterable[Messages], *rest: Any, **more: Any) -> Any:
            listed = list(prompts)
            seen.extend(listed)
            return super().generate(listed, *rest, **more)

    prompt = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "an example"},
        {"role": "assistant", "content": r"{\boxed{1}}"},
        {"role": "user", "content": "{question}"},
    ]
    settings = DEFAULTS | {"k": 0, "prompt": prompt}
    evaluate_data(Listening(SCRIPT), ASKED[:1], equivalence=equivalence, **settings)
    assert seen == [prompt_for(prompt, "half?")]


def test_summary_of_one_question_without_samples() -> None:
    summary = summarize([{"greedy": True, "correct": [], "maj": None, "group": None}], 0)
    assert (summary["greedy"]["score"], summary["mean_at_k"], summary["groups"]) == (1, None, {})
    assert summary["greedy"]["stderr"] is None


def test_the_table_shows_scores_groups_and_intervals(equivalence: Equivalence) -> None:
    result = evaluate_data(Scripted(SCRIPT), ASKED, equivalence=equivalence, **DEFAULTS)
    console = Console(width=100)
    with console.capture() as capture:
        console.print(results_table({"held.jsonl": result}))
    text = capture.get()
    assert [word in text for word in ("mean@4", "maj@4", "held.jsonl", "  a ", "  b ")] == [
        True
    ] * 5
    assert "50.0 (15.0-85.0)" in text


# --- a real model ---------------------------------------------------------------------------------


def run(engine: TransformersEngine, equivalence: Equivalence, **changes: Any) -> dict[str, Any]:
    """An evaluation of the tiny model, with its journal as "log", its completions as "shown"."""
    log: list[dict[str, Any]] = []
    shown: list[dict[str, Any]] = []
    how = DEFAULTS | {"log": log.append, "report": shown.append} | changes
    result = evaluate_data(engine, QUESTIONS, equivalence=equivalence, **how)
    assert result.pop("seconds") >= 0
    return result | {"log": log, "shown": shown}


def texts(result: dict[str, Any], which: str) -> list[list[str]]:
    return [record["completions"] for record in result["shown"] if record["pass"] == which]


def test_the_k_samples_are_different_draws(
    engine: TransformersEngine, equivalence: Equivalence
) -> None:
    result = run(engine, equivalence)
    assert [len(drawn) for drawn in texts(result, "greedy")] == [1] * 5
    assert [len(set(drawn)) for drawn in texts(result, "sampled")] == [4] * 5


def test_the_same_question_twice_is_drawn_twice(
    engine: TransformersEngine, equivalence: Equivalence
) -> None:
    log: list[dict[str, Any]] = []
    evaluate_data(engine, QUESTIONS[:1] * 2, equivalence=equivalence, log=log.append, **DEFAULTS)
    greedy_1, greedy_2, sampled_1, sampled_2 = (record["completions"] for record in log)
    assert greedy_1 == greedy_2
    assert len({*sampled_1, *sampled_2}) == 8


def test_a_seed_repeats_exactly_and_another_does_not(
    engine: TransformersEngine, equivalence: Equivalence
) -> None:
    first = run(engine, equivalence)
    assert run(engine, equivalence) == first
    other = run(engine, equivalence, seed=1)
    assert texts(other, "greedy") == texts(first, "greedy")
    assert texts(other, "sampled") != texts(first, "sampled")


def test_greedy_does_not_depend_on_how_the_rest_is_sampled(
    engine: TransformersEngine, equivalence: Equivalence
) -> None:
    changes = ({}, {"k": 2}, {"k": 0}, {"temperature": 0.3, "top_k": 3}, {"seed": 7})
    runs = [run(engine, equivalence, **change) for change in changes]
    assert len({json.dumps(texts(one, "greedy")) for one in runs}) == 1


@pytest.mark.parametrize("change", [{"k": 0}, {"temperature": 0.0}])
def test_without_sampling_there_is_greedy_alone(
    change: dict[str, Any], engine: TransformersEngine, equivalence: Equivalence
) -> None:
    result = run(engine, equivalence, **change)
    assert (result["k"], result["mean_at_k"], result["maj_at_k"]) == (0, None, None)
    assert result["samples"][0]["answers"] == result["samples"][0]["correct"] == []
    assert texts(result, "sampled") == []


def test_the_counts_are_those_of_the_completions(
    engine: TransformersEngine, equivalence: Equivalence
) -> None:
    result = run(engine, equivalence, max_tokens=3)
    cut = [t for record in result["log"] for t in record["truncated"]]
    assert result["tokens"] == sum(t for record in result["log"] for t in record["tokens"])
    assert result["truncated"] == sum(cut) / 25
    assert result["truncated"] > 0


def test_progress_reaches_its_end(engine: TransformersEngine, equivalence: Equivalence) -> None:
    steps: list[Answered] = []
    result = run(engine, equivalence, on_progress=steps.append)
    assert [step.answers for step in steps] == [1] * 5 + [4] * 5
    assert sum(step.tokens for step in steps) == result["tokens"]
    assert [step.right for step in steps[:5]] == [s["greedy"] for s in result["samples"]]
    assert [step.right for step in steps[5:]] == [sum(s["correct"]) for s in result["samples"]]
    assert not any(step.earlier for step in steps)
    steps.clear()
    run(engine, equivalence, on_progress=steps.append, done=result["log"][:7])
    assert [step.earlier for step in steps] == [True] * 7 + [False] * 3


@pytest.mark.parametrize("finished", [1, 5, 7, 10])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    finished: int, engine: TransformersEngine, equivalence: Equivalence
) -> None:
    whole = run(engine, equivalence)
    rest = run(engine, equivalence, done=whole["log"][:finished])
    assert rest.pop("log") == whole.pop("log")[finished:]
    assert rest == whole


def test_nothing_is_printed(
    engine: TransformersEngine, equivalence: Equivalence, capfd: pytest.CaptureFixture[str]
) -> None:
    run(engine, equivalence)
    assert capfd.readouterr() == ("", "")


# --- the adapter ----------------------------------------------------------------------------------


def ask(question: str, **settings: Any) -> Instance:
    context = json.dumps(prompt_for(SOLVER, question))
    return Instance("generate_until", {}, (context, settings), 0, metadata=("t", 0, 1))


def test_a_stop_string_ends_the_text_before_it(engine: TransformersEngine) -> None:
    lm = EngineLM(engine, seed=0)
    (whole,) = lm.generate_until([ask("why?", until=[], max_gen_toks=12)])
    assert len(whole) > 6
    stop = whole[5:7]
    (cut,) = lm.generate_until([ask("why?", until=["no such text", stop], max_gen_toks=12)])
    assert cut == whole[: whole.index(stop)]
    assert lm.generate_until([ask("why?", until=[""], max_gen_toks=12)]) == [whole]


def test_the_first_of_several_stop_strings_counts(engine: TransformersEngine) -> None:
    lm = EngineLM(engine, seed=0)
    (whole,) = lm.generate_until([ask("why?", until=[], max_gen_toks=12)])
    first, later = whole[2:4], whole[5:8]
    assert whole.index(first) < whole.index(later)
    expected = [whole[: whole.index(first)]]
    assert lm.generate_until([ask("why?", until=[later, first], max_gen_toks=12)]) == expected
    assert lm.generate_until([ask("why?", until=[first, later], max_gen_toks=12)]) == expected
    assert lm.generate_until([ask("why?", until=first, max_gen_toks=12)]) == expected


def test_answers_come_back_in_the_order_of_the_requests() -> None:
    script = {name: [f"{name} greedy", f"{name} 1", f"{name} 2"] for name in "abc"}
    a, b, c = ask("a", until=[]), ask("b", until=[], temperature=1.0), ask("c", until=[])
    answers = EngineLM(Scripted(script), seed=0).generate_until([a, b, b, c, c, a])
    assert answers == ["a greedy", "b 1", "b 2", "c greedy", "c greedy", "a greedy"]


def test_repeats_of_a_request_are_different_draws(engine: TransformersEngine) -> None:
    request = ask("why?", until=[], temperature=1.0, max_gen_toks=8)
    assert len(set(EngineLM(engine, seed=0).generate_until([request] * 5))) == 5


def test_sampling_settings_reach_the_engine() -> None:
    seen: list[Sampling] = []

    class Listening(Scripted):
        def generate(self, prompts: Any, sampling: Sampling, *, start: int = 0, **more: Any) -> Any:
            seen.append(sampling)
            return super().generate(prompts, sampling, start=start)

    lm = EngineLM(Listening({"q": ["a", "b"]}), seed=3)
    lm.generate_until([ask("q", do_sample=True, temperature=0.6, top_p=0.9, max_tokens=77)])
    lm.generate_until([ask("q", do_sample=True, top_k=-1)])
    lm.generate_until([ask("q", do_sample=False, temperature=0.6, until=["x", "", "y"])])
    assert seen == [
        Sampling(1, temperature=0.6, top_p=0.9, max_tokens=77, seed=3),
        Sampling(1, temperature=1.0, max_tokens=256, seed=3),
        Sampling(1, temperature=0.0, max_tokens=256, seed=3, stop=("x", "y")),
    ]


def test_settings_no_engine_has_are_refused() -> None:
    with pytest.raises(RzeroError, match="task t sets num_beams"):
        EngineLM(Scripted({}), seed=0).generate_until([ask("q", num_beams=4)])


# --- lm-eval's tasks ------------------------------------------------------------------------------

GENERATE = """
task: rzero_sums
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
doc_to_text: "{{question}}"
doc_to_target: "{{reference}}"
output_type: generate_until
generation_kwargs: {until: ["\\n"], do_sample: false, max_gen_toks: 4}
filter_list:
  - {name: last, filter: [{function: regex, regex_pattern: "(.)$"}, {function: take_first}]}
  - {name: whole, filter: [{function: take_first}]}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
metadata: {version: 2.0}
"""

CHOOSE = """
task: rzero_choice
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
doc_to_text: "{{question}}"
doc_to_choice: ["0", "2", "4", "6"]
doc_to_target: "{{[\\"0\\", \\"2\\", \\"4\\", \\"6\\"].index(reference)}}"
output_type: multiple_choice
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""

TASK_DEFAULTS: dict[str, Any] = {
    "k": 3,
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "seed": 0,
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder with tasks on a local file, and a data cache of its own."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    data = tmp_path / "held.jsonl"
    data.write_text("".join(json.dumps(line.record) + "\n" for line in QUESTIONS[:4]), "utf-8")
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    for name, task in (("sums", GENERATE), ("choice", CHOOSE)):
        (tasks / f"{name}.yaml").write_text(task.replace("DATA", str(data)), "utf-8")
    broken = GENERATE.replace("rzero_sums", "rzero_broken").replace("DATA", "/no/such/file.json")
    (tasks / "broken.yaml").write_text(broken, "utf-8")
    unsafe = GENERATE.replace("rzero_sums", "rzero_unsafe").replace("DATA", str(data))
    (tasks / "unsafe.yaml").write_text(unsafe + "unsafe_code: true\n", "utf-8")
    return str(tasks)


def load(names: list[str], **how: Any) -> dict[str, Any]:
    return load_tasks(names, **how).others


def test_a_task_of_ones_own(folder: str, engine: TransformersEngine) -> None:
    log: list[dict[str, Any]] = []
    tasks = load(["rzero_sums"], include_path=folder)
    found = evaluate_tasks(engine, tasks, report=log.append, **TASK_DEFAULTS)
    result = found["tasks"]["rzero_sums"]
    assert (result["metric"], result["version"]) == ("exact_match,last", 2.0)
    assert (result["n"], result["k"]) == (4, 3)
    assert {"exact_match,last", "exact_match,whole"} <= set(result["metrics"])
    assert result["stderr"] == found["results"]["rzero_sums"]["exact_match_stderr,last"]
    assert [sample["id"] for sample in result["samples"]] == [0, 1, 2, 3]
    assert [len(sample["correct"]) for sample in result["samples"]] == [3] * 4

    outputs = [(r["pass"], r["id"], r["completions"][0]) for r in log]
    assert [how for how, _, _ in outputs] == ["greedy"] * 4 + ["sampled"] * 12
    assert all(
        len({text for how, i, text in outputs if how == "sampled" and i == q}) > 1 for q in range(4)
    )
    for sample, record in zip(result["samples"], log, strict=False):
        assert sample["greedy"] == (record["completions"][0][-1:] == record["reference"])


def test_tasks_repeat_with_their_seed(folder: str, engine: TransformersEngine) -> None:
    def outputs(seed: int) -> list[Any]:
        log: list[dict[str, Any]] = []
        tasks = load(["rzero_sums"], include_path=folder)
        evaluate_tasks(engine, tasks, report=log.append, **TASK_DEFAULTS | {"seed": seed})
        return log

    assert outputs(0) == outputs(0)
    assert outputs(0)[:4] == outputs(1)[:4]
    assert outputs(0)[4:] != outputs(1)[4:]


def test_mean_at_k_of_a_task_by_hand(folder: str) -> None:
    # Sampled answers 0, 0, 1 / 2, 2, 2 / 5, 5, 4 / 0, 1, 2 against 0, 2, 4, 6.
    drawn = {"0 + 0?": "001", "1 + 1?": "222", "2 + 2?": "554", "3 + 3?": "012"}

    class Turning(Scripted):
        def generate(self, prompts: Any, sampling: Sampling, *, start: int = 0, **more: Any) -> Any:
            seen: dict[str, int] = {}
            for messages in prompts:
                question = messages[-1]["content"]
                turn = seen[question] = seen.get(question, -1) + 1
                text = drawn[question][turn] if sampling.temperature > 0 else "2"
                yield [Completion(f"= {text}", 3, False)]

    tasks = load(["rzero_sums"], include_path=folder)
    result = evaluate_tasks(Turning({}), tasks, **TASK_DEFAULTS)["tasks"]["rzero_sums"]
    assert [s["greedy"] for s in result["samples"]] == [0, 1, 0, 0]
    assert [sum(s["correct"]) for s in result["samples"]] == [2, 3, 1, 0]
    assert result["greedy"]["score"] == 1 / 4
    assert result["mean_at_k"]["score"] == pytest.approx((2 / 3 + 1 + 1 / 3 + 0) / 4)
    assert result["metrics"]["exact_match,whole"] == 0


@pytest.mark.parametrize("finished", [0, 1, 4, 9, 16, 21, 31])
def test_tasks_go_on_from_a_journal(folder: str, engine: TransformersEngine, finished: int) -> None:
    """Generated answers, sampled ones too, and log-likelihoods; 32 requests in all."""
    shown: list[dict[str, Any]] = []

    def once(done: list[dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        log: list[dict[str, Any]] = []
        tasks = load(["rzero_sums", "rzero_choice"], include_path=folder)
        how = TASK_DEFAULTS | {"log": log.append, "report": shown.append, "done": done}
        found = evaluate_tasks(engine, tasks, **how)
        for task in found["tasks"].values():
            task.pop("seconds")
        return found, log

    whole, journal = once([])
    assert len(journal) == 32
    assert {"scores" in record for record in journal} == {True, False}
    rest, more = once(journal[:finished])
    assert more == journal[finished:]
    assert rest == whole
    assert shown[: len(shown) // 2] == shown[len(shown) // 2 :]


def test_log_likelihoods_of_many_requests_go_on_within_a_block(
    folder: str, engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rzero_cli.evaluation.lm._SCORED_AT_ONCE", 6)

    def once(done: list[dict[str, Any]]) -> tuple[Any, list[dict[str, Any]]]:
        log: list[dict[str, Any]] = []
        tasks = load(["rzero_choice"], include_path=folder)
        how = TASK_DEFAULTS | {"log": log.append, "done": done}
        return evaluate_tasks(engine, tasks, **how)["tasks"]["rzero_choice"]["samples"], log

    samples, journal = once([])
    for finished in (5, 6, 7, 12, 16):
        assert once(journal[:finished]) == (samples, journal[finished:])


def test_prompts_are_raw_unless_a_chat_is_asked_for(
    folder: str, engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    generate = engine.generate

    def listen(prompts: Iterable[Any], *rest: Any, **more: Any) -> Any:
        listed = list(prompts)
        seen.extend(listed)
        return generate(listed, *rest, **more)

    monkeypatch.setattr(engine, "generate", listen)
    tasks = load(["rzero_sums"], include_path=folder)
    evaluate_tasks(engine, tasks, **TASK_DEFAULTS | {"k": 0})
    template = "{% for m in messages %}<{{m.content}}>{% endfor %}"
    monkeypatch.setattr(engine.tokenizer, "chat_template", template)
    evaluate_tasks(engine, tasks, chat=True, **TASK_DEFAULTS | {"k": 0})
    assert seen[0] == "0 + 0?"
    assert seen[4] == [{"role": "user", "content": "0 + 0?"}]


def test_limit_and_max_tokens(folder: str, engine: TransformersEngine) -> None:
    log: list[dict[str, Any]] = []
    tasks = load(["rzero_sums"], include_path=folder)
    options = TASK_DEFAULTS | {"limit": 2, "max_tokens": 1, "k": 0}
    result = evaluate_tasks(engine, tasks, report=log.append, **options)["tasks"]["rzero_sums"]
    assert (result["n"], result["mean_at_k"]) == (2, None)
    assert all(len(record["completions"][0]) <= 1 for record in log)


def test_log_likelihoods_with_the_transformers_engine(
    folder: str, engine: TransformersEngine
) -> None:
    tasks = load(["rzero_choice", "rzero_sums"], include_path=folder)
    found = evaluate_tasks(engine, tasks, **TASK_DEFAULTS)["tasks"]
    choice = found["rzero_choice"]
    assert (choice["metric"], choice["n"], choice["k"]) == ("acc,none", 4, 0)
    assert choice["greedy"]["score"] == choice["metrics"]["acc,none"]
    assert found["rzero_sums"]["k"] == 3


def test_log_likelihoods_are_refused_before_anything_is_generated(folder: str) -> None:
    engine = Scripted({})
    tasks = load(["rzero_sums", "rzero_choice"], include_path=folder)
    with pytest.raises(RzeroError, match="task rzero_choice needs log-likelihoods"):
        evaluate_tasks(engine, tasks, **TASK_DEFAULTS)
    assert engine.asked == 0


def test_chats_are_for_models_that_have_a_template(
    folder: str, engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = load(["rzero_sums"], include_path=folder)
    with pytest.raises(UsageError, match="no chat template"):
        evaluate_tasks(engine, tasks, chat=True, **TASK_DEFAULTS)
    template = "{% for m in messages %}<{{m.content}}>{% endfor %}"
    monkeypatch.setattr(engine.tokenizer, "chat_template", template)
    assert (
        evaluate_tasks(engine, tasks, chat=True, **TASK_DEFAULTS)["tasks"]["rzero_sums"]["n"] == 4
    )


def test_tasks_print_nothing(
    folder: str, engine: TransformersEngine, capfd: pytest.CaptureFixture[str]
) -> None:
    tasks = load(["rzero_sums", "rzero_choice"], include_path=folder)
    evaluate_tasks(engine, tasks, **TASK_DEFAULTS)
    assert capfd.readouterr() == ("", "")


def test_a_task_without_its_data_is_one_line(folder: str) -> None:
    with pytest.raises(RzeroError, match=r"no data for rzero_broken .*/no/such/file") as caught:
        load_tasks(["rzero_broken"], include_path=folder)
    assert "\n" not in str(caught.value)


def test_tasks_that_run_what_a_model_wrote_are_refused(folder: str) -> None:
    with pytest.raises(UsageError, match="rzero_unsafe: it runs code"):
        load_tasks(["rzero_unsafe"], include_path=folder)


def test_a_yaml_file_is_a_task_too(folder: str) -> None:
    assert list(load([f"{folder}/sums.yaml"], include_path=folder)["tasks"]) == ["rzero_sums"]


@pytest.mark.slow  # reads the index of lm-eval's own tasks
def test_an_unknown_task_names_its_neighbours(folder: str) -> None:
    with pytest.raises(UsageError, match=r"--tasks gsm8: no such task.*gsm8k"):
        load_tasks(["gsm8"], include_path=folder)
