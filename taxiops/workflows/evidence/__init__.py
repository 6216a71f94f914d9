"""The chain from commit to traffic: where its links lie, the ledger, signatures."""
