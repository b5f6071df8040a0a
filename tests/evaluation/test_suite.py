"""The paper's benchmarks as tasks: what is read from their hubs' columns, asked, graded, averaged.

Where a benchmark's own file is not at hand, its columns are; the questions are written here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import Ended, Refused, Rzero

lm_eval = pytest.importorskip("lm_eval")
datasets = pytest.importorskip("datasets")

from rzero_cli.errors import DataError, RzeroError, UsageError  # noqa: E402
from rzero_cli.evaluation.benchmark import Benchmark  # noqa: E402
from rzero_cli.evaluation.loading import load_tasks  # noqa: E402
from rzero_cli.evaluation.results import averages  # noqa: E402
from rzero_cli.evaluation.suite import FOLDER, GENERAL, MATH  # noqa: E402
from rzero_cli.evaluation.suite.docs import choice_letter, grade, grade_choice  # noqa: E402
from rzero_cli.method.prompts import SOLVER, prompt_for  # noqa: E402
from rzero_cli.options.presets import preset_value  # noqa: E402

# By task: a row with the columns of its hub, and the question and reference that become of it.
ROWS: dict[str, tuple[dict[str, Any], str, str]] = {
    "rzero_math500": (
        {
            "problem": "Find $1+1$.",
            "solution": "It is $\\boxed{2}$.",
            "answer": "2",
            "subject": "Algebra",
            "level": 1,
            "unique_id": "test/algebra/1.json",
        },
        "Find $1+1$.",
        "2",
    ),
    "rzero_gsm8k": (
        {"question": "Two and two apples?", "answer": "2+2=<<2+2=4>>4\n#### 1,004"},
        "Two and two apples?",
        "1,004",
    ),
    "rzero_minerva": (
        {"problem": "How far is the star?", "answer": "4.5e33", "type": "astronomy", "idx": 0},
        "How far is the star?",
        "4.5e33",
    ),
    "rzero_olympiadbench": (
        {
            "id": 1606,
            "question": "Solve $x^2 = 4$.",
            "context": None,
            "final_answer": ["$2$", "$-2$"],
            "is_multiple_answer": True,
            "error": None,
            "subfield": "Algebra",
            "subject": "Math",
            "language": "English",
            "modality": "Text-only",
        },
        "Solve $x^2 = 4$.",
        "2, -2",
    ),
    "rzero_amc23": (
        {"id": 0, "problem": "Where do they meet?", "answer": 27.0, "url": "none"},
        "Where do they meet?",
        "27",
    ),
    "rzero_aime24": (
        {
            "problem": "How many minutes?",
            "solution": "So $\\boxed{204}$.",
            "id": 60,
            "year": "2024",
        },
        "How many minutes?",
        "204",
    ),
    "rzero_aime25": (
        {"problem": "Sum of all bases?", "answer": 70, "id": 0},
        "Sum of all bases?",
        "70",
    ),
    "rzero_mmlu_pro": (
        {
            "question_id": 70,
            "question": "Which is a prime?",
            "options": ["4", "5", "6"],
            "answer": "B",
            "answer_index": 1,
            "category": "math",
        },
        "Which is a prime?\n\nA. 4\nB. 5\nC. 6\n\n"
        "Put only the letter of the one right option into the box.",
        "B",
    ),
    "rzero_supergpqa": (
        {
            "uuid": "7c1",
            "question": "Which one is even?",
            "options": ["three", "two"],
            "answer": "two",
            "answer_letter": "B",
            "discipline": "Science",
        },
        "Which one is even?\n\nA. three\nB. two\n\n"
        "Put only the letter of the one right option into the box.",
        "B",
    ),
    "rzero_bbeh": (
        {"task": "boolean", "question": "Is it (A) or (B)?", "answer": "(B)"},
        "Is it (A) or (B)?",
        "(B)",
    ),
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data caches of one's own, and no hub."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def jsonl(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


def load(name: str, path: str, **how: Any) -> Benchmark:
    (benchmark,) = load_tasks([name], data_files={name: path}, **how).benchmarks
    return benchmark


# --- from the hubs' columns to questions ----------------------------------------------------------


@pytest.mark.parametrize("name", ROWS)
def test_a_row_of_the_hub_becomes_a_question(tmp_path: Path, name: str) -> None:
    row, text, reference = ROWS[name]
    benchmark = load(name, jsonl(tmp_path / "data.jsonl", row))
    (question,) = benchmark.questions
    assert (question.text, question.reference) == (text, reference)
    group = {"rzero_math500": "Algebra", "rzero_olympiadbench": "Algebra", "rzero_bbeh": "boolean"}
    group |= {"rzero_mmlu_pro": "math", "rzero_supergpqa": "Science"}
    assert question.group == group.get(name)
    assert (benchmark.version, benchmark.choices) == (1.0, name in GENERAL[:2])
    sampled = name in ("rzero_amc23", "rzero_aime24", "rzero_aime25")
    assert (benchmark.k, benchmark.greedy, benchmark.metric) == (
        (32, False, "mean_at_k") if sampled else (0, True, "greedy")
    )


def test_all_the_papers_benchmarks_are_there() -> None:
    assert set(ROWS) == {*MATH, *GENERAL}


@pytest.mark.parametrize(
    ("name", "row", "reference"),
    [  # other mirrors of the same benchmarks
        ("rzero_minerva", {"question": "q", "answer": "$x$"}, "$x$"),
        ("rzero_amc23", {"question": "q", "answer": "27"}, "27"),
        ("rzero_aime24", {"Problem": "q", "Answer": 33, "ID": "2024-I-1"}, "33"),
        ("rzero_bbeh", {"input": "q", "target": "yes", "task": "t"}, "yes"),
        ("rzero_olympiadbench", {"question": "q", "answer": "3"}, "3"),
        ("rzero_mmlu_pro", {"question": "q", "options": ["x", "y"], "answer_index": 0}, "A"),
        ("rzero_mmlu_pro", {"question": "q", "options": ["1", "2", "3"], "answer": "3"}, "C"),
        ("rzero_mmlu_pro", {"question": "q", "options": ["x", "y", None], "answer": "B"}, "B"),
    ],
)
def test_mirrors_with_other_columns_are_read(
    tmp_path: Path, name: str, row: dict[str, Any], reference: str
) -> None:
    (question,) = load(name, jsonl(tmp_path / "data.jsonl", row)).questions
    assert question.reference == reference


def test_olympiadbench_is_its_english_mathematics_of_text_alone(tmp_path: Path) -> None:
    row = ROWS["rzero_olympiadbench"][0]
    others = [
        row | {"question": "images", "modality": "Multimodal"},
        row | {"question": "physics", "subject": "Physics"},
        row | {"question": "chinese", "language": "Chinese"},
        row | {"question": "a proof", "final_answer": None},
    ]
    benchmark = load("rzero_olympiadbench", jsonl(tmp_path / "data.jsonl", *others, row))
    assert [question.text for question in benchmark.questions] == ["Solve $x^2 = 4$."]
    with_context = row | {"context": "Let $x$ be real."}
    (question,) = load("rzero_olympiadbench", jsonl(tmp_path / "c.jsonl", with_context)).questions
    assert question.text == "Let $x$ be real.\n\nSolve $x^2 = 4$."


def test_parquet_is_read_and_names_the_same_data(tmp_path: Path) -> None:
    row = ROWS["rzero_math500"][0]
    datasets.Dataset.from_list([row] * 3).to_parquet(tmp_path / "data.parquet")
    lines = load("rzero_math500", jsonl(tmp_path / "data.jsonl", *[row] * 3))
    table = load("rzero_math500", str(tmp_path / "data.parquet"))
    assert table.questions == lines.questions
    assert table.data_sha256() == lines.data_sha256()
    assert load("rzero_math500", str(tmp_path / "data.parquet"), limit=2).data_sha256() != (
        lines.data_sha256()
    )


@pytest.mark.parametrize(
    ("name", "file", "n", "first", "last"),
    [
        ("rzero_gsm8k", "gsm8k_test.jsonl", 1319, "18", "14"),
        ("rzero_amc23", "amc23.jsonl", 40, "27", "8"),
        ("rzero_aime24", "aime24.jsonl", 30, "204", "902"),
    ],
)
def test_the_real_files_are_read(
    benchmarks: Path, name: str, file: str, n: int, first: str, last: str
) -> None:
    questions = load(name, str(benchmarks / file)).questions
    assert len(questions) == n
    records = [json.loads(line) for line in (benchmarks / file).read_text("utf-8").splitlines()]
    for question, record in zip(questions, records, strict=True):
        assert question.text == record.get("problem", record.get("question")).strip()
        answer = str(record["answer"]).rpartition("####")[2].strip()
        number = float(question.reference.replace(",", ""))
        assert number == float(answer.replace(",", ""))
    assert questions[0].reference == first
    assert float(questions[-1].reference) == float(last)


# --- what is wrong --------------------------------------------------------------------------------


def test_all_tasks_without_data_are_named_at_once_with_what_to_type(benchmarks: Path) -> None:
    given = {"rzero_amc23": str(benchmarks / "amc23.jsonl")}
    with pytest.raises(RzeroError) as caught:
        load_tasks(["rzero_math"], data_files=given)
    message = str(caught.value)
    assert "\n" not in message
    for name in MATH:
        assert (f"--data-file {name}=FILE" in message) == (name != "rzero_amc23")
    assert "rzero_minerva (zwhe99/simplerl-minerva-math)" in message


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        ("rzero_math500", {"text": "q", "answer": "1"}, "no column for the question (problem, q"),
        ("rzero_math500", {"problem": "q", "solution": "1"}, "no column for the answer (answer, "),
        ("rzero_gsm8k", {"question": "q", "answer": "#### "}, "an empty answer"),
        ("rzero_math500", {"problem": " ", "answer": "1"}, "an empty question"),
        (
            "rzero_mmlu_pro",
            {"question": "q", "options": ["x", "y", "z"], "answer": "I"},
            "names one of the options A to C",
        ),
        (
            "rzero_mmlu_pro",
            {"question": "q", "options": ["x", None, "z"], "answer": "C"},
            "the options are no list of 2 to 26",
        ),
        (
            "rzero_mmlu_pro",
            {"question": "q", "options": ["x"] * 27, "answer": "C"},
            "the options are no list of 2 to 26",
        ),
    ],
)
def test_data_that_would_be_graded_wrongly_is_refused(
    tmp_path: Path, name: str, row: dict[str, Any], message: str
) -> None:
    path = jsonl(tmp_path / "data.jsonl", row)
    with pytest.raises(DataError, match=rf"data\.jsonl: not the data of {name}: row 1") as caught:
        load(name, path)
    assert message in str(caught.value)


def test_a_file_that_is_no_jsonl_is_named_with_its_line(tmp_path: Path) -> None:
    row = json.dumps(ROWS["rzero_math500"][0])
    for text, message in ((f"{row}\n{row[:30]}\n", "data.jsonl:2: "), ("", "data.jsonl: no que")):
        (tmp_path / "data.jsonl").write_text(text)
        with pytest.raises(DataError, match=message):
            load("rzero_math500", str(tmp_path / "data.jsonl"))


def test_other_columns_for_a_task_of_lm_evals_are_its_files_error(
    own_gsm8k: str, tmp_path: Path
) -> None:
    path = jsonl(tmp_path / "data.jsonl", {"text": "q"})
    with pytest.raises(DataError, match=r"data\.jsonl: not the data of own_gsm8k"):
        load_tasks(
            ["own_gsm8k"],
            include_path=own_gsm8k,
            data_files={"own_gsm8k": path},
            num_fewshot=0,
        )


def test_data_of_a_task_that_is_not_named_is_refused(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "data.jsonl", ROWS["rzero_math500"][0])
    with pytest.raises(UsageError, match="--tasks does not name rzero_gsm8k"):
        load_tasks(["rzero_math500"], data_files={"rzero_math500": path, "rzero_gsm8k": path})


@pytest.fixture
def own_gsm8k(tmp_path: Path) -> str:
    """A folder with lm-eval's own task for GSM8K, found without reading lm-eval's whole index."""
    source = Path(lm_eval.__file__).parent / "tasks" / "gsm8k" / "gsm8k.yaml"
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "own.yaml").write_text(f"include: {source}\ntask: own_gsm8k\n")
    return str(tmp_path / "tasks")


def test_a_task_of_lm_evals_takes_local_data_and_says_which_split_it_misses(
    own_gsm8k: str, benchmarks: Path
) -> None:
    test = str(benchmarks / "gsm8k_test.jsonl")

    def load_own(num_fewshot: int | None = None, **files: str) -> Any:
        named = {name.replace("_train", ":train"): path for name, path in files.items()}
        how = {"include_path": own_gsm8k, "num_fewshot": num_fewshot}
        return load_tasks(["own_gsm8k"], data_files=named, **how).others["tasks"]["own_gsm8k"]

    with pytest.raises(UsageError, match="--data-file own_gsm8k:train=FILE, or show none with"):
        load_own(own_gsm8k=test)
    assert len(load_own(0, own_gsm8k=test).eval_docs) == 1319
    assert load_own(own_gsm8k=test, own_gsm8k_train=test).config.num_fewshot == 5
    with pytest.raises(UsageError, match="own_gsm8k=FILE is missing, with what is examined"):
        load_own(own_gsm8k_train=test)
    with pytest.raises(RzeroError, match=r"no data for own_gsm8k .*--data-file own_gsm8k=FILE"):
        load_own()


# --- verdicts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("boxed", "letter"),
    [
        ("C", "C"),
        ("(C)", "C"),
        ("c", "C"),
        (r"\text{C}", "C"),
        (r"\textbf{(C)}", "C"),
        ("C.", "C"),
        ("C. 12 m", "C"),
        ("(C) 12 m", "C"),
        ("C: the third", "C"),
        ("Option C", "C"),
        ("answer: J", "J"),
        ("$C$", "C"),
        (None, None),
        ("", None),
        ("12 m", None),
        ("A and B", None),
        ("A, B", None),
        ("AB", None),
        ("A train", None),
        ("(A)(B)", None),
        ("(A) or (B)", None),
        ("(A) and (C)", None),
        ("A. and B.", None),
        ("A. or B", None),
        ("A) & B", None),
        ("(A) the first, or (B)", None),
        ("(C) Vitamin A", "C"),
        ("None of them", None),
    ],
)
def test_a_letter_is_read_and_never_guessed(boxed: str | None, letter: str | None) -> None:
    assert choice_letter(boxed) == letter


def test_an_unreadable_choice_is_wrong_whatever_the_reference() -> None:
    for reference in "ABCDEFGHIJ":
        found = grade_choice({"reference": reference}, ["It is Paris, \\boxed{Paris}."])
        assert found == {"score": 0.0, "maj_at_k": 0.0, "unreadable": 1.0}


def test_repeats_are_all_graded() -> None:
    texts = ["\\boxed{27}", "\\boxed{27.0}", "\\boxed{28}", "no box"]
    assert grade({"reference": "27"}, [texts]) == {
        "score": 0.5,
        "maj_at_k": 1.0,
        "unreadable": 0.25,
    }


RECORDED = Path(__file__).with_name("recorded_outputs.jsonl")


def test_recorded_outputs_get_the_verdicts_given_by_hand() -> None:
    """No wrong answer is right; the right ones that are not seen are these."""
    rows = [json.loads(line) for line in RECORDED.read_text("utf-8").splitlines()]
    said = [grade(row, [row["completion"]])["score"] == 1 for row in rows]
    errors = [row for row, right in zip(rows, said, strict=True) if right != row["correct"]]
    assert [(row["correct"], row["reference"]) for row in errors] == [
        (True, "18"),  # a sentence within the box
        (True, "\\frac{3}{4}"),  # 75 %, where the sign is dropped
        (True, "5"),  # a number in words
        (True, "\\sqrt{51}"),  # an empty box after the right one
    ]


# --- the task files themselves --------------------------------------------------------------------


def test_the_task_files_say_what_rzero_asks(tmp_path: Path) -> None:
    """With lm-eval alone they give the same prompt, draws and lengths."""
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(FOLDER), include_defaults=False)
    assert {*MATH, *GENERAL} == set(manager.all_subtasks)
    for group, members in (("rzero_math", MATH), ("rzero_general", GENERAL)):
        assert manager.task_index[group].cfg["task"] == list(members)
    for name, (row, text, _) in ROWS.items():
        path = jsonl(tmp_path / f"{name}.jsonl", row)
        own = tmp_path / f"{name}.yaml"
        own.write_text(
            f"include: {manager.task_index[name].yaml_path}\ndataset_path: json\n"
            "dataset_name: null\ntest_split: test\n"
            f"dataset_kwargs: {{data_files: {{test: {path}}}}}"
        )
        (task,) = manager.load([str(own)])["tasks"].values()
        context = task.fewshot_context(
            task.eval_docs[0],
            0,
            apply_chat_template=True,
            fewshot_as_multiturn=True,
            chat_template=lambda messages, add_generation_prompt: json.dumps(messages),
        )
        assert json.loads(context) == prompt_for(SOLVER, text)
        drawn = task.config.generation_kwargs
        assert drawn["max_gen_toks"] == preset_value("eval", "max_tokens")
        if task.config.repeats > 1:
            assert drawn["temperature"] == preset_value("eval", "temperature")
            assert drawn["top_p"] == preset_value("eval", "top_p")


# --- averages -------------------------------------------------------------------------------------


def test_averages_are_the_papers() -> None:
    """Qwen3-4B-Base and its third iteration in the paper's table of general reasoning."""
    for maths, general, overall in (
        (42.58, (37.38, 20.88, 7.57), 27.10),
        (49.07, (51.53, 27.55, 10.42), 34.64),
    ):
        tasks = {name: {"score": maths / 100, "stderr": 0.01} for name in MATH}
        tasks |= {
            name: {"score": value / 100, "stderr": 0.02}
            for name, value in zip(GENERAL, general, strict=True)
        }
        found = averages(tasks)
        assert round(100 * found["rzero_overall"]["score"], 2) == overall
        assert found["rzero_math"]["score"] == pytest.approx(maths / 100)
        assert found["rzero_math"]["stderr"] == pytest.approx(0.01 / 7**0.5)
        assert found["rzero_overall"]["paper"].startswith("arXiv:2508.05004v")


