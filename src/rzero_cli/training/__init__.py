"""GRPO for both roles, by TRL: rewards, rollouts, adapters, processes, memory, checkpoints.

What may live here trains, or plans a training. Torch and TRL are imported by the modules that
train, not by those that plan.
"""
