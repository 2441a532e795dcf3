"""A mail server for tests: STARTTLS and AUTH, every mail decoded into a file, and a failure at the stage that `fail` names.

usage: smtp.py FOLDER [CERTIFICATE KEY [wrapped | open]]
With a certificate it wants STARTTLS and a password; open, it wants no password; wrapped, it speaks TLS from the first byte.
FOLDER/port says where it listens; FOLDER/fail holds "STAGE CODE" or "STAGE hang", for a receiver alone "rcpt CODE ADDRESS", and may
change while it runs.
"""

import asyncio
import email
import email.policy
import pathlib
import ssl
import sys
import time

from aiosmtpd.smtp import SMTP, AuthResult

folder = pathlib.Path(sys.argv[1])
tls = None
if len(sys.argv) > 2:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(sys.argv[2], sys.argv[3])
wrapped = sys.argv[4:] == ["wrapped"]
secret = tls is not None and sys.argv[4:] != ["open"]


async def failure(stage, address=None):
    try:
        wanted, how, *whom = (folder / "fail").read_text().split()
    except (FileNotFoundError, ValueError):
        return None
    if wanted != stage or (whom and address not in whom):
        return None
    if how == "hang":
        await asyncio.sleep(60)
    return f"{how} told to fail at {stage}"


class Handler:
    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        session.host_name = hostname
        failed = await failure("ehlo")
        return [failed] if failed else responses

    async def handle_MAIL(self, server, session, envelope, address, options):
        failed = await failure("mail")
        if failed:
            return failed
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        failed = await failure("rcpt", address)
        if failed:
            return failed
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        failed = await failure("data")
        if failed:
            return failed
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        lines = [f"X-Tls: {wrapped or session.ssl is not None}", f"X-To: {' '.join(envelope.rcpt_tos)}"]
        lines += [f"{name}: {value}" for name, value in mail.items()]
        text = "\n".join(lines) + "\n\n" + mail.get_content()
        (folder / f"{time.time_ns()}.part").write_text(text)
        for part in folder.glob("*.part"):
            part.rename(part.with_suffix(".eml"))
        failed = await failure("answer")
        return failed or "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    good = data.login == b"cron" and data.password == b"hunter2"
    return AuthResult(success=good)


def session():
    return SMTP(
        Handler(),
        tls_context=None if wrapped else tls,
        require_starttls=tls is not None and not wrapped,
        auth_required=secret,
        auth_require_tls=not wrapped,
        authenticator=authenticate,
        hostname="sink.test",
    )


async def main():
    server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", 0, ssl=tls if wrapped else None)
    (folder / "port.part").write_text(str(server.sockets[0].getsockname()[1]))
    (folder / "port.part").rename(folder / "port")
    await asyncio.sleep(600)


asyncio.run(main())
