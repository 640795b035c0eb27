"""The broker is a doorbell: whatever happens to it, work is done and each effect happens once."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from dramatiq import Message

from tests.faults.room import DrillRoom, customers_room, email, kill, tally_room
from tests.services import embedded_services

MANY = 100
LITTLE_AT_A_TIME = "pause_s: 0.006"
SLOWLY = "pause_s: 0.02"


def acting(room: DrillRoom, cases: int) -> None:
    """Cases up to the point where one effect each is to come, and no worker yet."""
    refs = [room.submit("erasure", customer_number=str(n)) for n in range(cases)]
    room.settle()
    for ref in refs:
        room.approve(ref)


@pytest.mark.faults
@pytest.mark.parametrize("each", [25, pytest.param(100, marks=pytest.mark.nightly)])
def test_a_broker_wiped_in_the_middle_of_many_cases_loses_nothing(
    tmp_path: Path, database: Callable[[], str], redis_url: str, each: int
) -> None:
    """FLUSHALL again and again among accesses and erasures: all end, each effect once."""
    room = customers_room(tmp_path, database, 2 * each, redis_url=redis_url)

    def all_in(state: str, cases: int) -> Callable[[], bool]:
        def wiped_and_looked() -> bool:
            broker.flushall()
            time.sleep(0.2)
            return room.in_state(state) >= cases

        return wiped_and_looked

    with redis.Redis.from_url(redis_url) as broker, room.workers(processes=2):
        erasures = []
        for n in range(each):
            room.submit("access", email=email(n))
            erasures.append(room.submit("erasure", email=email(each + n)))
        room.wait(all_in("awaiting_approval", each))
        for ref in erasures:
            room.approve(ref)
        room.wait(all_in("ready", 2 * each))
    made = room.rows(
        "SELECT kind, count(*) AS n, count(DISTINCT blob) AS blobs FROM packages GROUP BY 1"
    )
    assert {tuple(row) for row in made} == {("package", each, each), ("certificate", each, each)}
    accounts = [room.account(ref) for ref in erasures]
    assert {row[2] for row in accounts[0]} == {"erased", "masked"}
    assert all(account == accounts[0] for account in accounts)


def test_messages_doubled_shuffled_and_senseless_do_no_harm(
    tmp_path: Path, database: Callable[[], str], redis_url: str
) -> None:
    """Three of each message in any order, unknown actors and broken ones: one effect a case."""
    room = tally_room(tmp_path, database, LITTLE_AT_A_TIME, redis_url=redis_url)
    acting(room, 20)
    with redis.Redis.from_url(redis_url) as broker:
        _ring_wildly(broker)
        with room.workers(processes=2):
            room.wait(lambda: room.in_state("ready") == 20)
            _ring_wildly(broker)
            later = room.submit("access", customer_number="1")
            room.wait(lambda: room.job(later)["state"] == "ready")
    assert sorted(room.effects().values()) == [1] * 20


def _ring_wildly(broker: redis.Redis) -> None:
    queues = ["drain.tally", "drain.desk"]
    messages = [(name, _message(name, name)) for name in queues * 3]
    messages += [("drain.tally", _message("drain.tally", "drain.of-old")), ("drain.desk", b"{")]
    random.Random(7).shuffle(messages)
    for number, (queue, body) in enumerate(messages):
        broker.hset(f"dsr:{queue}.msgs", f"m{number}", body)
        broker.rpush(f"dsr:{queue}", f"m{number}")


def _message(queue: str, actor: str) -> bytes:
    made: Message[None] = Message(
        queue_name=queue, actor_name=actor, args=(), kwargs={}, options={"redis_message_id": "m"}
    )
    encoded: bytes = made.encode()
    return encoded


def test_with_the_broker_down_requests_are_taken_in_and_done_once_it_is_back(
    tmp_path: Path, database: Callable[[], str]
) -> None:
    """A request does not need the broker; when it answers again the work is rung for by itself."""
    with embedded_services() as own:
        endpoints = own.running()
        assert endpoints is not None
        room = tally_room(tmp_path, database, LITTLE_AT_A_TIME, redis_url=endpoints.redis_url)
        with room.workers():
            first = room.submit("access", customer_number="1")
            room.wait(lambda: room.job(first)["state"] == "ready")
            own.stop()
            began = time.monotonic()
            second = room.submit("access", customer_number="2")
            room.office.ring(["tally"])
            assert time.monotonic() - began < 60
            own.start(ledger=False)
            room.wait(lambda: room.job(second)["state"] == "ready")


@pytest.mark.faults
def test_a_wiped_broker_and_killed_workers_lose_nothing_and_double_nothing(
    tmp_path: Path, database: Callable[[], str], redis_url: str
) -> None:
    """FLUSHDB at a quarter, SIGKILL of all children at half: with a probe, each effect once."""
    room = tally_room(tmp_path, database, SLOWLY, redis_url=redis_url)
    acting(room, MANY)
    with redis.Redis.from_url(redis_url) as broker, room.workers(processes=2):
        room.wait(lambda: len(room.effects()) >= MANY // 4)
        broker.flushdb()
        room.wait(lambda: len(room.effects()) >= MANY // 2)
        for child in room.children():
            kill(child)
        assert len(room.effects()) < MANY, "the kill came too late to prove anything"
        room.wait(lambda: room.in_state("ready") == MANY)
    assert sorted(room.effects().values()) == [1] * MANY
    assert {row.code for row in room.rows("SELECT code FROM steps WHERE attempt > 1")} <= {
        "",
        "worker_lost",
    }
    assert room.rows("SELECT 1 FROM steps WHERE attempt > 1 LIMIT 1"), "no step was repeated"


@pytest.mark.faults
def test_without_the_probe_a_kill_after_the_effect_doubles_it(
    tmp_path: Path, database: Callable[[], str], redis_url: str
) -> None:
    """The same effect without its probe happens twice: the drill can see what it looks for."""
    options = f"probe: false, {LITTLE_AT_A_TIME}"
    room = tally_room(tmp_path, database, options, redis_url=redis_url)
    acting(room, 20)
    with room.workers("after-effect"):
        room.wait(lambda: room.in_state("ready") == 20)
    effects = room.effects()
    assert len(effects) == 20
    assert max(effects.values()) == 2
