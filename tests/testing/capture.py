# SPDX-License-Identifier: Apache-2.0
"""Captures every packet of a network namespace and judges it.

A verdict is about what was really on the wire, so it is only good when the kernel dropped
nothing from the capture: a capture with drops never passes.
"""
import collections
import socket
import struct
import threading
import time

from . import host, network

ETH_P_ALL, ETH_IPV4, ETH_IPV6 = 0x0003, 0x0800, 0x86DD
SOL_PACKET, PACKET_STATISTICS, SO_RCVBUFFORCE = 263, 6, 33
ICMPV6 = 58
# RFC 8446, 5.1 and 5.2: content types, legacy versions, 2^14 bytes and 256 of expansion.
TLS_TYPES, TLS_VERSIONS, TLS_MAX = {20, 21, 22, 23}, {0x0301, 0x0303}, 16384 + 256
SYN = 0x02

Packet = collections.namedtuple("Packet", "interface protocol data")
Segment = collections.namedtuple("Segment", "flow seq flags payload")
Verdict = collections.namedtuple("Verdict", "ok text streams records octets")


class Capture:
    """All interfaces of a namespace, lo included, from construction to stop()."""

    def __init__(self, netns):
        self.netns = netns
        self.packets = []
        self.drops = 0
        self._socket = host.in_netns(network.path(netns), self._open)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @staticmethod
    def _open():
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        sock.settimeout(0.1)
        return sock

    def _read(self):
        while True:
            try:
                data, address = self._socket.recvfrom(1 << 17)
            except TimeoutError:
                if self._stopping.is_set():
                    return
                continue
            self.packets.append(Packet(address[0], address[1], data[14:]))

    def stop(self):
        """Takes what is still queued, and closes."""
        if self._thread.is_alive():
            time.sleep(0.05)
            self._stopping.set()
            self._thread.join()
            stats = self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
            self.drops += struct.unpack("II", stats)[1]
            self._socket.close()
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def streams(self):
        """Flow, occurrence -> bytes of each TCP direction: see _reassemble."""
        flows = collections.defaultdict(list)
        for packet in self.packets:
            segment = parse_tcp(packet)
            if segment:
                flows[segment.flow].append(segment)
        return {(flow, number): stream for flow, segments in flows.items()
                for number, stream in enumerate(_reassemble(segments))}

    def find(self, marker):
        """Where a byte string was seen: in a packet, or across packets of a stream."""
        places = [f"{packet.interface}: packet of {len(packet.data)} bytes"
                  for packet in self.packets if marker in packet.data]
        return places + [f"stream {_show(flow)}" for (flow, _), stream in self.streams().items()
                         if marker in (stream or b"")]

    def judge_tls(self, port):
        """Every byte to and from `port` belongs to a TLS record."""
        count, records, octets, problems = 0, 0, 0, []
        for (flow, _), stream in self.streams().items():
            if port not in (flow[1], flow[3]):
                continue
            count += 1
            found, problem = judge_records(stream)
            records += found
            octets += len(stream or b"")
            if problem:
                problems.append(f"{_show(flow)}: {problem}")
        if self.drops:
            problems.append(f"the capture itself lost {self.drops} packets")
        text = "; ".join(problems) or f"{records} TLS records in {octets} bytes, nothing else"
        return Verdict(not problems and records > 0, text, count, records, octets)

    def only(self, interface):
        """The same capture, of one interface. Stop it first."""
        part = object.__new__(Capture)
        part.netns, part.drops = self.netns, self.drops
        part.packets = [packet for packet in self.packets if packet.interface == interface]
        return part

    def other_ports(self, *ports):
        """Traffic that is not TCP of one of `ports`."""
        found = []
        for packet in self._traffic():
            segment = parse_tcp(packet)
            if not segment or not {segment.flow[1], segment.flow[3]}.intersection(ports):
                found.append(describe(packet))
        return found

    def sent_to(self, addresses, but_from=()):
        """Packets to one of these addresses, on any interface, in words."""
        def packed(texts):
            return {socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
                    for text in texts}
        wanted, spared = packed(addresses), packed(but_from)
        parts = [(packet, ip_payload(packet)) for packet in self._traffic()]
        return [describe(packet) for packet, ip in parts
                if ip and ip[1] in wanted and ip[0] not in spared]

    def traffic(self):
        """Everything but ARP, neighbour discovery and what never leaves the machine (lo)."""
        return [describe(packet) for packet in self._traffic()]

    def _traffic(self):
        return [packet for packet in self.packets
                if packet.interface != "lo" and not is_neighbour_discovery(packet)]


