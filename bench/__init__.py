"""Benchmarks: each module has `run(argv) -> dict`; `python -m bench NAME --json` calls it."""
