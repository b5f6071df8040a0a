"""The process and its machine: ranks, child processes, pools, the terminal, secrets, progress.

The code here is about how rzero runs, not about what it computes. It knows nothing of the method,
records or models, and every other folder may use it.
"""
