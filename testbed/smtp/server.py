"""A mail server on 127.0.0.1 that tells its owner about each message that it takes; see src/smtp/mod.rs.

Its one argument is a JSON file with its settings. The owner listens on the Unix socket that they name:

* the server sends lines of JSON to the owner: `done` when mail can be delivered, then each message (before its sender
  is told that it was taken), and the outcome of each order;
* the owner sends `taken` for each message, and the orders `up`, `down`, `cut` and `hang`.

The process ends with this connection.
"""

import asyncio
import collections
import email
import email.policy
import json
import logging
import socket
import ssl
import sys
from datetime import datetime, timezone

from aiosmtpd.smtp import SMTP, AuthResult

# The longest message in bytes, and the largest number of messages, because the owner keeps them all.
MESSAGE_LIMIT = 1024 * 1024
MESSAGES_LIMIT = 10_000

# How long a server that goes down waits for messages that are on their way, in seconds.
DOWN_LIMIT = 10


def decoded(raw):
    """What a reader of the message sees: its header and its (preferably plain) text."""
    message = email.message_from_bytes(raw, policy=email.policy.default)
    headers = [(name, str(value)) for name, value in message.items()]
    body = message.get_body(preferencelist=("plain", "html"))
    return {
        "headers": headers,
        "subject": text(message["subject"]),
        "from": text(message["from"]),
        "to": text(message["to"]),
        "message_id": text(message["message-id"]),
        "body": body.get_content().replace("\r\n", "\n") if body else "",
    }


def text(value):
    return None if value is None else str(value)


