"""Real TRL trainings of both roles on a model that trains in seconds."""

from __future__ import annotations

import json
import shutil
import signal
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from helpers.forkserver import ForkServer
from helpers.option_groups import group
from rzero_cli.data.provenance import content_hash
from rzero_cli.engines.sampling_options import SamplingOptions
from rzero_cli.method.plan import make_plan
from rzero_cli.training.saving import last_state
from rzero_cli.training.settings import Grpo, Hardware

pytestmark = pytest.mark.slow

FAST = ["--max-tokens", "24", "--batch-size", "256", "--quiet"]


def log_of(checkpoint: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (checkpoint / "log.jsonl").read_text().splitlines()]


def challenge(rzero, base: Path, out: Path, *options: str):
    return rzero(
        *("challenge", "--challenger", base, "--solver", base, "-o", out, *FAST),
        *("--solver-max-tokens", "24", "--beta", "0.001", "--top-p", "1", *options),
    )


def train_solver(rzero, base: Path, data: Path, out: Path, *options: str):
    return rzero(
        *("train-solver", data, "--solver", base, "-o", out, *FAST),
        *("--beta", "0.001", "--top-p", "1", *options),
    )


@pytest.fixture(scope="module")
def one_label(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return forty questions of one kind with their true answers as labels."""
    path = tmp_path_factory.mktemp("labels") / "train.jsonl"
    rows = [
        {"question": f"reverse the digits of {n}", "answer": str(n)[::-1]} for n in range(400, 440)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_challenger_reward_rises_in_training(rzero, small_base: Path, tmp_path: Path) -> None:
    out = tmp_path / "challenger"
    plan = ["--steps", "10", "--prompts", "4", "--batch", "4", "--group", "32"]
    done = challenge(rzero, small_base, out, *plan, "--learning-rate", "1e-3", "--lambda-rep", "0")
    assert done.status == 0, done.stderr
    log = log_of(out)
    assert len(log) == 10
    first, last = (sum(step["reward"] for step in part) for part in (log[:2], log[-2:]))
    assert last > first + 0.1, [step["reward"] for step in log]


def test_solver_reward_rises_in_training(
    rzero, small_base: Path, one_label: Path, tmp_path: Path
) -> None:
    out = tmp_path / "solver"
    plan = ["--steps", "10", "--prompts", "16", "--batch", "16", "--group", "8"]
    done = train_solver(rzero, small_base, one_label, out, *plan, "--learning-rate", "5e-4")
    assert done.status == 0, done.stderr
    log = log_of(out)
    first, last = (sum(step["reward"] for step in part) / 2 for part in (log[:2], log[-2:]))
    assert last > first + 0.15, [step["reward"] for step in log]


def test_step_makes_planned_updates_and_kl_starts_at_zero(
    rzero, small_base: Path, one_label: Path, tmp_path: Path
) -> None:
    """The reference is the model that each stage started from, in the second iteration, too."""
    plan = ["--steps", "2", "--prompts", "8", "--batch", "2", "--group", "4"]
    model = small_base
    for iteration in (1, 2):
        for role in ("challenger", "solver"):
            out = tmp_path / f"{role}-{iteration}"
            if role == "challenger":
                done = challenge(rzero, model, out, *plan, "--learning-rate", "1e-3")
            else:
                done = train_solver(rzero, model, one_label, out, *plan, "--learning-rate", "1e-3")
            assert done.status == 0, done.stderr
            log = log_of(out)
            assert [step["update"] for step in log] == list(range(1, 2 * 4 + 1))
            # Rollouts are sampled once per step: their metrics come with its first update.
            assert [step["update"] for step in log if "reward" in step] == [1, 5]
            assert abs(log[0]["kl"]) < 1e-6
            assert max(step["kl"] for step in log) > 1e-6
            record = json.loads((out / "rzero.json").read_text())
            assert record["plan"]["updates"] == 8
            assert record["plan"]["rollouts"] == 2 * 8 * 4
            model = out


def test_step_metrics_are_logged(rzero, small_base: Path, one_label: Path, tmp_path: Path) -> None:
    plan = ["--steps", "2", "--prompts", "4", "--batch", "2", "--group", "4"]
    plan += ["--report-to", "tensorboard", "--log-file", "metrics.jsonl"]
    assert challenge(rzero, small_base, tmp_path / "c", *plan).status == 0
    step = log_of(tmp_path / "c")[0]
    wanted = {"reward", "valid", "p_hat", "r_unc", "r_rep", "clusters", "largest_cluster"}
    wanted |= {"frac_reward_zero_std", "kl", "entropy", "completions/mean_length"}
    assert wanted <= step.keys()
    assert 0 < step["largest_cluster"] <= 1
    assert train_solver(rzero, small_base, one_label, tmp_path / "s", *plan).status == 0
    assert {"reward", "readable", "agrees_with_label"} <= log_of(tmp_path / "s")[0].keys()
    for name in "cs":
        reported = scalars_of(tmp_path / name / "tensorboard")
        logged = {
            (f"train/{key}", line["update"]): value
            for line in log_of(tmp_path / name)
            for key, value in line.items()
            if key != "update"
        }
        assert len(logged) > 50
        for place, value in logged.items():
            assert reported[place] == pytest.approx(value, rel=1e-5, abs=1e-9), place
        # Trackers and logs are not part of the checkpoint.
        record = json.loads((tmp_path / name / "rzero.json").read_text())
        assert not record["settings"].keys() & {"report_to", "log_file"}
        shutil.rmtree(tmp_path / name / "tensorboard")
        assert content_hash(tmp_path / name) == record["sha256"]
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["start", *["update"] * 4, "end"] * 2
    for name, stage in zip("cs", (lines[:6], lines[6:]), strict=True):
        assert {line["output"] for line in stage} == {str(tmp_path / name)}
        assert [line["step"] for line in stage[1:-1]] == [1, 1, 2, 2]
        for update, metrics in zip(stage[1:-1], log_of(tmp_path / name), strict=True):
            assert metrics.items() <= update.items()
            assert (update["done"], update["total"]) == (metrics["update"], 4)
        assert {"reward", "kl", "entropy", "zero-variance", "length"} < stage[-1].keys()
        assert stage[-1]["status"] == 0
    assert {"r_unc", "r_rep", "valid"} < lines[5].keys()


def scalars_of(folder: Path) -> dict[tuple[str, int], float]:
    """Return the scalars that TensorBoard reads, by name and update."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder))
    read.Reload()
    return {
        (tag, event.step): event.value
        for tag in read.Tags()["scalars"]
        for event in read.Scalars(tag)
    }


def test_training_reward_equals_rzero_score(rzero, small_base: Path, tmp_path: Path) -> None:
    """The Challenger's reward function equals `rzero score` on the same completions."""
    from types import SimpleNamespace

    from rzero_cli.engines import Sampling, derived_seed
    from rzero_cli.engines.answering import open_solver
    from rzero_cli.method.prompts import SOLVER
    from rzero_cli.method.rewards import challenger_rewards
    from rzero_cli.training.challenger import challenger_reward

    questions = ["reverse the digits of 123", "reverse the digits of 1239", None]
    questions.append("copy the number 5555")
    texts = ["no question" if q is None else f"<question>{q}</question>" for q in questions]
    seen: dict[str, float] = {}
    sampling = Sampling(n=10, max_tokens=24)
    with open_solver("transformers", str(small_base), sampling, SOLVER, batch_size=64) as solver:
        function = challenger_reward(solver, seed=3, bleu="13a", rule="paper")
        state = SimpleNamespace(global_step=7)
        rewards = function(texts, trainer_state=state, log_metric=seen.__setitem__)
        valid = [question for question in questions if question is not None]
        labelled = list(solver.label(valid, seed=derived_seed(3, 7, 0)))
    p_hats = [v.vote.p_hat for v in labelled]
    p_hats.insert(2, None)
    expected = challenger_rewards(questions, p_hats)
    assert rewards == [part.reward for part in expected]
    assert [part.r_rep for part in expected] == [0.5, 0.5, None, 0.25]
    assert seen["valid"] == 0.75
    assert seen["largest_cluster"] == 0.5
    assert seen["p_hat"] == pytest.approx(sum(p for p in p_hats if p is not None) / 3)


def weights(checkpoint: Path):
    from safetensors.torch import load_file

    return load_file(checkpoint / "model.safetensors")


def test_interrupted_training_resumes_to_the_same_weights(
    rzero, forks: ForkServer, small_base: Path, one_label: Path, tmp_path: Path
) -> None:
    plan = ["--steps", "12", "--prompts", "8", "--batch", "4", "--group", "4"]
    plan += ["--learning-rate", "1e-3"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert train_solver(rzero, small_base, one_label, whole, *plan).status == 0

    command = ["train-solver", one_label, "--solver", small_base, "-o", broken, *FAST]
    command += ["--beta", "0.001", "--top-p", "1", *plan, "--log-file", tmp_path / "metrics"]
    errors = tmp_path / "errors"
    running = forks.start(command, cwd=tmp_path, stderr=errors)
    part = tmp_path / "broken.part"
    deadline = time.monotonic() + 120
    while not last_state(part):
        assert running.poll() is None, errors.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    assert running.wait(timeout=60) == 130, errors.read_text()
    assert not broken.exists()
    assert part.is_dir()

    again = train_solver(rzero, small_base, one_label, broken, *plan)
    assert again.status == 2
    assert "--resume" in again.stderr
    # Another batch size samples other rollouts, so the weights would differ.
    other = train_solver(
        rzero, small_base, one_label, broken, *plan, "--batch-size", "7", "--resume"
    )
    assert (other.status, "other settings (batch_size)" in other.stderr) == (2, True), other.stderr
    resume = ["--resume", "--log-file", str(tmp_path / "metrics")]
    done = train_solver(rzero, small_base, one_label, broken, *plan, *resume)
    assert done.status == 0, done.stderr
    assert [s["update"] for s in log_of(broken)] == [s["update"] for s in log_of(whole)]
    lines = [json.loads(line) for line in (tmp_path / "metrics").read_text().splitlines()]
    assert [line["status"] for line in lines if line["event"] == "end"] == [130, 0]
    last = lines[[line["event"] for line in lines].index("end") + 2 : -1]
    assert [line["update"] for line in last] == list(range(last[0]["update"], 25))
    assert last[0]["update"] > 1
    one, other = weights(whole), weights(broken)
    for name, tensor in one.items():
        assert tensor.allclose(other[name], atol=1e-6), name
    assert not part.exists()
    assert not (broken / "checkpoints").exists()


def test_trained_checkpoint_is_complete_without_pickles(
    rzero, small_base: Path, one_label: Path, tmp_path: Path
) -> None:
    out = tmp_path / "solver"
    plan = ["--steps", "1", "--prompts", "2", "--batch", "2", "--group", "2"]
    assert train_solver(rzero, small_base, one_label, out, *plan).status == 0
    names = {path.name for path in out.iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "rzero.json"} <= names
    assert not any(name.endswith((".bin", ".pt", ".pkl")) for name in names)
    record = json.loads((out / "rzero.json").read_text())
    assert record["stage"] == "train-solver"
    assert [parent["path"] for parent in record["parents"]] == [str(one_label), str(small_base)]
    assert all(parent["sha256"] for parent in record["parents"])
    refused = train_solver(rzero, small_base, one_label, out, *plan)
    assert refused.status == 2
    assert refused.stderr.count("\n") == 1
    assert train_solver(rzero, small_base, one_label, out, *plan, "--force").status == 0


def test_empty_training_set_is_an_error_and_a_small_one_is_repeated(
    rzero, small_base: Path, one_label: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    plan = ["--steps", "1", "--prompts", "4", "--batch", "4", "--group", "2"]
    refused = train_solver(rzero, small_base, empty, tmp_path / "none", *plan)
    assert refused.status == 2
    assert "no questions to train on" in refused.stderr
    assert not (tmp_path / "none").exists()
    one = tmp_path / "one.jsonl"
    one.write_text(one_label.read_text().splitlines()[0] + "\n")
    few = rzero(
        *("train-solver", one, "--solver", small_base, "-o", tmp_path / "few", "--max-tokens"),
        *("24", *plan),
    )
    assert few.status == 0, few.stderr
    assert "1 questions are fewer than the 4 prompts of a step" in few.stderr


def test_presets_train_with_their_own_clipping(
    rzero, small_base: Path, one_label: Path, tmp_path: Path
) -> None:
    plan = ["--steps", "1", "--prompts", "2", "--batch", "1", "--group", "4"]
    official = challenge(rzero, small_base, tmp_path / "c", *plan, "--preset", "official")
    assert official.status == 0, official.stderr
    settings = json.loads((tmp_path / "c" / "rzero.json").read_text())["settings"]
    assert (settings["clip_high"], settings["clip_dual"], settings["bleu"]) == (0.3, 3.0, "nltk")
    solver = train_solver(
        rzero, small_base, one_label, tmp_path / "s", *plan, "--preset", "official"
    )
    assert solver.status == 0, solver.stderr
    # 0.9 * accuracy + 0.1 * format, and the miniature never writes <think>.
    assert all(0 <= step["reward"] <= 0.9 for step in log_of(tmp_path / "s") if "reward" in step)


def test_dry_run_prints_the_plan_and_trains_nothing(
    rzero, small_base: Path, tmp_path: Path
) -> None:
    done = challenge(rzero, small_base, tmp_path / "c", "--dry-run")
    assert done.status == 0, done.stderr
    # The paper's Challenger: 5 steps, 32 updates each, 2,048 rollouts per step.
    assert "5 steps x 32 updates = 160 updates; 10,240 rollouts" in done.stdout
    assert "1 GPU of 79 GiB: all weights, 8 rollouts per pass, peak" in done.stdout
    assert not (tmp_path / "c").exists()


def test_allow_empty_copies_the_solver(rzero, small_base: Path, tmp_path: Path) -> None:
    """A baseline whose Challenger generates nothing worth keeping must not end the loop."""
    empty, out = tmp_path / "empty.jsonl", tmp_path / "same"
    empty.touch()
    plan = ["--steps", "1", "--prompts", "4", "--batch", "4", "--group", "2"]
    done = train_solver(rzero, small_base, empty, out, *plan, "--allow-empty")
    assert done.status == 0, done.stderr
    one, other = weights(small_base), weights(out)
    assert one.keys() == other.keys()
    assert all(one[name].equal(other[name]) for name in one)
    assert json.loads((out / "rzero.json").read_text())["metrics"] == {"trained": False}


def test_training_uses_template_arguments_and_end_tokens(
    rzero, small_base: Path, one_label: Path, tmp_path: Path
) -> None:
    from rzero_cli.engines.transformers import load_tokenizer

    base = tmp_path / "base"
    shutil.copytree(small_base, base)
    template = base / "chat_template.jinja"
    text = template.read_text().replace("'<eos>'", "'<|solver|>'")
    template.write_text("{% if twice %}1234{% endif %}" + text)
    (base / "rzero.json").unlink()  # it has the hash of the original files
    plan = ["--steps", "1", "--prompts", "2", "--batch", "2", "--group", "4"]
    tokens = {}
    for value in ("false", "true"):
        out = tmp_path / value
        done = train_solver(
            rzero, base, one_label, out, *plan, "--chat-template-arg", f"twice={value}"
        )
        assert done.status == 0, done.stderr
        step = log_of(out)[0]
        tokens[value] = step["num_tokens"] / 8 - step["completions/mean_length"]
    assert tokens["true"] == tokens["false"] + 4
    ends = json.loads((out / "generation_config.json").read_text())["eos_token_id"]
    names = load_tokenizer(str(base)).convert_ids_to_tokens(ends)
    assert sorted(names) == ["<eos>", "<|solver|>"]


def test_gradient_checkpointing_trains_the_same_weights(
    rzero, small_base: Path, one_label: Path, tmp_path: Path
) -> None:
    plan = ["--steps", "2", "--prompts", "4", "--batch", "2", "--group", "4"]
    for name, options in (("kept", []), ("recomputed", ["--gradient-checkpointing"])):
        done = train_solver(
            rzero,
            small_base,
            one_label,
            tmp_path / name,
            *plan,
            "--learning-rate",
            "1e-3",
            *options,
        )
        assert done.status == 0, done.stderr
        settings = json.loads((tmp_path / name / "rzero.json").read_text())["settings"]
        assert settings["gradient_checkpointing"] is (True if options else None)
    one, other, base = (
        weights(path) for path in (tmp_path / "kept", tmp_path / "recomputed", small_base)
    )
    assert all(one[name].allclose(other[name], atol=1e-6) for name in one)
    assert not any(one[name].equal(base[name]) for name in one)


def test_gradient_checkpointing_option_reaches_trl(tmp_path: Path) -> None:
    from rzero_cli.training.config import trl_config

    plan = make_plan(steps=1, prompts=4, batch=4, group=4, max_tokens=8)
    cases = {None: False, True: True, False: False}  # on a CPU
    for option, expected in cases.items():
        hardware = group(Hardware, gradient_checkpointing=option)
        config = trl_config(
            plan, group(Grpo), hardware, group(SamplingOptions), seed=0, states=tmp_path
        )
        assert config.gradient_checkpointing is expected


def test_optimizer_option_changes_the_weights(
    rzero, refused, small_base: Path, one_label: Path, tmp_path: Path
) -> None:
    plan = ["--steps", "1", "--prompts", "4", "--batch", "4", "--group", "4"]
    plan += ["--learning-rate", "1e-3"]
    for name in ("adamw_torch_fused", "adafactor"):
        done = train_solver(rzero, small_base, one_label, tmp_path / name, *plan, "--optim", name)
        assert done.status == 0, done.stderr
    one, other = weights(tmp_path / "adamw_torch_fused"), weights(tmp_path / "adafactor")
    assert not all(one[name].allclose(other[name], atol=1e-4) for name in one)
    command = ["train-solver", str(one_label), "--solver", str(small_base), "-o", "s", *plan]
    assert "known: adamw_8bit" in refused(*command, "--optim", "adam8bit")
    if find_spec("bitsandbytes") is None:
        assert "pip install bitsandbytes" in refused(*command, "--optim", "adamw_8bit")
