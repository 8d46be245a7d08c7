"""Long measurements, each a command of its own (``python -m tests.campaigns.memory``); `make test` runs none of them."""
