"""Many processes that use all of Octet at once under faults, by a seed, and the check of their
history.

    scripts/torture --seed 7 --operations 1000000 --workers 50

| module | |
|---|---|
| `__main__` | the command line |
| `plan` | what a seed decides: the faults and when, each worker's choices |
| `conductor` | starts the workers, brings the faults, ends it all, has the history checked |
| `nursery` | forks workers, so that one that is killed has a successor within milliseconds |
| `worker` · `acts` | what a worker does · one recorded operation each |
| `faults` | what can go wrong; the wire between is `tests.support.fault_proxy` |
| `audit` | what is left at the end, as operations of the same history |
| `bugs` | a copy of Octet with one thing broken in it, for the tests of the checker |

The seed decides which faults come, in which order and with which gaps, and what each worker does
next given the same answers. It cannot decide which process runs when, and therefore which answers
come, at which operation a fault strikes, and how many operations there are in a given time. So a
seed finds a violation again with a good chance, not with certainty; the history that showed it is
kept.
"""
