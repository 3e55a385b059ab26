"""`python -m vestige`: the command line."""

from vestige.cli.start import main

if __name__ == "__main__":
    main()
