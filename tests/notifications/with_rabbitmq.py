"""Notifications with a real RabbitMQ, read by a listener of oslo.messaging.

  delivery  10,000 changes while the broker is killed five times and stands still once, and Pumice is killed once: each event is there, those of a volume in order.
            With --tls Pumice publishes over TLS.
  latency   how long a create takes with the broker alive and dead, side by side.
"""

import argparse
import collections
import logging
import pathlib
import shutil
import statistics
import sys
import tempfile
import threading
import time

import oslo_messaging
from oslo_config import cfg

from client import Client, Life, told
from processes import SERVER, Broker, Pumice, needs, wait_for

# The keys of Cinder's `_usage_from_volume`.
KEYS = {
    "tenant_id", "host", "user_id", "availability_zone", "volume_id", "volume_type", "display_name", "launched_at",
    "created_at", "status", "snapshot_id", "size", "replication_status", "replication_extended_status",
    "replication_driver_data", "metadata", "volume_attachment",
}


class Listener:
    """A consumer as Ceilometer is one: a notification listener with one endpoint."""

    def __init__(self, url):
        self.seen, self.again, self.odd = collections.OrderedDict(), 0, []
        self.lock = threading.Lock()
        conf = cfg.ConfigOpts()
        conf([])
        transport = oslo_messaging.get_notification_transport(conf, url=url)
        conf.set_override("amqp_durable_queues", True, "oslo_messaging_rabbit")
        conf.set_override("heartbeat_timeout_threshold", 0, "oslo_messaging_rabbit")
        conf.set_override("kombu_reconnect_delay", 0.5, "oslo_messaging_rabbit")
        targets = [oslo_messaging.Target(topic="notifications")]
        self.listener = oslo_messaging.get_notification_listener(
            transport, targets, [self], executor="threading", allow_requeue=True
        )

    def start(self):
        self.listener.start()
        return self

    def stop(self):
        # Its threads end with the program if the broker is away.
        self.listener.stop()
        self.listener.wait()

    def info(self, context, publisher_id, event_type, payload, metadata):
        self.note("INFO", context, publisher_id, event_type, payload, metadata)

    def error(self, context, publisher_id, event_type, payload, metadata):
        self.note("ERROR", context, publisher_id, event_type, payload, metadata)

    def note(self, priority, context, publisher_id, event_type, payload, metadata):
        with self.lock:
            if metadata["message_id"] in self.seen:
                self.again += 1
                return
            self.seen[metadata["message_id"]] = (event_type, payload)
            good = priority == "INFO" and KEYS <= set(payload) and context.get("project_id")
            if not good or not publisher_id.startswith("volume."):
                self.odd.append((priority, publisher_id, event_type, sorted(KEYS - set(payload))))


