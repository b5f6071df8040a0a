"""The options of the commands: typed groups, presets, `rzero.toml`, and which value wins.

A group is a dataclass whose fields say everything about their options. Only commands import this
folder; what lies below them takes the groups' values.
"""
