"""GRPO for both roles with TRL: rewards, rollouts, adapters, processes, memory, checkpoints.

This package trains or plans a training. Only the modules that train import TRL.
"""
