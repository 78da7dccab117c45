"""What a tool call needs, what the store's answer to that means, and the words for it.

    needs = find_needs(event, project)                      # Needs(resources=("path:a.py",), …)
    judge(needs, Granted(), project)                        # Verdict("pass")
    judge(needs, Held("path:a.py", "dev-2"), project)       # Verdict("deny", "… is held by …")
    judge(needs, StoreDown("Redis is silent"), project)     # as `on_store_down` says

Pure, but for looks at paths. In the order of a call: `needs`, `judgement`, `wording`.
"""

from octet.guard.policy.answers import Gone, Granted, Held, Reserved, StoreAnswer, StoreDown
from octet.guard.policy.judgement import Verdict, judge, match_partial, misplaced
from octet.guard.policy.needs import Needs, find_needs

__all__ = [
    "Gone",
    "Granted",
    "Held",
    "Needs",
    "Reserved",
    "StoreAnswer",
    "StoreDown",
    "Verdict",
    "find_needs",
    "judge",
    "match_partial",
    "misplaced",
]
