"""`python -m rzero_cli` is `rzero`."""

from rzero_cli.cli import main

if __name__ == "__main__":  # vLLM starts processes that import this module again
    main()
