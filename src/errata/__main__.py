"""`python -m errata`: the same as the command `errata`."""

from errata.cli import main

if __name__ == "__main__":
    main()
