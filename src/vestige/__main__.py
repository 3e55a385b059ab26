"""`python -m vestige`: the command line."""

from vestige.cli.main import run

if __name__ == "__main__":
    run()
