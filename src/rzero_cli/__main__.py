"""`python -m rzero_cli` is `rzero`."""

import signal


def main() -> None:
    """Run the console script."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback if interrupted while importing
    from rzero_cli.cli import main as run

    run()


if __name__ == "__main__":  # vLLM's worker processes import this module again
    main()
