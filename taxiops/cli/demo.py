"""`taxiops demo`: parse, call the workflow, render."""

from taxiops.cli.shared import Outcome, Session, command, typeable, verb

app = verb()


@command(app, "demo", both=True)
def demo(session: Session) -> Outcome:
    """Tell the whole story in three acts on the embedded emulator, in a few minutes."""
    from taxiops.workflows.demo import run_demo

    result = run_demo(session.settings, session.progress)
    return Outcome(
        result,
        headline="The candidate of act 2 serves in Prod; the one of act 3 was refused.",
        blocks=tuple(spelt_out(line) for line in result.story),
    )


def spelt_out(line: str) -> str:
    """The line with its command, if it has one, as it can be typed here."""
    label, colon, rest = line.partition(": ")
    return f"{label}{colon}{typeable(rest)}"
