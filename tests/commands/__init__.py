"""Tests of `rzero_cli.commands`."""
