"""Notifications with a real RabbitMQ, read by a listener of oslo.messaging.

  delivery  10,000 changes while the broker is killed five times and stands still once, and Pumice is killed once: each event is there, those of a volume in order.
            With --tls Pumice publishes over TLS.
  latency   how long a create takes with the broker alive and dead, side by side.
"""

import argparse
import collections
import contextlib
import logging
import os
import pathlib
import shutil
import statistics
import subprocess
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


class Progress:
    """Counts changes, and holds those who make them at a limit: a fast service is not done before the broker was killed."""

    def __init__(self):
        self.done, self.most, self.changed = 0, 0, threading.Condition()

    def limit(self, most):
        with self.changed:
            self.most = most
            self.changed.notify_all()

    def count(self):
        with self.changed:
            self.done += 1
            self.changed.wait_for(lambda: self.done < self.most)


def delivery(folder, changes, kills, tls, threads=8):
    renames = 17
    of_a_volume = renames + 3
    volumes = -(-changes // (of_a_volume * threads))
    broker = Broker(folder / "rabbitmq")
    pumice = Pumice(folder / "pumice", **broker.sink(tls))
    listener = Listener(broker.url)
    progress = Progress()
    lives = [Life(pumice.port, volumes, renames, progress.count) for _ in range(threads)]
    total = volumes * of_a_volume * threads
    progress.limit(total // (kills + 1) + total // 20)
    try:
        broker.start()
        pumice.start()
        listener.start()
        began = time.monotonic()
        for life in lives:
            life.start()
        for kill in range(1, kills + 1):
            at = total * kill // (kills + 1)
            wait_for(f"{at} changes", lambda: progress.done >= at or any(life.failure for life in lives), 1800)
            broker.kill()
            print(f"{progress.done} changes: RabbitMQ was killed", flush=True)
            progress.limit(total * (kill + 1) // (kills + 1) + total // 20)
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
        print(f"{progress.done} changes in {changed:.0f} s, {len(listener.seen)} notifications of {len(expected)} volumes, "
              f"{listener.again} of them more than once: each is there, and those of a volume are in order")
    finally:
        progress.limit(total + 1)
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


def latency(folder, pairs, creates):
    """Two services, each with a broker of its own: one of the brokers is dead, and in the next round the other one. Creates go to both
    in turn, so that what else the machine does meets both; and a pair of rounds is one figure, because two processes of one program
    differ by a few percent as long as they live."""
    brokers = [Broker(folder / f"rabbitmq-{n}") for n in range(2)]
    services = [Pumice(folder / f"pumice-{n}", **broker.sink(tls=False)) for n, broker in enumerate(brokers)]
    clients = [Client(service.port) for service in services]
    medians = {"alive": [], "dead": []}
    ratios = []
    try:
        for broker, service in zip(brokers, services):
            broker.start()
            service.start()
        spent(clients, creates)
        for number in range(pairs):
            ratio = 1
            for dead in range(2):
                alive = 1 - dead
                brokers[dead].kill()
                of = [statistics.median(times) * 1000 for times in spent(clients, creates)]
                medians["dead"].append(of[dead])
                medians["alive"].append(of[alive])
                ratio *= of[dead] / of[alive]
                brokers[dead].start()
                # What has waited is published before the next round.
                time.sleep(5)
            ratios.append(ratio ** 0.5)
            print(f"pair {number + 1}: {listed(medians['alive'][-2:])} ms alive, {listed(medians['dead'][-2:])} ms dead, dead/alive {ratios[-1]:.3f}", flush=True)
    finally:
        for process in [*services, *brokers]:
            process.end()
    ratio = statistics.median(ratios)
    alive, dead = (statistics.median(medians[state]) for state in ("alive", "dead"))
    print(f"create: {2 * pairs * creates} each, median alive {alive:.2f} ms, dead {dead:.2f} ms; dead/alive {ratio:.3f} "
          f"(median of {pairs} pairs of rounds, {min(ratios):.3f} to {max(ratios):.3f})")
    assert ratio <= 1.05, "a create is slower while the broker is dead"


# Ends when its parent does.
SPIN = """
import os, sys
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
os.sched_setaffinity(0, [int(sys.argv[1])])
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(1_000_000):
        pass
"""


@contextlib.contextmanager
def cores_awake():
    """Keeps all cores from sleeping: else a create also pays for waking them, and pays less beside a service that publishes. The
    threads that do it run only where nothing else wants to (SCHED_IDLE)."""
    spinning = [subprocess.Popen([sys.executable, "-c", SPIN, str(core)]) for core in sorted(os.sched_getaffinity(0))]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def listed(figures):
    return " and ".join(f"{figure:.2f}" for figure in figures)


def spent(clients, creates):
    """How long creates take. What is left to do for one, and for its deletion, meets no later one."""
    times = [[] for _ in clients]
    for number in range(creates):
        volumes = {}
        for at in (0, 1) if number % 2 else (1, 0):
            began = time.perf_counter()
            made = clients[at].ask("POST", "/volumes", {"volume": {"size": 1}})
            times[at].append(time.perf_counter() - began)
            volumes[at] = made["volume"]["id"]
        for at, volume in volumes.items():
            clients[at].wait_until(volume, "available")
            clients[at].ask("DELETE", f"/volumes/{volume}")
        for at, volume in volumes.items():
            clients[at].wait_until(volume, None)
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=["delivery", "latency", []], default=["delivery", "latency"])
    parser.add_argument("--changes", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--asleep", action="store_true", help="latency: lets cores sleep between requests")
    parser.add_argument("--creates", type=int, default=100)
    parser.add_argument("--latency-folder", default="/dev/shm", help="in memory, so that the disk's own jitter is not measured")
    options = parser.parse_args()
    needs(SERVER, "epmd", "openssl")
    logging.disable(logging.CRITICAL)
    if "delivery" in options.what:
        with kept_if_it_fails(None) as folder:
            delivery(folder, options.changes, options.kills, options.tls)
    if "latency" in options.what:
        with kept_if_it_fails(options.latency_folder) as folder:
            with contextlib.nullcontext() if options.asleep else cores_awake():
                latency(folder, options.pairs, options.creates)


@contextlib.contextmanager
def kept_if_it_fails(parent):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="pumice-notifications-", dir=parent))
    try:
        yield folder
    except BaseException:
        print(f"the logs are in {folder}", file=sys.stderr)
        raise
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
