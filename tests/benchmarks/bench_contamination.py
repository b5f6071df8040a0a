"""The search for benchmark questions in training questions: rate, and memory of the index."""

from __future__ import annotations

import time
import tracemalloc

from bench_rewards import questions

from rzero_cli.analysis.contamination import Overlap, index_benchmarks, tokens
from rzero_cli.data.jsonl import Line

BENCHMARK, TRAINING = 10_000, 20_000


def bench_contamination() -> None:
    texts = questions(BENCHMARK + TRAINING)
    lines = [Line("b", i, b"", {"question": text}) for i, text in enumerate(texts[:BENCHMARK])]
    tracemalloc.start()
    index = index_benchmarks(lines)
    kilobytes = tracemalloc.get_traced_memory()[0] / 1024
    tracemalloc.stop()
    overlap = Overlap(index)
    start = time.perf_counter()
    for number, text in enumerate(texts[BENCHMARK:]):
        overlap.add(number, text)
    found = overlap.by_benchmark()[0]["found"]
    seconds = time.perf_counter() - start
    length = sum(len(tokens(text)) for text in texts[BENCHMARK:]) / TRAINING
    print(
        f"\nbenchmark of {BENCHMARK:,} in {TRAINING:,} questions of {length:.0f} tokens: "
        f"{TRAINING / seconds:,.0f} questions/s, {found:,} of its questions found, "
        f"{kilobytes / BENCHMARK:.1f} kB for a question of the benchmark"
    )
