"""`python -m cachctl`."""

from cachctl.main import main

if __name__ == "__main__":
    main()
