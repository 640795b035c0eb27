"""The wire to a bucket: requests, what their errors mean, and how new bytes get there."""
