"""Jobs: what their documents mean, what runs of them, and what is left; knows no HTTP."""
