"""`python -m rzero_cli` is `rzero`."""

from rzero_cli.cli import main

main()
