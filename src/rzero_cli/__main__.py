"""`python -m rzero_cli` is `rzero`."""

import signal


def main() -> None:
    """The console script."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # without a traceback of our imports
    from rzero_cli.cli import main as run

    run()


if __name__ == "__main__":  # vLLM starts processes that import this module again
    main()
