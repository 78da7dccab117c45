"""Submitted work merged into a protected branch, only if the combined tree passes the tests.

The steps of a merge, in order; each is a module:

1. `submission`: a branch and its commit are handed in; the changed paths decide the gates.
2. `queue`: the guardian claims what waits, up to a batch, and locks the branch.
3. `landing`: rounds of the following, until each work has its outcome.
   1. `recovery`: a move that was killed is completed or undone.
   2. `branch`: the remote is fetched; work that landed earlier is recognized.
   3. `combination`: the works become commits on the branch's tip (`strategy`, `tree_merge`,
      `commits`), in a worktree that is used for nothing else (`worktree`).
   4. `test_command`: the project's tests run on the combined tree.
   5. `branch_move`: branch and checkout move together, by compare-and-swap. `checkout`
      replaces the index at once; `move_record` keeps a record of the move for `recovery`.
4. `records`: the outcome goes on the task's record, with `feedback` for its developer; the
   worktree and branch of merged work are cleaned up.
5. `prediction`: work in flight that conflicts with the new tip is sent back or warned of.

Beside these, `settings` says how a project merges, `model` holds works and outcomes, `test_gate`
combines and tests one work without moving anything, and `waiting_reason` says what blocks the
queue.
"""
