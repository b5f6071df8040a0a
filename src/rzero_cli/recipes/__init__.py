"""The loop's Makefile, an rzero.toml, accelerate configurations and Slurm scripts.

This folder has no Python code, only files that `rzero init` copies or users edit.
"""
