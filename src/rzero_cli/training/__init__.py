"""GRPO for both roles, by TRL: rewards, rollouts, adapters, processes, memory, checkpoints.

What may live here trains, or plans a training. TRL is imported by the modules that train alone.
"""
