"""The options of the commands: typed groups, presets, `rzero.toml` and their precedence.

A group is a dataclass whose fields declare its options. Only commands import this folder; they pass
the groups' values to the code below.
"""
