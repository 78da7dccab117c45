"""The crew as real Claude Code processes: the model that they talk to is scripted, and follows the
roles' behaviours.

A behaviour's act is the model's next answer: a tool call, or, at the end of a turn, a text. While
it waits, the answer waits.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

from octet.base.process import identify
from octet.client.api import Octet, connect
from octet.crew.client import STREAMS, user_message
from octet.demo.acts import Act, Answer, EndTurn, Linger, Read, Until
from octet.demo.answers import Block, Text, ToolCall
from octet.demo.crew import Listener, Part
from octet.demo.lookout import Lookout
from octet.demo.model import ModelServer, Request, marker
from octet.demo.roles import BEHAVIOURS
from octet.demo.session import as_tool_call, scene_of
from octet.install.plugin import plugin_root

# How the client words a hook's denial for its model. What a tool itself refuses begins otherwise.
DENIAL = re.compile(r"PreToolUse:(?P<tool>\w+) hook error: (\[.*?\]: )?")


class Actor:
    """One member: the client's process, and the behaviour that its model follows."""

    def __init__(self, part: Part, process: subprocess.Popen[bytes], listen: Listener) -> None:
        self.part = part
        self.process = process
        self.finished = False
        self._listen = listen
        self._agent = part.name
        self._until: Until | None = None
        self._woken = Answer()
        self._octet: Octet | None = None
        self._lookout: Lookout | None = None

    def start(self) -> Act | None:
        """The first act, once the client's SessionStart hook has registered it."""
        self._octet = connect(Path(self.part.root))
        process = identify(self.process.pid)
        me = self._octet.agents.find(str(process))
        scene = scene_of(self.part)
        if me:
            self._agent = me.id
            scene = replace(scene, name=me.id)
        self._lookout = Lookout(self._octet, len(scene.sample.jobs))
        self._behaviour = BEHAVIOURS[self.part.role](scene)
        return next(self._behaviour, None)

    def answer(self, request: Request) -> Sequence[Block]:
        """The model's next answer."""
        act = self.start() if self._octet is None else self._next(self._outcome(request))
        if isinstance(act, Linger):
            self.say("lingers")
            threading.Event().wait()
        if act is None or isinstance(act, EndTurn):
            self._until = act.until if act else None
            return [Text(act.text if act else "Done.")]
        assert not isinstance(act, Linger)
        return [
            ToolCall("Read", {"file_path": str(act.path)})
            if isinstance(act, Read)
            else ToolCall(*as_tool_call(act))
        ]

    def say(self, kind: str, **fields: str) -> None:
        self._listen(self.part.name, {"kind": kind, "agent": self._agent, **fields})

    def prompt(self, text: str) -> None:
        """Give the client its next prompt; a client that is gone has ended by itself or was killed."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(user_message(f"{marker(self.part.name)} {text}"))
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # `running` tells

    def stop(self) -> None:
        """End a wait of `rest`: nothing will come of it, the client is dead."""
        if self._lookout:
            self._lookout.stop()

    def close(self) -> None:
        if self._octet:
            self._octet.close()

    def _next(self, answer: Answer) -> Act | None:
        try:
            return self._behaviour.send(answer)
        except StopIteration:
            self.finished = True
            return None

    def rest(self) -> bool:
        """Between two turns: wait as the behaviour wants; whether there is another turn."""
        if self._until:
            self.say("rests")
        self._woken = self._lookout.wait(self._until) if self._until and self._lookout else Answer()
        return self._woken.ok and not self.finished

    def _outcome(self, request: Request) -> Answer:
        if not request.results:
            return self._woken
        result = request.results[0]
        denied = DENIAL.match(result.text) if result.failed else None
        if denied:
            self.say("denied", tool=denied["tool"], reason=result.text[denied.end() :])
        return Answer(result.text, ok=not result.failed, denied=denied is not None)


class ClaudeCrew:
    """As `crew.ProcessCrew`, with Claude Code in each process."""

    def __init__(self, claude: Path, listen: Listener) -> None:
        self._claude = claude
        self._listen = listen
        self._actors: dict[str, Actor] = {}
        self._readers: list[threading.Thread] = []
        self._model = ModelServer(self._answer, self._fault)
        self._model.__enter__()

    def start(self, part: Part) -> None:
        """Start a client and give it its first prompt."""
        options = [
            "--plugin-dir",
            str(plugin_root()),
            "--agent",
            f"octet:{part.role}",
            "--permission-mode",
            "bypassPermissions",
        ]
        process = subprocess.Popen(
            [str(self._claude), "-p", *STREAMS, *options],
            cwd=part.root,
            env=client_environment(self._model.url),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        actor = self._actors[part.name] = Actor(part, process, self._listen)
        assert process.stdout is not None
        reader = threading.Thread(target=_read, args=(actor, process.stdout), daemon=True)
        reader.start()
        self._readers.append(reader)
        actor.prompt(f"Work as {part.role}.")

    def running(self) -> list[str]:
        return [name for name, actor in self._actors.items() if actor.process.poll() is None]

    def kill(self, name: str) -> None:
        self._actors[name].process.kill()

    def end(self) -> None:
        for actor in self._actors.values():
            if actor.process.poll() is None:
                os.killpg(actor.process.pid, signal.SIGKILL)
            actor.process.wait()
            actor.stop()
        for reader in self._readers:
            reader.join()
        for actor in self._actors.values():
            actor.close()
            for stream in (actor.process.stdin, actor.process.stdout):
                assert stream is not None
                stream.close()
        self._model.__exit__(None, None, None)

    def _answer(self, request: Request) -> Sequence[Block]:
        actor = self._actors.get(request.session) if request.is_main else None
        return actor.answer(request) if actor else [Text("A session of the demo")]

    def _fault(self, request: Request, error: Exception) -> None:
        if actor := self._actors.get(request.session):
            actor.say("failed", reason=f"{type(error).__name__}: {error}")


def client_environment(model_url: str) -> dict[str, str]:
    """The sandbox's environment, the model's address, and a key that opens nothing."""
    environment = {
        **os.environ,
        "ANTHROPIC_BASE_URL": model_url,
        "ANTHROPIC_API_KEY": "sk-ant-api03-this-key-opens-nothing-at-all",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_RETRIES": "0",
        "CLAUDE_CONFIG_DIR": f"{os.environ['HOME']}/.claude",
        "DISABLE_AUTOUPDATER": "1",
        "SHELL": "/bin/sh",
    }
    if os.getuid() == 0:
        environment["IS_SANDBOX"] = "1"  # root may not skip permissions anywhere else
    return environment


def _read(actor: Actor, output: IO[bytes]) -> None:
    """Follow the client's events: at the end of a turn comes the next prompt, or the end."""
    last = b""
    for line in output:
        last = line
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if event.get("type") != "result":
            continue
        if event.get("is_error"):
            actor.say("failed", reason=f"Claude Code: {event.get('result', event)}")
        if event.get("is_error") or not actor.rest():
            assert actor.process.stdin is not None
            actor.process.stdin.close()
            actor.finished = True
        else:
            actor.prompt("Go on.")
    if not actor.finished and actor.process.wait() >= 0:  # negative: it was killed, as one is
        actor.say(
            "failed", reason=f"Claude Code ended: {last.decode(errors='replace').strip()[-300:]}"
        )
