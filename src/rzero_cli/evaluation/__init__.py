"""Evaluation: held-out questions, the paper's benchmarks, lm-eval's tasks, a judge.

This package turns completions into scores and protocols. The benchmarks' task files are in
`suite/`.
"""
