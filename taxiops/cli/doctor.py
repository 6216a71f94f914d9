"""`taxiops doctor`: parse, call the workflow, render."""

from collections import Counter
from typing import TYPE_CHECKING

from taxiops.cli.shared import Outcome, Session, command, verb
from taxiops.errors import TaxiopsError

if TYPE_CHECKING:
    from taxiops.workflows.diagnose import Diagnosis

app = verb()


def misconfigured(error: TaxiopsError) -> Outcome:
    """Settings that cannot be read are a finding like any other."""
    from taxiops.workflows import diagnose

    return shown(diagnose.misconfigured(error))


@command(app, "doctor", both=True, misconfigured=misconfigured)
def doctor(session: Session) -> Outcome:
    """Tell what would keep the next release from running, and how to mend it; changes nothing."""
    from taxiops.workflows.diagnose import diagnose

    return shown(diagnose(session.settings, session.progress))


def shown(result: "Diagnosis") -> Outcome:
    """Every finding, then a remedy for each that is not fine."""
    from taxiops.cli.console import Facts, Table

    counts = Counter(each.severity for _, each in result.findings)
    rows = tuple((each.severity, name, each.what) for name, each in result.findings)
    remedies = tuple(
        (name, each.remedy)
        for name, each in result.findings
        if each.remedy and each.severity != "ok"
    )
    counted = ", ".join(f"{number} {severity}" for severity, number in counts.items())
    verdict = "The next release cannot run" if result.exit_code else "The next release can run"
    return Outcome(
        result,
        headline=f"{verdict}: {counted}",
        blocks=(
            Table(("severity", "check", "finding"), rows),
            *(("To mend it:", Facts(remedies)) if remedies else ()),
        ),
        exit_code=result.exit_code,
        failure=f"{verdict}: {counted}" if result.exit_code else "",
    )
