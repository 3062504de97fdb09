"""Who is shed first when not all can be served.

The rule: priority 1 is served first, and larger numbers are shed earlier. A request that says nothing (0)
counts as `default`, a rule's `priority_floor` makes what its callers say no more urgent than that, and all
beyond 8 are 8: a caller could else be so unimportant that nobody beside it would ever be shed.

Under the adaptive limit each step of priority leaves a tenth of the limit to those before it: 1 comes in
while any of it is free, 2 while a tenth is, 8 while seven tenths are. Under a standing queue (codel) the
lowest priority of late is shed on schedule, and each step before it once the schedule is an interval more
behind: only where shedding the lowest does not help. Either way, at one moment whoever is refused is no
more urgent than whoever would be let in.
"""

from __future__ import annotations

LOWEST = 8
_RESERVED_A_STEP = 0.1

# The part of an adaptive limit that each priority may fill; of 0 nothing is asked.
SHARES = tuple([1.0 - _RESERVED_A_STEP * max(priority - 1, 0) for priority in range(LOWEST + 1)])


def effective(said: int, floor: int, default: int) -> int:
    """The priority that counts, from 1 to 8."""
    return min(max(said or default, floor, 1), LOWEST)
