"""The data of the paper's benchmarks: hub columns, local files, errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conftest import Refused

pytest.importorskip("lm_eval")
datasets = pytest.importorskip("datasets")

from helpers.suite_rows import ROWS, jsonl, load  # noqa: E402
from rzero_cli.errors import DataError, RzeroError, UsageError  # noqa: E402
from rzero_cli.evaluation.loading import load_tasks  # noqa: E402
from rzero_cli.evaluation.suite import GENERAL, MATH  # noqa: E402

pytestmark = pytest.mark.usefixtures("own_cache")


# --- from the hubs' columns to questions ----------------------------------------------------------


@pytest.mark.parametrize("name", ROWS)
def test_hub_row_becomes_a_question(tmp_path: Path, name: str) -> None:
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


def test_suite_has_all_benchmarks_of_the_paper() -> None:
    assert set(ROWS) == {*MATH, *GENERAL}


@pytest.mark.parametrize(
    ("name", "row", "reference"),
    [  # other mirrors of the same benchmarks
        ("rzero_minerva", {"question": "q", "answer": "$x$"}, "$x$"),
        # the answer only in a box, as in the sets' own files
        (
            "rzero_minerva",
            {"problem": "q", "solution": "Thus $\\boxed{4.5e33}$ erg.", "type": "t", "idx": 0},
            "4.5e33",
        ),
        (
            "rzero_math500",
            {"problem": "q", "solution": "So $\\boxed{2}$.", "level": "Level 3", "type": "Algebra"},
            "2",
        ),
        (
            "rzero_amc23",
            {"problem": "q", "solution": "It is $\\boxed{\\text{(B)}}$."},
            "\\text{(B)}",
        ),
        ("rzero_aime25", {"Problem": "q", "Solution": "So \\boxed{070}"}, "070"),
        ("rzero_olympiadbench", {"question": "q", "solution": ["So", "\\boxed{3}"]}, "3"),
        ("rzero_gsm8k", {"question": "q", "solution": "So \\boxed{3}", "answer": None}, "3"),
        # a whole solution as the answer
        ("rzero_math500", {"problem": "q", "answer": "It must be equal to $\\boxed{2}$."}, "2"),
        # a list, and a list as text in a CSV file
        ("rzero_olympiadbench", {"question": "q", "final_answer": ["$2,-2$"]}, "2,-2"),
        ("rzero_olympiadbench", {"question": "q", "final_answer": "['$2$', '$-2$']"}, "2, -2"),
        ("rzero_olympiadbench", {"question": "q", "final_answer": "[0, 1)"}, "[0, 1)"),
        ("rzero_math500", {"problem": "q", "answer": "[1, 2]"}, "[1, 2]"),
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


def test_olympiadbench_keeps_english_text_mathematics(tmp_path: Path) -> None:
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


def test_parquet_and_jsonl_have_the_same_data_hash(tmp_path: Path) -> None:
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
def test_real_benchmark_files_are_read(
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


# --- errors ---------------------------------------------------------------------------------------


def test_error_names_all_tasks_without_data_and_their_options(benchmarks: Path) -> None:
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
        (
            "rzero_minerva",
            {"problem": "q", "solution": "1"},
            "and no box in the solution; columns: pro",
        ),
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
            "the options are not a list of 2 to 26",
        ),
        (
            "rzero_mmlu_pro",
            {"question": "q", "options": ["x"] * 27, "answer": "C"},
            "the options are not a list of 2 to 26",
        ),
    ],
)
def test_data_that_would_be_graded_wrongly_is_rejected(
    tmp_path: Path, name: str, row: dict[str, Any], message: str
) -> None:
    path = jsonl(tmp_path / "data.jsonl", row)
    with pytest.raises(DataError, match=rf"data\.jsonl: not data for {name}: row 1") as caught:
        load(name, path)
    assert message in str(caught.value)


def test_malformed_data_file_error_names_the_line(tmp_path: Path) -> None:
    row = json.dumps(ROWS["rzero_math500"][0])
    for text, message in ((f"{row}\n{row[:30]}\n", "data.jsonl:2: "), ("", "data.jsonl: no que")):
        (tmp_path / "data.jsonl").write_text(text)
        with pytest.raises(DataError, match=message):
            load("rzero_math500", str(tmp_path / "data.jsonl"))


def test_lm_eval_task_data_with_other_columns_is_rejected(own_gsm8k: str, tmp_path: Path) -> None:
    path = jsonl(tmp_path / "data.jsonl", {"text": "q"})
    with pytest.raises(DataError, match=r"data\.jsonl: not data for own_gsm8k"):
        load_tasks(
            ["own_gsm8k"],
            include_path=own_gsm8k,
            data_files={"own_gsm8k": path},
            num_fewshot=0,
        )


def test_data_file_of_an_unnamed_task_is_rejected(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "data.jsonl", ROWS["rzero_math500"][0])
    with pytest.raises(UsageError, match="--tasks does not name rzero_gsm8k"):
        load_tasks(["rzero_math500"], data_files={"rzero_math500": path, "rzero_gsm8k": path})


def test_lm_eval_task_takes_local_data_and_names_missing_splits(
    own_gsm8k: str, benchmarks: Path
) -> None:
    test = str(benchmarks / "gsm8k_test.jsonl")

    def load_own(num_fewshot: int | None = None, **files: str) -> Any:
        named = {name.replace("_train", ":train"): path for name, path in files.items()}
        how = {"include_path": own_gsm8k, "num_fewshot": num_fewshot}
        return load_tasks(["own_gsm8k"], data_files=named, **how).others["tasks"]["own_gsm8k"]

    with pytest.raises(UsageError, match="--data-file own_gsm8k:train=FILE, or use none with"):
        load_own(own_gsm8k=test)
    assert len(load_own(0, own_gsm8k=test).eval_docs) == 1319
    assert load_own(own_gsm8k=test, own_gsm8k_train=test).config.num_fewshot == 5
    with pytest.raises(UsageError, match="own_gsm8k=FILE is missing: the split to evaluate on"):
        load_own(own_gsm8k_train=test)
    with pytest.raises(RzeroError, match=r"no data for own_gsm8k .*--data-file own_gsm8k=FILE"):
        load_own()


def test_unknown_task_error_is_one_line(refused: Refused, tmp_path: Path, tiny_model: Path) -> None:
    message = refused("eval", "--model", tiny_model, "--tasks", "rzero_math501", "-o", "out.json")
    assert "--tasks rzero_math501: no such task; did you mean rzero_math500" in message
