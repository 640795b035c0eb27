"""Fault drills: workers killed, brokers wiped, connections cut, on purpose."""
