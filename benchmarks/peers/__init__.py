"""What the library is measured against: task queues from PyPI, a hand-written floor, the single-queue engine's pattern.

Each contender is a module that runs in a process, and where it comes from PyPI in an environment, of its own. It imports
its packages, the standard library and `driver`.
"""
