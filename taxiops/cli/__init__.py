"""Parses and renders; decides nothing."""
