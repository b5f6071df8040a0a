"""The loop's Makefile, an rzero.toml, accelerate's configurations, Slurm scripts.

What may live here is no Python: files that `rzero init` copies and that people edit.
"""
