"""What it takes to have many models and few of them in memory: measured on whole gateways.

`python -m tests.bench.serverless [--only row …] [--quick]` prints one table, each row with its target.
models: repositories on the spot | stories: what is done to a gateway, shared with the process tests
"""
