"""`taxiops github ...`: what is told to GitHub of a release, one file per noun."""
