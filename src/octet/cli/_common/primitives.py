"""What the commands of the primitives share: how a verb is run, and its options and values.

counter_group = Verbs("counter", Space.counter, "Counters: incr, …")

@counter_group.verb("incr", ttl=True)
@click.option("--by", type=int, default=1)
def incr(counter: Counter, by: int) -> Output:
    \"\"\"Add, and print the sum.\"\"\"
    value = counter.incr(by)
    return Output({"counter": counter.name, "value": value}, str(value))
"""

from __future__ import annotations

import inspect
import io
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TextIO, TypeVar

import click

from octet.base.errors import NothingThere, UsageError
from octet.base.text import plain
from octet.cli._common.caller import caller
from octet.cli._common.context import opened
from octet.cli._common.durations import Duration
from octet.cli._common.output import emit, json_option
from octet.patterns.values import decode, encode

F = TypeVar("F", bound=Callable[..., Any])
MAX_SHOWN = 300
AS_TEXT = "octet.as_text"

run_option = click.option(
    "--run",
    metavar="RUN",
    envvar="OCTET_RUN",
    help="Act in this run instead of the project; default: OCTET_RUN.",
)
ttl_option = click.option(
    "--ttl",
    "ttl_s",
    type=Duration(never=True),
    metavar="TIME",
    help="Time to live after the last use, or never; default: at least 24 h.",
)
token_argument = click.argument("token")


def _note_as_text(context: click.Context, _: click.Parameter, value: bool) -> None:
    context.meta[AS_TEXT] = value


# Eager, because the values are read by it.
text_option = click.option(
    "--text",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_note_as_text,
    help="Read values as text, even if they are JSON.",
)


class Output(NamedTuple):
    """What a verb prints: data for programs, text for people; and its exit code."""

    data: Any
    text: str
    code: int = 0


class Make(Protocol):
    """Makes a primitive in a space, such as `Space.queue`."""

    def __call__(self, space: Any, name: str, /, *, ttl_s: float | None = None) -> Any: ...


class Verbs(click.Group):
    """The commands of one kind of primitive; `make` is None where their NAME is no primitive."""

    def __init__(self, kind: str, make: Make | None, text: str) -> None:
        super().__init__(kind, help=text)
        self.kind, self._make = kind, make

    def verb(
        self, name: str, *, named: bool = True, ttl: bool = False, **settings: Any
    ) -> Callable[[F], F]:
        """Register a function as the command of a verb, with --run, --json and, with `ttl`, --ttl.

        Its first argument is the primitive that NAME names or, without `named`, the space. It also
        gets its own options, and those of `worker`, `space`, `now_ms` and `as_json` that it has
        parameters for. It returns an `Output`, or yields any number of them.
        """

        def register(call: F) -> F:
            wanted = list(inspect.signature(call).parameters)[1:]
            make = self._make if named else None

            def run_verb(
                run: str | None,
                as_json: bool,
                name: str = "",
                ttl_s: float | None = None,
                **options: Any,
            ) -> int:
                with opened() as octet:
                    space = octet.run(run) if run else octet
                    known: dict[str, Callable[[], Any]] = {
                        "worker": lambda: caller(octet).id,
                        "space": lambda: space,
                        "now_ms": octet.now_ms,
                        "as_json": lambda: as_json,
                    }
                    options |= {key: get() for key, get in known.items() if key in wanted}
                    target = make(space, name, ttl_s=ttl_s) if make else space
                    return _print(call(target, **options), as_json)

            own = list(reversed(getattr(call, "__click_params__", [])))
            shared = _parameters(*([ttl_option] if ttl else []), run_option, json_option)
            first = [click.Argument(["name"])] if make else []
            settings["params"] = [*first, *own, *shared]
            self.command(name, help=inspect.cleandoc(call.__doc__ or ""), **settings)(run_verb)
            return call

        return register

    def deletion(self, verb: str, done: str, text: str) -> None:
        """Register the command that deletes a primitive, by the method of the same name."""

        def delete(primitive: Any) -> Output:
            if not getattr(primitive, verb)():
                raise NothingThere(f"there is no {self.kind} {primitive.name}")
            data = {self.kind: primitive.name, done: True}
            return Output(data, f"{done} {self.kind} {primitive.name}")

        delete.__doc__ = text
        self.verb(verb)(delete)


def _print(outputs: Any, as_json: bool) -> int:
    code = 0
    for output in [outputs] if isinstance(outputs, Output) else outputs:
        emit(output.data, output.text, as_json)
        code = output.code
    return code


def _parameters(*options: Callable[[Any], Any]) -> Sequence[click.Parameter]:
    def holder() -> None:
        """Takes the options."""

    for option in reversed(options):
        option(holder)
    found: list[click.Parameter] = holder.__click_params__  # type: ignore[attr-defined]
    return list(reversed(found))


def wait_option(default: str = "10m", what: str = "Maximum wait.") -> Callable[[Any], Any]:
    """`--wait TIME`."""
    return click.option(
        "--wait",
        "wait_s",
        type=Duration(),
        default=default,
        show_default=True,
        metavar="TIME",
        help=what,
    )


def lease_option(
    default_s: float, what: str = "How long the item is yours alone."
) -> Callable[[Any], Any]:
    """`--lease TIME`."""
    default = f"{default_s / 60:.0f}m" if default_s >= 60 else f"{default_s:.0f}s"
    return click.option(
        "--lease",
        "lease_s",
        type=Duration(),
        default=default,
        show_default=True,
        metavar="TIME",
        help=what,
    )


def read_value(text: str, as_text: bool = False) -> Any:
    """A value from the command line: JSON, or text that does not look like it.

    Raises:
        UsageError: it begins like JSON and is none.
    """
    if as_text:
        return text
    value = decode(text)
    if isinstance(value, str) and value == text and text.lstrip()[:1] in {"{", "[", '"'}:
        raise UsageError(
            f"{plain(text, 80)} begins like JSON but is not valid: correct it, or add --text to "
            "keep it as text"
        )
    return value


def one_value(context: click.Context, _: click.Parameter, text: str) -> Any:
    """Callback of a parameter: its value."""
    return read_value(text, context.meta[AS_TEXT])


def result_value(context: click.Context, _: click.Parameter, text: str) -> Any:
    """Callback of a parameter: its value; `-` stands for all of standard input."""
    text = sys.stdin.read().rstrip("\n") if text == "-" else text
    return read_value(text, context.meta[AS_TEXT])


def many_values(context: click.Context, _: click.Parameter, words: Sequence[str]) -> list[Any]:
    """Callback of a parameter: its values; `-` stands for the lines of standard input."""
    texts = [text for word in words for text in (read_lines() if word == "-" else [word])]
    return [read_value(text, context.meta[AS_TEXT]) for text in texts]


def file_values(context: click.Context, _: click.Parameter, stream: TextIO | None) -> list[Any]:
    """Callback of a parameter: the values on a file's lines; none without a file."""
    texts = read_lines(stream) if stream else []
    return [read_value(text, context.meta[AS_TEXT]) for text in texts]


def read_lines(stream: TextIO | None = None) -> list[str]:
    """The lines of standard input, or of another stream, without the empty ones."""
    stream = stream or sys.stdin
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="surrogateescape")  # a file's name may be any bytes
    return [line for line in stream.read().split("\n") if line] if stream else []


def show(value: Any, limit: int = 0) -> str:
    """A value for people: a text as it is, everything else as JSON; with `limit`, on one line of so
    many characters.
    """
    text = value if isinstance(value, str) else encode(value)
    return plain(text, limit) if limit else text
