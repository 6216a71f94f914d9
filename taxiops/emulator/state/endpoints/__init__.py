"""Online endpoints: deployments, their scoring servers, traffic and quota; knows no HTTP."""
