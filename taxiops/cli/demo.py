"""`taxiops demo`: parse, call the workflow, render."""

from taxiops.cli.shared import Outcome, Session, command, verb

app = verb()


@command(app, "demo", both=True)
def demo(session: Session) -> Outcome:
    """Tell the whole story in three acts on the embedded emulator, in a few minutes."""
    from taxiops.workflows.demo import run_demo

    return Outcome(run_demo(session.settings, session.progress))
