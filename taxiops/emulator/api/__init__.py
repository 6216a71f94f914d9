"""The wire: parse the request, call the state, format the answer."""
