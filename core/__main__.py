"""`python -m labelferry`: the command line."""

from labelferry.cli.app import main

if __name__ == "__main__":  # worker processes import this module too
    main()
