"""Benchmarks of the library, each measured against a bound, a floor or a peer. `make bench` runs all."""
