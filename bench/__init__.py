"""Benchmarks: each module has `run(argv) -> dict` and is called as `python -m bench NAME --json`."""
