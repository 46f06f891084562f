"""Benchmarks of the library, each against what it is measured by: a bound, a floor, or a peer. `make bench` runs all."""
