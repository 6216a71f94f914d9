"""Releases that run as Azure ML jobs: submitted here, their steps run there."""
