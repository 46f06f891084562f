"""`inference-engine demo`: real inputs for five real models on the one-machine stack, and what became of them.

Uses the library as an application does. The library does not use it: only the command line imports it, when it needs it.
"""
