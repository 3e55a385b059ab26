"""Where the program starts: little is imported before Ctrl-C is answered in a word."""

import os
import signal

from vestige.errors import INTERRUPTED


def main() -> None:
    """The console script: `vestige.cli.main.run`, whose imports take a third of a second."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:  # a shell has it ignored for what runs in the background
        signal.signal(signal.SIGINT, _give_up)
    from vestige.cli.main import run

    signal.signal(signal.SIGINT, usual)
    run()


def _give_up(*_: object) -> None:
    """End at once: nothing is open yet, and where an import stands is nobody's concern."""
    os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)
