"""The process and its machine: ranks, child processes, pools, the terminal, secrets, progress.

What may live here is about how rzero runs, not about what it computes: nothing of the method, of
records or of models. Every other folder may use it.
"""