def delivery(folder, changes, kills, tls, threads=8):
    renames = 17
    of_a_volume = renames + 3
    volumes = -(-changes // (of_a_volume * threads))
    broker = Broker(folder / "rabbitmq")
    pumice = Pumice(folder / "pumice", **broker.sink(tls))
    listener = Listener(broker.url)
    done, lock = [0], threading.Lock()

    def count():
        with lock:
            done[0] += 1

    lives = [Life(pumice.port, volumes, renames, count) for _ in range(threads)]
    total = volumes * of_a_volume * threads
    try:
        broker.start()
        pumice.start()
        listener.start()
        began = time.monotonic()
        for life in lives:
            life.start()
        for kill in range(1, kills + 1):
            at = total * kill // (kills + 1)
            wait_for(f"{at} changes", lambda: done[0] >= at or any(life.failure for life in lives), 1800)
            broker.kill()
            print(f"{done[0]} changes: RabbitMQ was killed", flush=True)
            if kill == (kills + 1) // 2:
                pumice.kill()
                pumice.start()
                print("Pumice was killed, too, and started again", flush=True)
            time.sleep(2)
            broker.start()
            if kill == 1:
                broker.stand_still(20)
                print("RabbitMQ stood still for 20 s", flush=True)
        for life in lives:
            life.join()
            if life.failure:
                raise life.failure
        changed = time.monotonic() - began
        expected = {volume: events for life in lives for volume, events in life.expected.items()}
        wanted = sum(len(events) for events in expected.values())
        wait_for(f"{wanted} notifications", lambda: len(listener.seen) >= wanted, 300)
        time.sleep(2)
        compare(expected, listener)
        print(f"{done[0]} changes in {changed:.0f} s, {len(listener.seen)} notifications of {len(expected)} volumes, "
              f"{listener.again} of them more than once: each is there, and those of a volume are in order")
    finally:
        pumice.end()
        broker.end()
        listener.stop()


def compare(expected, listener):
    seen = collections.defaultdict(list)
    for event_type, payload in listener.seen.values():
        seen[payload["volume_id"]].append((event_type, told(event_type, payload)))
    assert not listener.odd, listener.odd[:3]
    for volume, events in expected.items():
        got = seen.pop(volume, [])
        # A volume that was being created when Pumice was killed may be placed twice.
        got = [event for index, event in enumerate(got) if index == 0 or event != got[index - 1]]
        if got != events:
            index = next((i for i, pair in enumerate(zip(got, events)) if pair[0] != pair[1]), min(len(got), len(events)))
            raise AssertionError(f"volume {volume}, event {index}: {got[index:index + 3]}, not {events[index:index + 3]}; "
                                 f"{len(got)} of {len(events)}")
    # Of volumes whose creation was not answered: the client asked again.
    for volume, events in seen.items():
        assert [event for event, _ in events][:1] == ["volume.create.start"], (volume, events)


def latency(folder, rounds, creates):
    """Two services, each with a broker of its own: one of the brokers is dead, and each round the other one. Creates go to both in
    turn, so that what else the machine does meets both."""
    brokers = [Broker(folder / f"rabbitmq-{n}") for n in range(2)]
    services = [Pumice(folder / f"pumice-{n}", **broker.sink(tls=False)) for n, broker in enumerate(brokers)]
    clients = [Client(service.port) for service in services]
    times = {"alive": [], "dead": []}
    ratios = []
    try:
        for broker, service in zip(brokers, services):
            broker.start()
            service.start()
        spent(clients, creates)
        for number in range(rounds):
            dead = number % 2
            brokers[dead].kill()
            of = spent(clients, creates)
            times["dead"] += of[dead]
            times["alive"] += of[1 - dead]
            ratios.append(statistics.median(of[dead]) / statistics.median(of[1 - dead]))
            print(f"round {number + 1}: alive {statistics.median(of[1 - dead]) * 1000:.2f} ms, "
                  f"dead {statistics.median(of[dead]) * 1000:.2f} ms, dead/alive {ratios[-1]:.3f}", flush=True)
            brokers[dead].start()
            # What has waited is published before the next round.
            time.sleep(5)
    finally:
        for process in [*services, *brokers]:
            process.end()
    alive, dead = (statistics.median(times[state]) for state in ("alive", "dead"))
    ratio = statistics.median(ratios)
    print(f"create: {len(times['alive'])} each, median alive {alive * 1000:.2f} ms, dead {dead * 1000:.2f} ms; "
          f"dead/alive {ratio:.3f} (median of {rounds} rounds)")
    assert ratio <= 1.05, "a create is slower while the broker is dead"


def spent(clients, creates):
    times, volumes = [[] for _ in clients], [[] for _ in clients]
    for number in range(creates):
        for at in (0, 1) if number % 2 else (1, 0):
            began = time.perf_counter()
            made = clients[at].ask("POST", "/volumes", {"volume": {"size": 1}})
            times[at].append(time.perf_counter() - began)
            volumes[at].append(made["volume"]["id"])
    for client, of in zip(clients, volumes):
        for volume in of:
            client.wait_until(volume, "available")
            client.ask("DELETE", f"/volumes/{volume}")
        for volume in of:
            client.wait_until(volume, None)
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=["delivery", "latency", []], default=["delivery", "latency"])
    parser.add_argument("--changes", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--creates", type=int, default=250)
    options = parser.parse_args()
    needs(SERVER, "epmd", "openssl")
    logging.disable(logging.CRITICAL)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="pumice-notifications-"))
    try:
        if "delivery" in options.what:
            delivery(folder / "delivery", options.changes, options.kills, options.tls)
        if "latency" in options.what:
            latency(folder / "latency", options.rounds, options.creates)
    except BaseException:
        print(f"the logs are in {folder}", file=sys.stderr)
        raise
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
