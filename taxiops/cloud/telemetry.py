"""Commands as traces in Application Insights where a connection string is set; nothing elsewhere.

OpenTelemetry is imported when a command is over and only then, so that nobody waits for it before.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from taxiops.cloud.failures import SECRETS
from taxiops.errors import TaxiopsError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

VARIABLE = "APPLICATIONINSIGHTS_CONNECTION_STRING"
# What a command may take longer for its telemetry, the import included.
FLUSH_S = 3.0
LONGEST_TEXT = 200
Scalar = str | bool | int | float
Progress = Callable[[str], None]


@dataclass
class Moment:
    """Something that happened, in nanoseconds since 1970."""

    name: str
    at_ns: int
    attributes: Mapping[str, Scalar]


@dataclass
class Step:
    """A line of progress, from when it was told until the next one was."""

    name: str
    begun_ns: int
    ended_ns: int = 0
    moments: list[Moment] = field(default_factory=list)


@dataclass
class Recording:
    """One command. secrets: texts that must not leave this process."""

    name: str
    attributes: dict[str, Scalar]
    secrets: Sequence[str] = ()
    steps: list[Step] = field(default_factory=list)
    begun_ns: int = field(default_factory=time.time_ns)
    ended_ns: int = 0
    is_good: bool = True

    def __post_init__(self) -> None:
        # What comes before the first line of progress is a step too.
        self.steps.append(Step("prepare", self.begun_ns))

    def following(self, progress: Progress) -> Progress:
        """The progress, each line of which also begins a step."""

        def step(line: str) -> None:
            now = time.time_ns()
            self.steps[-1].ended_ns = now
            self.steps.append(Step(self.plain(line), now))
            progress(line)

        return step

    def happened(self, name: str, attributes: Mapping[str, Scalar]) -> None:
        plain = {
            key: self.plain(value) if isinstance(value, str) else value
            for key, value in attributes.items()
        }
        self.steps[-1].moments.append(Moment(name, time.time_ns(), plain))

    def end(self, exit_code: int, error_code: str = "") -> None:
        self.is_good = exit_code == 0
        self.attributes["taxiops.exit_code"] = exit_code
        if error_code:
            self.attributes["taxiops.error_code"] = error_code

    def close(self) -> None:
        self.ended_ns = self.steps[-1].ended_ns = time.time_ns()

    def plain(self, text: str) -> str:
        """The text without what an exception or a path may have brought along."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return SECRETS.sub(r"\1***", text)[:LONGEST_TEXT]


@dataclass
class Current:
    """The command that this process carries out, if it is recorded."""

    recording: Recording | None = None


CURRENT = Current()


def event(name: str, **attributes: Scalar) -> None:
    """Something worth telling happened in the command under way; nothing where none is recorded."""
    if CURRENT.recording is not None:
        CURRENT.recording.happened(name, attributes)


@contextmanager
def recorded(
    name: str,
    attributes: Mapping[str, str],
    secrets: Sequence[str],
    tell: Progress,
    environ: Mapping[str, str] = os.environ,
) -> Iterator[Recording | None]:
    """Record the command within the block, and send it afterwards, for FLUSH_S at most.

    What goes wrong with that is told and changes nothing. Gives None where it is off.
    """
    connection = environ.get(VARIABLE, "")
    if not connection:
        yield None
        return
    own: dict[str, Scalar] = {f"taxiops.{key}": text for key, text in attributes.items() if text}
    hidden = [text for text in (*secrets, connection) if text]
    recording = CURRENT.recording = Recording(name, own, hidden)
    try:
        yield recording
    except BaseException as error:
        if isinstance(error, TaxiopsError):
            recording.end(int(error.exit_code), error.code)
        else:
            recording.end(1, type(error).__name__)
        raise
    finally:
        CURRENT.recording = None
        recording.close()
        deliver(recording, connection, tell)


def deliver(recording: Recording, connection: str, tell: Progress) -> None:
    """Send it from a thread that nobody waits for longer than FLUSH_S; never raises."""
    outcome: list[str] = []

    def send() -> None:
        try:
            outcome.append(export(recording, connection))
        except Exception as error:
            # The text of such an error may hold the connection string.
            outcome.append(f"{VARIABLE} is of no use ({type(error).__name__})")

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    thread.join(FLUSH_S)
    problem = outcome[0] if outcome else f"no answer within {FLUSH_S:.0f} s"
    if problem:
        tell(f"telemetry was not delivered: {problem}")


def export(recording: Recording, connection: str) -> str:
    """Send the spans in one request, without retries and without files; gives what went wrong."""
    # Otherwise the exporter tells Microsoft about itself on the side.
    os.environ.setdefault("APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL", "true")
    try:
        from azure.monitor.opentelemetry.exporter import AzureMonitorTraceExporter
        from opentelemetry.sdk.trace.export import SpanExportResult
    except ImportError:
        return "pip install 'taxiops[telemetry]'"
    exporter = AzureMonitorTraceExporter(
        connection_string=connection,
        disable_offline_storage=True,
        retry_total=0,
        timeout=FLUSH_S,
        read_timeout=FLUSH_S,
    )
    is_sent = exporter.export(spans_of(recording)) is SpanExportResult.SUCCESS
    return "" if is_sent else "the endpoint did not take it"


def spans_of(recording: Recording) -> Sequence["ReadableSpan"]:
    """One trace: the command, and a span for each of its steps with what happened in it."""
    from importlib.metadata import version

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

    program = version("taxiops")
    resource = Resource({"service.name": "taxiops", "service.version": program})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    memory = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("taxiops", program)
    whole = tracer.start_span(
        recording.name,
        kind=SpanKind.SERVER,
        attributes=recording.attributes,
        start_time=recording.begun_ns,
    )
    within = set_span_in_context(whole)
    for step in recording.steps:
        span = tracer.start_span(step.name, context=within, start_time=step.begun_ns)
        for moment in step.moments:
            span.add_event(moment.name, dict(moment.attributes), moment.at_ns)
        span.end(step.ended_ns)
    whole.set_status(Status(StatusCode.OK if recording.is_good else StatusCode.ERROR))
    whole.end(recording.ended_ns)
    return memory.get_finished_spans()
