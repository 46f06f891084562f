"""What the library is compared with: task queues from PyPI, a hand-written floor, the single-queue engine's pattern.

Each contender is a module that runs in its own process and, if it comes from PyPI, in its own environment. It imports only
its packages, the standard library and `driver`.
"""
