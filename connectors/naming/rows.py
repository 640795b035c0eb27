"""What names say of rows as a whole: what they are about, and when their time begins.

In: names of collections and of their instants. Out: a category, ranks. Pure.
"""

from __future__ import annotations

from connectors.naming.words import singular, worded, words

_BEGUN = (
    *("created", "inserted", "added", "registered", "signed", "joined", "ordered", "placed"),
    *("issued", "paid", "started", "opened", "written", "sent", "called", "returned"),
    *("date", "at", "timestamp", "time", "on"),
)
_TOPICS = (
    (worded("order purchase cart basket wishlist rental booking line item"),
     "user.behavior.purchase_history"),
    (worded("payment invoice refund transaction bill billing charge"), "user.payment"),
    (worded("session event log visit login click audit activity"), "user.behavior"),
    (worded("review comment post message ticket note mail"), "user.content"),
    (worded("customer user account profile member client person contact"),
     "user.account"),
)  # fmt: skip
_LATE = 90


def topic(name: str) -> str:
    """The category of what a collection's rows are about."""
    found = {singular(word) for word in words(name)}
    return next((category for topics, category in _TOPICS if topics & found), "user")


def begins(name: str) -> int | None:
    """How well an instant says when a row's time began, the best 0; None: it says another."""
    found = set(words(name))
    if {"last", "updated", "modified", "deleted", "expires", "due"} & found:
        return _LATE if "updated" in found else None
    return next((rank for rank, word in enumerate(_BEGUN) if word in found), None)