class Owner:
    """The connection to the owner, which started this process."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer
        self.untaken = collections.deque()

    def tell(self, event):
        # Bytes of a message that are no characters have been read as surrogates. JSON has no surrogates.
        line = json.dumps(event, ensure_ascii=False).encode("utf-8", "replace")
        self.writer.write(line + b"\n")

    async def hand_over(self, mail):
        """Returns when the owner has the message."""
        taken = asyncio.get_running_loop().create_future()
        self.untaken.append(taken)
        self.tell({"event": "mail", **mail})
        await taken

    async def obey(self, server):
        orders = asyncio.Queue()
        # Orders have a task of their own, because a server that goes down waits until its messages are taken.
        follower = asyncio.create_task(self.follow(orders, server))
        while line := await self.reader.readline():
            order = line.decode().strip()
            if order == "taken":
                taken = self.untaken.popleft()
                # The sender may have hung up.
                if not taken.done():
                    taken.set_result(None)
            else:
                orders.put_nowait(order)
        follower.cancel()

    async def follow(self, orders, server):
        while True:
            order = await orders.get()
            try:
                await server.switch(order)
                self.tell({"event": "done"})
            except Exception as error:
                self.tell({"event": "failed", "reason": f"{order}: {error}"})


class Handler:
    """Handles the commands of senders."""

    def __init__(self, settings, owner):
        self.owner = owner
        self.auth = settings["auth"]
        self.refused = set(settings["refused"])
        self.greylisted = set(settings["greylisted"])
        self.slow = settings["slow_ms"] / 1000
        self.messages = 0

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        session.host_name = hostname
        if self.auth is None:
            # aiosmtpd offers AUTH even if nobody can log in.
            responses = [line for line in responses if not line.startswith("250-AUTH")]
        return responses

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address in self.refused:
            return "550 5.1.1 No such user here"
        if address in self.greylisted:
            self.greylisted.remove(address)
            return "450 4.2.0 Greylisted, try again later"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if self.messages >= MESSAGES_LIMIT:
            return "452 4.3.1 No room for more messages"
        raw = envelope.original_content
        mail = {
            "envelope_from": envelope.mail_from,
            "recipients": envelope.rcpt_tos,
            "raw": raw.decode("utf-8", "surrogateescape"),
            "accepted_at": datetime.now(timezone.utc).isoformat(),
            "tls": server.transport.get_extra_info("ssl_object") is not None,
            "auth_user": session.auth_data.login.decode() if session.authenticated else None,
            **decoded(raw),
        }
        self.messages += 1
        await self.owner.hand_over(mail)
        await asyncio.sleep(self.slow)
        return "250 OK"

    def authenticate(self, server, session, envelope, mechanism, login):
        expected = (self.auth["user"].encode(), self.auth["password"].encode()) if self.auth else None
        return AuthResult(success=tuple(login) == expected, handled=False, auth_data=login)


class Mute(asyncio.Protocol):
    """Accepts a connection and never says anything."""

    def __init__(self, connections):
        self.connections = connections

    def connection_made(self, transport):
        self.transport = transport
        self.connections.add(transport)

    def connection_lost(self, error):
        self.connections.discard(self.transport)


class Speaking(SMTP):
    """A connection that is known, so that it can be cut."""

    def __init__(self, connections, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.connections = connections
        # After STARTTLS there are two: the plain one, and the one through it.
        self.transports = set()
        # Set while no message is being taken.
        self.rests = asyncio.Event()
        self.rests.set()

    def connection_made(self, transport):
        self.transports.add(transport)
        self.connections.add(transport)
        super().connection_made(transport)

    def connection_lost(self, error):
        self.connections.difference_update(self.transports)
        self.rests.set()
        super().connection_lost(error)

    async def smtp_DATA(self, arg):
        self.rests.clear()
        try:
            await super().smtp_DATA(arg)
        finally:
            self.rests.set()


class Server:
    """The port, and the server that answers there."""

    def __init__(self, settings):
        self.settings = settings
        self.mode = settings["mode"]
        self.tls = None
        if self.mode != "plain":
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(settings["certificate"], settings["key"])
        self.handler = None
        self.connections = set()
        self.listener = None
        self.port = None
        self.reserve()

    def reserve(self):
        """Takes the port without listening, so that connections are refused."""
        self.port = socket.socket()
        # Earlier connections may still be about to end, which would prevent the bind.
        self.port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.port.bind(("127.0.0.1", self.settings["port"]))
        # From here on no other process can have the port.
        self.port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)

    async def switch(self, order):
        """Goes up, down or mute, and ends the present connections."""
        protocols = {
            "up": self.speaking,
            "hang": lambda: Mute(self.connections),
            "down": None,
            "cut": None,
        }
        protocol = protocols[order]
        if self.listener:
            self.listener.close()
            self.listener = None
            self.reserve()
        if order == "down":
            await self.finish()
        for connection in list(self.connections):
            connection.abort()
        if protocol:
            self.port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # A mute server does not get as far as TLS.
            tls = self.tls if self.mode == "tls" and order == "up" else None
            loop = asyncio.get_running_loop()
            self.listener = await loop.create_server(protocol, sock=self.port, ssl=tls)

    async def finish(self):
        """Takes the messages that are on their way, and tells their senders so, as a server does when it is stopped."""
        busy = [transport.get_protocol() for transport in self.connections]
        rests = [protocol.rests.wait() for protocol in busy if isinstance(protocol, Speaking)]
        try:
            await asyncio.wait_for(asyncio.gather(*rests), DOWN_LIMIT)
        except asyncio.TimeoutError:
            pass
        for connection in list(self.connections):
            # Replies that were written still go out.
            connection.close()
        self.connections.clear()

    def speaking(self):
        auth = self.settings["auth"] is not None
        # aiosmtpd only knows the TLS that STARTTLS began.
        tls_required = self.mode != "tls" and not self.settings["auth_without_tls"]
        return Speaking(
            self.connections,
            self.handler,
            data_size_limit=MESSAGE_LIMIT,
            hostname="localhost",
            tls_context=None if self.mode == "tls" else self.tls,
            require_starttls=self.mode == "starttls_required",
            auth_required=auth,
            auth_require_tls=tls_required,
            auth_exclude_mechanism=None if auth else ["LOGIN", "PLAIN"],
            authenticator=self.handler.authenticate,
            loop=asyncio.get_running_loop(),
        )


async def main(path):
    with open(path, encoding="utf-8") as file:
        settings = json.load(file)
    server = Server(settings)
    owner = Owner(*await asyncio.open_unix_connection(settings["control"]))
    server.handler = Handler(settings, owner)
    await server.switch("up")
    owner.tell({"event": "done"})
    await owner.obey(server)


if __name__ == "__main__":
    # Logs the dialogues, without passwords. An error shows the end of this log.
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    asyncio.run(main(sys.argv[1]))
