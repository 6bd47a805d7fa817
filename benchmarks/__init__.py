"""How fast, beside what: each figure is a ratio to a peer, or to a limit, taken in the same run.

``python -m benchmarks`` runs all of it, ``python -m benchmarks drain latency`` some of it. Ours and the peer take
turns, the figures are medians, every run checks that what it timed was also right, and only that decides the exit code:
a missed aim is reported, not hidden and not fatal.

All traffic stays on the loopback interface of a network namespace that the program makes for itself.
"""
