"""GitHub's REST API: its client and the few resources a release touches; decides nothing."""