def test_what_was_evaluated_in_part_is_not_the_papers_average() -> None:
    tasks = {name: {"score": 0.5, "stderr": 0.1, "as_defined": True} for name in (*MATH, *GENERAL)}
    tasks["rzero_aime25"]["as_defined"] = False
    found = averages(tasks)
    assert [one["paper"] is None for one in found.values()] == [True, False, True]


def test_there_is_no_average_of_a_part_of_a_suite() -> None:
    assert averages({name: {"score": 0.5, "stderr": 0.1} for name in MATH[:-1]}) == {}


# --- with a model ---------------------------------------------------------------------------------


def evaluate(
    rzero: Rzero, folder: Path, model: Path, *more: str
) -> tuple[Ended, dict[str, Any], list[dict[str, Any]]]:
    command = ["eval", "--model", model, *more, "-o", "out.json", "--log-samples", "log.jsonl"]
    ended = rzero(*command)
    assert ended.status == 0, ended.stderr
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return ended, json.loads((folder / "out.json").read_text()), log


@pytest.mark.slow
def test_the_whole_suite_on_local_files(rzero: Rzero, tmp_path: Path, tiny_model: Path) -> None:
    files = [
        f"--data-file={name}={jsonl(tmp_path / f'{name}.jsonl', *[row] * 3)}"
        for name, (row, _, _) in ROWS.items()
    ]
    more = ["--tasks", "rzero_math,rzero_general", *files, "--max-tokens", "8", "--limit", "2"]
    ended, results, log = evaluate(rzero, tmp_path, tiny_model, *more)
    assert list(results["tasks"]) == [*MATH, *GENERAL]
    assert set(results["averages"]) == {"rzero_math", "rzero_general", "rzero_overall"}
    for name, task in results["tasks"].items():
        assert (task["n"], task["k"]) == (2, 32 if "a" in name[6:8] and name[6] == "a" else 0)
        assert results["results"][name]["score,none"] == task["score"]
        assert results["versions"][name] == task["version"] == 1.0
        assert results["n-samples"][name] == {"original": 3, "effective": 2}
        assert task["as_defined"] is False
    assert results["origin"]["settings"]["k"] is None
    drawn = [r for r in log if r["pass"] == "sampled"]
    assert {r["task"] for r in drawn} == {"rzero_amc23", "rzero_aime24", "rzero_aime25"}
    assert all(len(r["completions"]) == 32 and len(set(r["completions"])) > 24 for r in drawn)
    assert "rzero_overall" in ended.stderr


