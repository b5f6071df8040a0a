"""What a model can do: held-out questions, the paper's benchmarks, lm-eval's tasks, a judge.

What may live here turns completions into scores and protocols. The benchmarks' tasks are data, in
`suite/`.
"""
