"""The benchmark: what a request costs at the gate, measured beside what people use today. See benchmarks/run.py."""