@pytest.mark.slow
def test_a_typed_k_goes_before_the_tasks_own(
    rzero: Rzero, tmp_path: Path, tiny_model: Path
) -> None:
    names = ("rzero_amc23", "rzero_gsm8k")
    files = [
        f"--data-file={name}={jsonl(tmp_path / f'{name}.jsonl', ROWS[name][0])}" for name in names
    ]
    more = ["--tasks", ",".join(names), *files, "--max-tokens", "8"]
    _, results, _ = evaluate(rzero, tmp_path, tiny_model, *more, "--k", "2")
    amc, gsm8k = (results["tasks"][name] for name in names)
    assert (amc["k"], amc["metric"], amc["greedy"]) == (2, "mean_at_k", None)
    assert (amc["as_defined"], gsm8k["as_defined"]) == (False, True)
    assert results["config"]["model"] == amc["protocol"]["engine"] == "transformers"
    assert (gsm8k["k"], gsm8k["metric"], gsm8k["score"]) == (
        2,
        "greedy",
        gsm8k["greedy"]["score"],
    )
    _, results, _ = evaluate(rzero, tmp_path, tiny_model, *more, "--k", "0", "--force")
    amc = results["tasks"]["rzero_amc23"]
    assert (amc["k"], amc["metric"], amc["mean_at_k"]) == (0, "greedy", None)
    (tmp_path / "rzero.toml").write_text("[eval]\nk = 3\n")
    _, results, _ = evaluate(rzero, tmp_path, tiny_model, *more, "--force")
    assert results["tasks"]["rzero_amc23"]["k"] == results["origin"]["settings"]["k"] == 3


