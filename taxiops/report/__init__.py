"""comparison.json rendered for people; measures and decides nothing."""

from taxiops.report.files import ReportFiles, write_report

__all__ = ["ReportFiles", "write_report"]
