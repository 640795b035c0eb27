"""A helpdesk shaped like Zendesk, in memory, behind real HTTP: for tests, the demo and benchmarks.

In process::

    with Fake() as fake:
        fake.load(users=[{"id": 1, "name": "…", "email": "…"}],
                  tickets=[{"id": 7, "requester_id": 1, "subject": "…", "comments": [
                      {"author_id": 1, "body": "…", "public": True, "attachments": [
                          {"file_name": "…", "content_type": "…", "content_b64": "…"}]}]}])

From another process: `python -m dsr_worker.testing.zendesk --port N`, then NDJSON of
`{"user": {…}}` and `{"ticket": {…}}` lines to `POST /__test__/load`.
"""

from dsr_worker.testing.zendesk.server import Fake, canonical

__all__ = ["Fake", "canonical"]