N = 4
"""Questions of GSM8K that the real model answers."""


@pytest.fixture(scope="module")
def gsm8k(benchmarks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GSM8K's file under a name without spaces, for commands."""
    path = tmp_path_factory.mktemp("gsm8k") / "test.jsonl"
    path.write_bytes((benchmarks / "gsm8k_test.jsonl").read_bytes())
    return path


def test_on_the_same_outputs_lm_eval_and_our_grader_agree(own_gsm8k: str, gsm8k: Path) -> None:
    """The 1,319 worked solutions as outputs, each for its own question and for the next one.

    lm-eval's filter, the last number, takes the answer out for both graders.
    """
    how: dict[str, Any] = {"include_path": own_gsm8k, "num_fewshot": 0}
    found = load_tasks(["own_gsm8k"], data_files={"own_gsm8k": str(gsm8k)}, **how)
    theirs = found.others["tasks"]["own_gsm8k"]
    theirs.build_all_requests()
    solutions = [one.doc["answer"] for one in theirs.instances]
    references = [q.reference for q in load("rzero_gsm8k", str(gsm8k)).questions]
    for outputs in (solutions, [*solutions[1:], solutions[0]]):
        for instance, output in zip(theirs.instances, outputs, strict=True):
            instance.resps = [output]
        theirs.apply_filters()
        last = [one.filtered_resps["flexible-extract"] for one in theirs.instances]
        verdicts = [
            bool(theirs.process_results(one.doc, [answer])["exact_match"])
            for one, answer in zip(theirs.instances, last, strict=True)
        ]
        boxed = ["\\boxed{" + answer + "}" for answer in last]
        pairs = zip(boxed, references, strict=True)
        ours = [grade({"reference": r}, [text])["score"] == 1 for text, r in pairs]
        differ = [
            (a, r) for a, r, x, y in zip(last, references, verdicts, ours, strict=True) if x != y
        ]
        assert differ == []
        assert (sum(verdicts) == 1319) == (outputs is solutions)


@pytest.mark.slow
def test_gsm8k_with_a_real_model(rzero: Rzero, tmp_path: Path, smollm2: Path, gsm8k: Path) -> None:
    more = ["--tasks", "rzero_gsm8k", f"--data-file=rzero_gsm8k={gsm8k}", "--limit", str(N)]
    _, results, log = evaluate(rzero, tmp_path, smollm2, *more, "--max-tokens", "64")
    task = results["tasks"]["rzero_gsm8k"]
    assert (task["n"], len(log), results["n-samples"]["rzero_gsm8k"]["effective"]) == (N, N, N)
    # It writes of the question's own matter, and no boxes.
    assert "eggs" in log[0]["completions"][0]
    assert task["unreadable"] > 0.5


@pytest.mark.slow
def test_lm_evals_own_gsm8k_has_lm_evals_own_numbers(
    rzero: Rzero, tmp_path: Path, smollm2: Path, gsm8k: Path
) -> None:
    """The same task by lm-eval with its own model class and by `rzero eval`, as chats."""
    source = Path(lm_eval.__file__).parent / "tasks" / "gsm8k" / "gsm8k.yaml"
    own_task(tmp_path, f"{source}", gsm8k, "training_split: null\nfewshot_split: null\n")
    how = ["--tasks", "own", "--include-path", "tasks", "--limit", str(N), "--max-tokens", "48"]
    _, ours, log = evaluate(rzero, tmp_path, smollm2, *how, "--chat", "--batch-size", str(N))
    theirs = lm_eval_alone(tmp_path, smollm2, limit=N, max_gen_toks=48, apply_chat_template=True)
    for name in ("strict-match", "flexible-extract"):
        for key in (f"exact_match,{name}", f"exact_match_stderr,{name}"):
            assert ours["results"]["own"][key] == theirs["results"]["own"][key]
    # Not by both being zero alone: the outputs are the same.
    rows = [row for row in theirs["samples"]["own"] if row["filter"] == "strict-match"]
    assert [record["completions"][0] for record in log] == [row["resps"][0][0] for row in rows]


def own_task(folder: Path, source: str, data: Path, more: str = "") -> None:
    """A task `own` in `folder/tasks`: that of a file, on local data, without examples."""
    (folder / "tasks").mkdir()
    (folder / "tasks" / "own.yaml").write_text(
        f"include: {source}\ntask: own\ndataset_path: json\ndataset_name: null\n"
        f"dataset_kwargs: {{data_files: {{test: {data}}}}}\nnum_fewshot: 0\n{more}"
    )


ALONE = """
import json, sys
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

model, limit, length, chat = sys.argv[1:]
found = simple_evaluate(
    model="hf",
    model_args={"pretrained": model, "dtype": "float32"},
    tasks=["own"],
    task_manager=TaskManager(include_path="tasks", include_defaults=False),
    device="cpu",
    batch_size=int(limit),
    limit=int(limit),
    gen_kwargs={"max_gen_toks": int(length)},
    apply_chat_template=chat == "True",
    fewshot_as_multiturn=chat == "True",
)
with open("theirs.json", "w") as stream:
    json.dump({key: found[key] for key in ("results", "samples")}, stream, default=str)
"""


def lm_eval_alone(
    folder: Path, model: Path, *, limit: int, max_gen_toks: int, apply_chat_template: bool = False
) -> dict[str, Any]:
    """What lm-eval itself makes of the task `own`."""
    arguments = [str(model), str(limit), str(max_gen_toks), str(apply_chat_template)]
    done = subprocess.run(
        [sys.executable, "-c", ALONE, *arguments],
        cwd=folder,
        env=os.environ | {"HF_DATASETS_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads((folder / "theirs.json").read_text())
    assert isinstance(results, dict)
    return results


@pytest.mark.slow
def test_lm_eval_alone_runs_the_task_files(tmp_path: Path, tiny_model: Path, gsm8k: Path) -> None:
    own_task(tmp_path, f"{FOLDER}/gsm8k.yaml", gsm8k)
    theirs = lm_eval_alone(tmp_path, tiny_model, limit=3, max_gen_toks=8)["results"]["own"]
    assert (theirs["score,none"], theirs["unreadable,none"]) == (0.0, 1.0)


def test_wrong_tasks_are_one_line(refused: Refused, tmp_path: Path, tiny_model: Path) -> None:
    message = refused("eval", "--model", tiny_model, "--tasks", "rzero_math501", "-o", "out.json")
    assert "--tasks rzero_math501: no such task; did you mean rzero_math500" in message
