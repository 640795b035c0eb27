"""The main job from end to end on real parts: `python -m dsr_worker.testing.demo`.

Why: whoever meets this software should see it work before reading about it. In: nothing but an
installed package with its extras `demo` and `embedded`. Out: a shop with invented customers, its
own ledger, broker and workers, an S3 API, a helpdesk and a mail server, all on this machine; then
every command of the main job as a person would type it; at the end, where everything lies.

`stage` starts and stops the parts, `desk` types the commands, `story` is the course of events,
`sink` takes the mail.
"""
