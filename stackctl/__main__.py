"""``python -m stackctl`` is the same program as ``stackctl``."""

from stackctl.cli.entry import main

if __name__ == "__main__":
    main()
