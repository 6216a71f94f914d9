"""comparison.json rendered for people; measures and decides nothing."""
