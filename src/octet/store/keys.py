"""Every Redis key of a project, built here and nowhere else.

| key | type |
|---|---|
| `workflow:{p}:tasks:pending` | LIST, plain FIFO: a value that anyone LPUSHes becomes a task at the next claim |
| `workflow:{p}:tasks:priority` | ZSET id → priority, minus a tiny part that grows with age |
| `workflow:{p}:tasks:status:<id>` | HASH, the task |
| `workflow:{p}:tasks:stage:<stage>` | ZSET, such a queue of another stage, or of tasks that need `:<capability>,…` |
| `workflow:{p}:tasks:state:<state>` | ZSET id → when it got there (ms), for every state that is no queue |
| `workflow:{p}:tasks:queues` | SET `<stage>:<capabilities>`: which queues of pending tasks there are beside `priority` |
| `workflow:{p}:tasks:scopes` | HASH id → `+` (in flight) or `?` (kept for it) and its globs, JSON |
| `workflow:{p}:tasks:after:<id>` | SET of the tasks that it still waits for |
| `workflow:{p}:tasks:before:<id>` | SET of the tasks that wait for it |
| `workflow:{p}:tasks:waiters:<stage>:<capabilities>` | ZSET agent → since when it waits for a claim (ms), with TTL |
| `workflow:{p}:tasks:seq` | STRING, last task number |
| `workflow:{p}:reviews:<id>` | HASH number → what a gate found out about the task, JSON; the last 100 |
| `workflow:{p}:token` | STRING, last fencing token; claims, locks and registrations share it |
| `workflow:{p}:agents:registry` | HASH agent → JSON |
| `workflow:{p}:agents:incarnations` | HASH agent → incarnation; the list of the living |
| `workflow:{p}:agents:processes` | HASH process → agent |
| `workflow:{p}:agents:buried:<process>` | STRING with TTL, JSON: what became of an agent that was taken for dead, should it live |
| `workflow:{p}:agents:sweeper` | HASH with TTL, holder and epoch: the daemon that looks for the dead of other machines |
| `workflow:{p}:agents:session:<session>` | STRING with TTL: the agent that a session was, so that it can be again |
| `workflow:{p}:agents:seq` | HASH role → last number given |
| `workflow:{p}:orchestrator` | HASH agent, incarnation, epoch, since_ms: who leads; no agent where nobody does |
| `workflow:{p}:orchestrator:candidates` | ZSET orchestrator → incarnation, so that who came first is first |
| `workflow:{p}:agents:claims:<agent>` | SET of task ids |
| `workflow:{p}:agents:returned:<agent>` | SET of the tasks that were sent back to it, with TTL |
| `workflow:{p}:agents:locks:<agent>` | SET of resources |
| `workflow:{p}:agents:standing:<agent>` | HASH: paused, parked, what it was handed last (`standing.Standing`), with TTL |
| `workflow:{p}:heartbeat:<agent>` | STRING with TTL |
| `workflow:{p}:locks:<resource>` | STRING with TTL: JSON holder, token, scope, task, since_ms |
| `workflow:{p}:locks:names` | ZSET of the resources that were locked, all with score 0: the names that begin alike stand together |
| `workflow:{p}:locks:turn:<waiter>` | LIST with TTL on which a waiter for locks blocks: that it is its turn |
| `workflow:{p}:locks:denied:<agent>` | SET with TTL: the resources that its tool calls were refused, of which it has not heard since |
| `workflow:{p}:wakes:<what>` | ZSET with TTL: idle agent → until when something that is there for few is offered to it (ms) |
| `workflow:{p}:touched:<path>` | HASH `by:<agent>` → incarnation, task, branch, JSON; `told:<agent>|<agent>`; with TTL |
| `workflow:{p}:events:<type>` | PUB/SUB channel |
| `workflow:{p}:log` | STREAM of the same events, bounded |
| `workflow:{p}:cost:agents` | HASH agent → tokens used: input, output, cache writes, cache reads, messages |
| `workflow:{p}:cost:tasks` | HASH task → the same |
| `workflow:{p}:cost:days` | HASH date (UTC) → the same |
| `workflow:{p}:cost:budgets` | HASH `day:<date>` or `task:<id>` → the limit that was reached, `lifted` behind it where a person did that |
| `workflow:{p}:cost:read:<transcript>` | STRING with TTL: how far it was read, JSON |
| `workflow:{p}:inbox:<agent or role>` · `:inbox:task:<id>` | STREAM of the messages that nobody has read; XADD sends one |
| `workflow:{p}:inboxes:given:<inbox>` | HASH message → JSON: which agent was given it, and how it can be told whether it was shown |
| `workflow:{p}:inboxes:high:<inbox>` | ZSET of the urgent ones, all with score 0 |
| `workflow:{p}:inboxes:shown:<agent>` | LIST of what it has read, the newest in front, JSON, bounded, with TTL |
| `workflow:{p}:inboxes:sent:<agent>` | LIST of what it has sent, the same |
| `workflow:{p}:queue:<name>` | LIST, plain FIFO: LPUSH puts an item in, RPOP takes the next |
| `workflow:{p}:queues:leased:<name>` | ZSET token → when the lease of an item that was given out ends (ms) |
| `workflow:{p}:queues:returned:<name>` | ZSET token of its last delivery → from when an item that came back is given out again (ms) |
| `workflow:{p}:queues:items:<name>` | HASH token → the item, as `lua/include/queue_item.lua` writes it |
| `workflow:{p}:queues:dead:<name>` | ZSET token of its last delivery → when an item became a dead letter (ms) |
| `workflow:{p}:queues:stats:<name>` | HASH of how many were ever pushed, given, done, returned and died |
| `workflow:{p}:state:<name>` | HASH field → value |
| `workflow:{p}:states:versions:<name>` | HASH field → version and the value that has it |
| `workflow:{p}:counter:<name>` | STRING, a whole number: INCR counts it up |
| `workflow:{p}:kv:<key>` | STRING, a value |
| `workflow:{p}:map:<name>` | HASH item → its result, as `lua/include/map_record.lua` writes it; the items wait in the queue `map:<name>` |
| `workflow:{p}:pipeline:<name>` | HASH, the steps of a pipeline, as `lua/include/pipeline_steps.lua` has them |
| `workflow:{p}:error:<name>` | LIST of errors, the newest in front: LPUSH reports one |
| `workflow:{p}:errors:policy:<name>` | HASH: how many of them stop the work, how many old ones gave way |
| `workflow:{p}:progress:<name>` | HASH: current, total, note, since when |
| `workflow:{p}:` | what the names of all of these begin with; of a run's own, `workflow:{p}:run:<run>:` |

Beside each queue stands `<queue>:oldest`, ZSET id → how many claims its stage had seen when it came; the HASH
`tasks:priority:turns` counts those. Beside the locks stand the SET `locks:wide` of those that cover other paths (directories, globs)
and the HASH `locks:waiting`, waiter → its place and what it wants (lua/include/waiter_record.lua).
The last fifteen, for everybody's own use, stand in a run as `workflow:{p}:run:<run>:queue:<name>` and so on. All have a TTL, and each
tells of its changes on the PUB/SUB channel that is called like its first key. A value is JSON; text that is none stands for itself.
`{p}` is the project in braces: a cluster hashes only what stands in braces, so that all keys of a project share a slot.

Of no project are `octet:server-run` and, for seconds, `octet:leaping:<run>`: in which run of the server the token counters leapt last,
and whose turn it is to let them leap (`leap.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from octet.base.errors import UsageError
from octet.base.vocabulary import PROJECT_NAME, RUN_NAME

SERVER_RUN = "octet:server-run"


def server_turn(run: str) -> str:
    """STRING with TTL: somebody lets the counters leap in this run of the server."""
    return f"octet:leaping:{run}"


@dataclass(frozen=True)
class Keys:
    """Key names of one project; with a `run`, what is for everybody's own use is that run's.

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
        """What all the keys begin with that this project, or this run, has for everybody's own use."""
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
        """HASH of what gates found out about a task; `reviews("")` is the prefix."""
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
        """HASH of the agents that change a path in worktrees of their own; `touched("")` is the
        prefix.
        """
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
        """SET of what an agent's tool calls were refused."""
        return self._key(f"locks:denied:{agent}")

    def wakes(self, what: str) -> str:
        """ZSET of the idle agents that were woken for something, of many that could have been."""
        return self._key(f"wakes:{what}")

    def inbox(self, name: str) -> str:
        """STREAM of messages to an agent, a role or `task:<id>`; `inbox("")` is the prefix."""
        return self._key(f"inbox:{name}")

    def inbox_given(self, name: str) -> str:
        """HASH of an inbox's messages that were given to somebody; `inbox_given("")` is the prefix."""
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
        """LIST of the items of a work queue that nobody was given yet; also its channel."""
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
        """HASH of what has happened so far."""
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
        """HASH of what is done about them."""
        return f"{self.own}errors:policy:{name}"

    def progress(self, name: str) -> str:
        """HASH of a progress; also its channel."""
        return f"{self.own}progress:{name}"
