"""What all verbs on an endpoint share: the record, the turn, the engine, the checks of a slot."""
