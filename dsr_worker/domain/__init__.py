"""The pure rules: values in, values out.

Why this room exists: what the law and the data map say must be decidable on paper. Nothing
here reads a clock, a file or a network (`now` is always an argument), and nothing here imports
another package of ours but `dsr_worker.contract`.
"""
