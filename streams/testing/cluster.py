"""A cluster of Apache Kafka from its jars, whose brokers can be killed, frozen and brought back one by one.

    with ApacheCluster(jars()) as cluster:
        ...  # cluster.bootstrap_servers names all of its brokers
        cluster.kill(cluster.controller())
        ...  # writes go on: two of three replicas are left
        cluster.begin(cluster.away)
        cluster.await_whole()

Each node is a broker and a controller. Every topic that has three replicas takes writes while one broker is away, and
none while two are: so a second one is not taken away before the first is back and in sync (`await_whole`).
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import orjson

from streams.testing.brokers import Broker, BrokerFailed
from streams.testing.kafka import (
    CLUSTER_NODES_MIN,
    JarsUnavailable,
    Membership,
    Node,
    NodeOptions,
    new_cluster_id,
)
from streams.testing.processes import Child, free_port

HEAP_MEGABYTES_MAX = 320
"""Of each broker: three of them share a machine with what is tested."""
WHOLE_SECONDS_MAX = 240.0
LOOK_SECONDS = 0.2
ANSWER_SECONDS_MAX = 3.0
QUORUM_STATE = Path("data", "__cluster_metadata-0", "quorum-state")
"""Where a node writes down who leads the controllers, below its folder."""


class ApacheCluster(Broker):
    """Nodes 1, 2, 3, … of one cluster. At most one of them should be away at a time."""

    def __init__(self, libraries: Path, nodes: int = CLUSTER_NODES_MIN, why: str = "") -> None:
        super().__init__("apache", "", is_apache=True, why=why)
        if nodes < CLUSTER_NODES_MIN:
            raise BrokerFailed(f"a cluster needs {CLUSTER_NODES_MIN} nodes or more, not {nodes}: one may be away")
        self.node_ids: Sequence[int] = range(1, nodes + 1)
        self._libraries = libraries
        self._folder: Path | None = None
        self._nodes: dict[int, Node] = {}
        self._away: set[int] = set()

    def start(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="streams-cluster-"))
        controllers = {node_id: free_port() for node_id in self.node_ids}
        cluster_id = new_cluster_id()
        try:
            for node_id in self.node_ids:
                folder = self._folder / str(node_id)
                folder.mkdir()
                membership = Membership(cluster_id, node_id, controllers)
                options = NodeOptions(heap_megabytes_max=HEAP_MEGABYTES_MAX)
                self._nodes[node_id] = Node(self._libraries, folder, options, membership)
                self._nodes[node_id].format()
            self.bootstrap_servers = ",".join(f"127.0.0.1:{node.port}" for node in self._nodes.values())
            for node in self._nodes.values():
                node.start()
            self.await_whole()
        except JarsUnavailable as error:
            self.stop()
            raise BrokerFailed(str(error)) from error
        except BaseException:  # Ctrl-C, too: nothing may be left behind
            self.stop()
            raise

    def stop(self) -> None:
        for node in self._nodes.values():
            node.kill()  # its data goes too, and a frozen node cannot be asked to end
        self._nodes.clear()
        self._away.clear()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def restart(self) -> None:
        """One node after another, as an upgrade does it."""
        for node_id in self.node_ids:
            self.leave(node_id)
            self.begin(node_id)
            self.await_whole()

    @property
    def away(self) -> Sequence[int]:
        """Nodes that were taken away, or that are frozen."""
        return sorted(self._away)

    def kill(self, node_id: int) -> None:
        """SIGKILL. Its disk stays."""
        self._nodes[node_id].kill()
        self._away.add(node_id)

    def leave(self, node_id: int) -> None:
        """SIGTERM: it hands its partitions over, and ends."""
        self._nodes[node_id].stop()
        self._away.add(node_id)

    def freeze(self, node_id: int) -> None:
        """SIGSTOP: its connections stay open and nothing answers, as if the network to it were cut."""
        self._nodes[node_id].freeze()
        self._away.add(node_id)

    def begin(self, node_id: int) -> None:
        """Start it again with what is on its disk. Returns at once: `await_whole` waits for it.

        Call it from a thread that lives as long as the cluster: a child process ends with the thread that started it.
        """
        self._nodes[node_id].start()
        self._away.discard(node_id)

    def thaw(self, node_id: int) -> None:
        """SIGCONT: it goes on where it was. Returns at once: `await_whole` waits until it is in sync."""
        self._nodes[node_id].thaw()
        self._away.discard(node_id)

    def controller(self) -> int:
        """The node that leads the controllers, by what the nodes wrote down last."""
        assert self._folder is not None, "asked before it was started"
        states = []
        for node_id in self.node_ids:
            path = self._folder / str(node_id) / QUORUM_STATE
            if path.exists():  # a node writes a new file and renames it: what is there is whole
                state = orjson.loads(path.read_bytes())
                states.append((state["leaderEpoch"], state["leaderId"]))
        _, leader = max((state for state in states if state[1] in self._nodes), default=(0, self.node_ids[0]))
        return int(leader)

    def await_whole(self) -> None:
        """Wait until no node is away, and every replica of every partition is in sync. Raises `BrokerFailed`."""
        deadline = time.monotonic() + WHOLE_SECONDS_MAX
        while missing := self._missing():
            self._require_running()
            if time.monotonic() >= deadline:
                raise BrokerFailed(f"the cluster is not whole after {WHOLE_SECONDS_MAX:.0f} s: {missing}")
            time.sleep(LOOK_SECONDS)

    def log(self, node_id: int) -> Path:
        """What a node writes."""
        return self._nodes[node_id].log

    def _require_running(self) -> None:
        for node_id, node in self._nodes.items():
            child: Child | None = node.child
            if child is not None and not child.is_running():
                raise BrokerFailed(f"broker {node_id} ended by itself:\n{child.last_lines()}")

    def _missing(self) -> str:
        """What is not in sync, as one broker after the other sees it; empty if nothing.

        Each one is asked: one that was away may not know yet that it was.
        """
        if self._away:
            return f"{self.away} are away"
        for node_id, node in self._nodes.items():
            if problem := _missing_at(node.port, len(self.node_ids)):
                return f"broker {node_id} says: {problem}"
        return ""


def _missing_at(port: int, nodes: int) -> str:
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    quiet: dict[str, str | int | float | bool] = {"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0}
    try:
        metadata = AdminClient(quiet).list_topics(timeout=ANSWER_SECONDS_MAX)
    except KafkaException as error:
        return str(error.args[0])
    if len(metadata.brokers) < nodes:
        return f"there are {len(metadata.brokers)} of {nodes} brokers"
    for name, topic in metadata.topics.items():
        for number, partition in topic.partitions.items():
            if partition.leader < 0 or len(partition.isrs) < len(partition.replicas):
                return f"{name}/{number} has {len(partition.isrs)} of {len(partition.replicas)} replicas in sync"
    return ""
