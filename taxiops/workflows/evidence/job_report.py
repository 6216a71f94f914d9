"""The report that a job wrote: what is promoted by must be it; renders and decides nothing."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from taxiops.cloud import jobs
from taxiops.cloud.client import Connection
from taxiops.domain.evidence import digest_of_json
from taxiops.errors import EvidenceError
from taxiops.workflows.compare import OUTPUT, REPORT
from taxiops.workflows.documents import Progress, read_document


def check_job_report(
    connection: Connection, job: str, document: Mapping[str, Any], progress: Progress
) -> None:
    """The report in hand must be the one in the job's output, to the last digit.

    A report that was edited so that it fits itself would pass the gate. Raises EvidenceError.
    """
    progress(f"checking the report of job {job}")
    with tempfile.TemporaryDirectory(prefix="taxiops-") as scratch:
        _, output = jobs.download_owned_output(connection, job, OUTPUT, Path(scratch))
        written = read_document(output / REPORT, "comparison report", "taxiops compare")
    found, wanted = digest_of_json(document), digest_of_json(written)
    if found != wanted:
        raise EvidenceError(
            f"The report is not the one that job {job} wrote.",
            why=f"Its digest is {found}, that of the job's own is {wanted}.",
            hint=f"taxiops compare --job {job}",
            code="report-edited",
        )
