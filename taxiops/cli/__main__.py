"""`python -m taxiops.cli`: the command line where no script is installed, as inside a job."""

from taxiops.cli.app import main

main()