def ip_payload(packet):
    """(source, destination, protocol, payload) or None. No extension headers are expected."""
    data = packet.data
    if packet.protocol == ETH_IPV4 and len(data) >= 20:
        header, total = (data[0] & 15) * 4, struct.unpack_from("!H", data, 2)[0]
        # Segmentation offload leaves 0 for what does not fit 16 bits.
        return data[12:16], data[16:20], data[9], data[header:total or len(data)]
    if packet.protocol == ETH_IPV6 and len(data) >= 40:
        total = struct.unpack_from("!H", data, 4)[0]
        return data[8:24], data[24:40], data[6], data[40:40 + total if total else len(data)]
    return None


def parse_tcp(packet):
    """The TCP segment in a packet, or None."""
    parts = ip_payload(packet)
    if not parts or parts[2] != socket.IPPROTO_TCP or len(parts[3]) < 20:
        return None
    source, destination, _, tcp = parts
    sport, dport, seq = struct.unpack_from("!HHI", tcp)
    offset = (tcp[12] >> 4) * 4
    return Segment((source, sport, destination, dport), seq, tcp[13], tcp[offset:])


def is_neighbour_discovery(packet):
    """ARP; ICMPv6 that only manages the link (130 to 143: multicast listeners, RFC 4861)."""
    parts = ip_payload(packet)
    if not parts:
        return True
    if parts[2] == 0 and packet.protocol == ETH_IPV6:
        return True  # hop-by-hop options: multicast listener reports
    return parts[2] == ICMPV6 and 130 <= parts[3][0] <= 143


def describe(packet):
    """One packet in words."""
    segment = parse_tcp(packet)
    if segment:
        return f"{packet.interface}: TCP {_show(segment.flow)} flags {segment.flags:#04x}" \
               f" {len(segment.payload)} bytes"
    parts = ip_payload(packet)
    return f"{packet.interface}: IP protocol {parts[2] if parts else packet.protocol}"


def _show(flow):
    def name(address):
        return socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)
    return f"{name(flow[0])}:{flow[1]} > {name(flow[2])}:{flow[3]}"


def _reassemble(segments):
    """Bytes of each connection that used this flow in turn; None where bytes are missing or
    the start was not seen. Sequence numbers say what is a copy (a retransmission, or the
    same packet on a second interface)."""
    connections, start, whole = [], None, True
    for segment in segments:
        syn = bool(segment.flags & SYN)
        if syn and start != segment.seq:
            start = segment.seq
            connections.append({})
        if not segment.payload:
            continue
        if start is None:
            whole = False
            continue
        # Data begins one after the SYN's number, also when the SYN itself carries it.
        position = (segment.seq + syn - start - 1) & 0xFFFFFFFF
        if len(segment.payload) > len(connections[-1].get(position, b"")):
            connections[-1][position] = segment.payload
    return [_join(pieces) for pieces in connections] + ([] if whole else [None])


def _join(pieces):
    stream = bytearray()
    for position in sorted(pieces):
        if position >> 31:
            continue  # a keep-alive probe repeats the byte before the window
        if position > len(stream):
            return None
        stream += pieces[position][len(stream) - position:]
    return bytes(stream)


def judge_records(stream):
    """(records, problem) of one direction of a TLS connection."""
    if stream is None:
        return 0, "bytes are missing from the capture"
    position, records = 0, 0
    while position < len(stream):
        head = stream[position:position + 5]
        if len(head) == 5:
            kind, version, length = struct.unpack("!BHH", head)
            if version not in TLS_VERSIONS or length > TLS_MAX or not length:
                return records, f"no TLS record at byte {position}: {head.hex()}"
        if head[0] not in TLS_TYPES or (records == 0 and head[0] not in (21, 22)):
            return records, f"no TLS record at byte {position}: {head.hex()}"
        if len(head) < 5 or position + 5 + length > len(stream):
            break  # the connection ended, or the capture did, inside a record
        position += 5 + length
        records += 1
    return records, None
