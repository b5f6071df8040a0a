"""One file a command: a short function whose loop is in it.

A command declares its groups of options, checks them before anything heavy is loaded, opens its
input, model and output, and writes one record for each input. What commands share lives below, but
for what the two trainings share (`_training.py`).
"""
