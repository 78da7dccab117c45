"""Every Redis key of a project, built here and nowhere else.

Each begins with `workflow:{p}:`, where `{p}` is the project in braces: a cluster hashes only what
stands in braces, so that all keys of a project share a slot.

    tasks:pending             LIST    plain FIFO: a value that anyone LPUSHes becomes a task at the
                                      next claim
    tasks:priority            ZSET    id → priority, minus a tiny part that grows with age
    tasks:status:<id>         HASH    the task
    tasks:stage:<stage>       ZSET    such a queue of another stage, or of tasks that need
                                      `:<capability>,…`
    tasks:state:<state>       ZSET    id → when it got there (ms), for every state that is no queue
    tasks:queues              SET     `<stage>:<capabilities>`: the queues of pending tasks beside
                                      `priority`
    tasks:scopes              HASH    id → `+` (in flight) or `?` (kept for it) and its globs, JSON
    tasks:after:<id>          SET     the tasks that it still waits for
    tasks:before:<id>         SET     the tasks that wait for it
    tasks:waiters:<stage>:<capabilities>
                              ZSET    agent → since when it waits for a claim (ms), with TTL
    tasks:seq                 STRING  last task number
    reviews:<id>              HASH    number → what a gate found out about the task, JSON; the last
                                      100
    token                     STRING  last fencing token; claims, locks and registrations share it
    agents:registry           HASH    agent → JSON
    agents:incarnations       HASH    agent → incarnation; the list of the living
    agents:processes          HASH    process → agent
    agents:buried:<process>   STRING  with TTL, JSON: the expiry record of an agent that was taken
                                      for dead, in case it lives
    agents:sweeper            HASH    with TTL, holder and epoch: the daemon that looks for the dead
                                      of other machines
    agents:session:<session>  STRING  with TTL: the agent that a session was, so that it can be
                                      again
    agents:seq                HASH    role → last number given
    orchestrator              HASH    agent, incarnation, epoch, since_ms of the leader; no agent
                                      where none leads
    orchestrator:candidates   ZSET    orchestrator → incarnation, so that the first to come is first
    agents:claims:<agent>     SET     task ids
    agents:returned:<agent>   SET     the tasks that were sent back to it, with TTL
    agents:locks:<agent>      SET     resources
    agents:standing:<agent>   HASH    its work state: paused, parked, what it was handed last; with
                                      TTL
    heartbeat:<agent>         STRING  with TTL
    locks:<resource>          STRING  with TTL: JSON holder, token, scope, task, since_ms
    locks:names               ZSET    the resources that were locked, all with score 0: names that
                                      begin alike stand together
    locks:turn:<waiter>       LIST    with TTL, on which a waiter for locks blocks: its turn
    locks:denied:<agent>      SET     with TTL: the resources that its tool calls were refused, of
                                      which it has not heard since
    wakes:<what>              ZSET    with TTL: idle agent → until when a thing that is there for
                                      few is offered to it (ms)
    touched:<path>            HASH    `by:<agent>` → incarnation, task, branch, JSON;
                                      `told:<agent>|<agent>`; with TTL
    events:<type>             PUBSUB  channel
    log                       STREAM  the same events, bounded
    cost:agents               HASH    agent → tokens used: input, output, cache writes, cache reads,
                                      messages
    cost:tasks                HASH    task → the same
    cost:days                 HASH    date (UTC) → the same
    cost:budgets              HASH    `day:<date>` or `task:<id>` → the limit that was reached,
                                      `lifted` behind it where a person did that
    cost:read:<transcript>    STRING  with TTL: how far it was read, JSON
    inbox:<agent or role>     STREAM  the messages that no agent has read; XADD sends one; a task's
                                      is `inbox:task:<id>`
    inboxes:given:<inbox>     HASH    message → JSON: the agent that was given it, and how to tell
                                      whether it was shown
    inboxes:high:<inbox>      ZSET    the urgent ones, all with score 0
    inboxes:shown:<agent>     LIST    what it has read, the newest in front, JSON, bounded, with TTL
    inboxes:sent:<agent>      LIST    what it has sent, the same
    queue:<name>              LIST    plain FIFO: LPUSH puts an item in, RPOP takes the next
    queues:leased:<name>      ZSET    token → when the lease of an item that was given out ends (ms)
    queues:returned:<name>    ZSET    token of its last delivery → from when an item that came back
                                      is given out again (ms)
    queues:items:<name>       HASH    token → the item, as `lua/include/queue_item.lua` writes it
    queues:dead:<name>        ZSET    token of its last delivery → when an item became a dead letter
                                      (ms)
    queues:stats:<name>       HASH    how many were ever pushed, given, done, returned and died
    state:<name>              HASH    field → value
    states:versions:<name>    HASH    field → version and the value that has it
    counter:<name>            STRING  a whole number: INCR counts it up
    kv:<key>                  STRING  a value
    map:<name>                HASH    item → its result, as `lua/include/map_record.lua` writes it;
                                      the items wait in the queue `map:<name>`
    pipeline:<name>           HASH    the steps of a pipeline, as `lua/include/pipeline_steps.lua`
                                      has them
    error:<name>              LIST    errors, the newest in front: LPUSH reports one
    errors:policy:<name>      HASH    how many of them stop the work, how many old ones were cut off
    progress:<name>           HASH    current, total, note, since when

Beside each queue of tasks stands `<queue>:oldest`, ZSET id → the number of claims of its stage
before it came; the HASH `tasks:priority:turns` counts those. Beside the locks stand the SET
`locks:wide` of those that cover other paths (directories, globs) and the HASH `locks:waiting`,
waiter → its place and what it wants (lua/include/waiter_record.lua).

The keys from `queue:` on are for own use: in a run they begin with `workflow:{p}:run:<run>:`. All
have a TTL, and each tells of its changes on the PUB/SUB channel that is named like its first key. A
value is JSON; a text that is no JSON stands for itself.

Of no project are `octet:server-run`, the run of the server in which the token counters last
advanced, and for seconds `octet:leaping:<run>`, the turn to advance them (`token_epoch.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from octet.base.errors import UsageError
from octet.base.vocabulary import PROJECT_NAME, RUN_NAME

SERVER_RUN = "octet:server-run"


def server_turn(run: str) -> str:
    """STRING with TTL: one client advances the counters in this run of the server."""
    return f"octet:leaping:{run}"


@dataclass(frozen=True)
class Keys:
    """Key names of one project; with a `run`, the keys for own use are that run's.

    Raises:
        UsageError: the project's name has characters that would change the hash tag, or the run's
            could be part of another's.
    """

    project: str
    run: str = ""

    def __post_init__(self) -> None:
        if not PROJECT_NAME.fullmatch(self.project):
            raise UsageError(
                f"project name {self.project!r}: use letters, digits, '.', '_' and '-' (64 at most)"
            )
        if self.run and not RUN_NAME.fullmatch(self.run):
            raise UsageError(
                f"run {self.run[:80]!r}: use letters, digits, '.', '_' and '-' (64 at most)"
            )

    @property
    def own(self) -> str:
        """The prefix of the keys that this project, or this run, has for own use."""
        return self._key(f"run:{self.run}:" if self.run else "")

    def _key(self, rest: str) -> str:
        return f"workflow:{{{self.project}}}:{rest}"

    @property
    def pending(self) -> str:
        return self._key("tasks:pending")

    @property
    def priority(self) -> str:
        return self._key("tasks:priority")

    @property
    def task_seq(self) -> str:
        return self._key("tasks:seq")

    @property
    def queues(self) -> str:
        return self._key("tasks:queues")

    @property
    def scopes(self) -> str:
        return self._key("tasks:scopes")

    @property
    def token(self) -> str:
        return self._key("token")

    @property
    def registry(self) -> str:
        return self._key("agents:registry")

    @property
    def incarnations(self) -> str:
        return self._key("agents:incarnations")

    @property
    def processes(self) -> str:
        return self._key("agents:processes")

    @property
    def sweeper(self) -> str:
        return self._key("agents:sweeper")

    @property
    def agent_seq(self) -> str:
        return self._key("agents:seq")

    @property
    def orchestrator(self) -> str:
        return self._key("orchestrator")

    @property
    def candidates(self) -> str:
        return self._key("orchestrator:candidates")

    @property
    def locks_index(self) -> str:
        return self._key("locks:names")

    @property
    def log(self) -> str:
        return self._key("log")

    @property
    def cost_agents(self) -> str:
        return self._key("cost:agents")

    @property
    def cost_tasks(self) -> str:
        return self._key("cost:tasks")

    @property
    def cost_days(self) -> str:
        return self._key("cost:days")

    @property
    def cost_budgets(self) -> str:
        return self._key("cost:budgets")

    def cost_read(self, transcript: str) -> str:
        """STRING: how far a transcript was read."""
        return self._key(f"cost:read:{transcript}")

    def task(self, task: str) -> str:
        """HASH of one task; `task("")` is the prefix passed to scripts."""
        return self._key(f"tasks:status:{task}")

    def stage(self, stage: str) -> str:
        """ZSET of the tasks that wait for a stage; `stage("")` is the prefix. The build stage's is
        `priority`.
        """
        return self._key(f"tasks:stage:{stage}")

    def after(self, task: str) -> str:
        """SET of what a task still waits for; `after("")` is the prefix."""
        return self._key(f"tasks:after:{task}")

    def before(self, task: str) -> str:
        """SET of what waits for a task; `before("")` is the prefix."""
        return self._key(f"tasks:before:{task}")

    def reviews(self, task: str) -> str:
        """HASH of the gates' records of a task; `reviews("")` is the prefix."""
        return self._key(f"reviews:{task}")

    def waiters(self, fit: str) -> str:
        """ZSET of the agents that wait for a claim and fit the same tasks:
        `<stage>:<capabilities>`.
        """
        return self._key(f"tasks:waiters:{fit}")

    def returned(self, agent: str) -> str:
        """SET of the tasks that were sent back to an agent; `returned("")` is the prefix."""
        return self._key(f"agents:returned:{agent}")

    def touched(self, path: str) -> str:
        """HASH of the agents that change a path in their worktrees; `touched("")`: the prefix."""
        return self._key(f"touched:{path}")

    def expiry(self, process: str) -> str:
        """STRING: the expiry record of the agent that a process was; `expiry("")` is the prefix."""
        return self._key(f"agents:buried:{process}")

    def session(self, session: str) -> str:
        """STRING: the agent that a session was."""
        return self._key(f"agents:session:{session}")

    def state(self, state: str) -> str:
        """ZSET of the tasks in one state; `state("")` is the prefix."""
        return self._key(f"tasks:state:{state}")

    def claims(self, agent: str) -> str:
        """SET of an agent's tasks; `claims("")` is the prefix."""
        return self._key(f"agents:claims:{agent}")

    def agent_locks(self, agent: str) -> str:
        """SET of an agent's resources; `agent_locks("")` is the prefix."""
        return self._key(f"agents:locks:{agent}")

    def work_state(self, agent: str) -> str:
        """HASH of an agent's work state."""
        return self._key(f"agents:standing:{agent}")

    def heartbeat(self, agent: str) -> str:
        """STRING that lives as long as the agent; `heartbeat("")` is the prefix."""
        return self._key(f"heartbeat:{agent}")

    def lock(self, resource: str) -> str:
        """STRING of one lock; `lock("")` is the prefix."""
        return self._key(f"locks:{resource}")

    def turn(self, waiter: str) -> str:
        """LIST on which a waiter for locks is called."""
        return self._key(f"locks:turn:{waiter}")

    def denied(self, agent: str) -> str:
        """SET of the resources that an agent's tool calls were refused."""
        return self._key(f"locks:denied:{agent}")

    def wakes(self, what: str) -> str:
        """ZSET of the idle agents that were woken for something, of many that could have been."""
        return self._key(f"wakes:{what}")

    def inbox(self, name: str) -> str:
        """STREAM of messages to an agent, a role or `task:<id>`; `inbox("")` is the prefix."""
        return self._key(f"inbox:{name}")

    def inbox_given(self, name: str) -> str:
        """HASH of an inbox's messages that an agent was given; `inbox_given("")` is the prefix."""
        return self._key(f"inboxes:given:{name}")

    def inbox_high(self, name: str) -> str:
        """ZSET of an inbox's urgent messages; `inbox_high("")` is the prefix."""
        return self._key(f"inboxes:high:{name}")

    def shown(self, agent: str) -> str:
        """LIST of what an agent has read; `shown("")` is the prefix."""
        return self._key(f"inboxes:shown:{agent}")

    def sent(self, agent: str) -> str:
        """LIST of what an agent has sent."""
        return self._key(f"inboxes:sent:{agent}")

    def channel(self, event_type: str) -> str:
        """PUB/SUB channel of one event type; `channel("")` is the prefix, `channel("*")` the
        pattern.
        """
        return self._key(f"events:{event_type}")

    def queue(self, name: str) -> str:
        """LIST of the items of a work queue that no worker was given yet; also its channel."""
        return f"{self.own}queue:{name}"

    def queue_leased(self, name: str) -> str:
        """ZSET of the items that were given out."""
        return f"{self.own}queues:leased:{name}"

    def queue_returned(self, name: str) -> str:
        """ZSET of the items that came back."""
        return f"{self.own}queues:returned:{name}"

    def queue_items(self, name: str) -> str:
        """HASH of all items that were given out at least once."""
        return f"{self.own}queues:items:{name}"

    def queue_dead(self, name: str) -> str:
        """ZSET of the dead letters."""
        return f"{self.own}queues:dead:{name}"

    def queue_stats(self, name: str) -> str:
        """HASH of a work queue's counts."""
        return f"{self.own}queues:stats:{name}"

    def shared_state(self, name: str) -> str:
        """HASH of a shared state; also its channel."""
        return f"{self.own}state:{name}"

    def state_versions(self, name: str) -> str:
        """HASH of the versions of a shared state's fields."""
        return f"{self.own}states:versions:{name}"

    def counter(self, name: str) -> str:
        """STRING of a counter; also its channel."""
        return f"{self.own}counter:{name}"

    def kv(self, key: str) -> str:
        """STRING of a message left under a key; also its channel."""
        return f"{self.own}kv:{key}"

    def map(self, name: str) -> str:
        """HASH of a parallel analysis' items and results; also its channel."""
        return f"{self.own}map:{name}"

    def pipeline(self, name: str) -> str:
        """HASH of a pipeline; also its channel."""
        return f"{self.own}pipeline:{name}"

    def errors(self, name: str) -> str:
        """LIST of errors; also its channel."""
        return f"{self.own}error:{name}"

    def errors_policy(self, name: str) -> str:
        """HASH: how many errors stop the work."""
        return f"{self.own}errors:policy:{name}"

    def progress(self, name: str) -> str:
        """HASH of a progress; also its channel."""
        return f"{self.own}progress:{name}"
