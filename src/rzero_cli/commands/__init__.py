"""The commands: one file each, a short function with the command's loop in it.

A command declares its groups of options, checks them before anything heavy is loaded, opens its
input, model and output, and writes one record for each input. Code that commands share lives in
`options/`; only `_training.py`, which the two trainings share, is here.
"""
