"""Takes a channel's whole history with Telethon and prints how long that took, one
JSON object a line: telethon-history SERVERS.json PHONE CODE CHANNEL nothing|tl|json

SERVERS.json is the file that `telegram.servers` names. What is kept of each message is
nothing, its bytes, or its JSON, in memory, with its SHA-256.
"""
import asyncio
import hashlib
import json
import logging
import os
import resource
import sys
import time

from telethon import TelegramClient
from telethon.crypto import AES, rsa
from telethon.network import ConnectionTcpIntermediate
from telethon.sessions import MemorySession
from telethon.tl.functions.auth import SignInRequest


def rsa_pad(fingerprint, data, *, use_old=False):
    """RSA_PAD of https://core.telegram.org/mtproto/auth_key, which the service takes
    since 2021 and gotd's server alone; Telethon still sends the form before it. It is
    the first message of a key exchange, and nothing else is changed in Telethon."""
    key, _ = rsa._server_keys.get(fingerprint, (None, None))
    if not key or len(data) > 144:
        return None
    padded = data + os.urandom(192 - len(data))
    while True:
        temp = os.urandom(32)
        hashed = padded[::-1] + hashlib.sha256(temp + padded).digest()
        sealed = AES.encrypt_ige(hashed, temp, bytes(32))
        mask = hashlib.sha256(sealed).digest()
        n = int.from_bytes(bytes(a ^ b for a, b in zip(temp, mask)) + sealed, 'big')
        if n < key.n:
            return pow(n, key.e, key.n).to_bytes(256, 'big')


async def main(file, phone, code, channel, keep):
    logging.disable(logging.WARNING)
    with open(file) as f:
        servers = json.load(f)
    for pem in servers['public_keys']:
        rsa.add_key(pem, old=False)
    rsa.encrypt = rsa_pad
    session = MemorySession()
    host, port = next(s['addr'] for s in servers['servers'] if s['id'] == servers['dc']).rsplit(':', 1)
    session.set_dc(servers['dc'], host, int(port))
    client = TelegramClient(session, 1, 'hash', connection=ConnectionTcpIntermediate, receive_updates=False, flood_sleep_threshold=0)
    await client.connect()
    sent = await client.send_code_request(phone)
    # not client.sign_in, which goes on to ask for updates.getDifference: the server has none
    await client(SignInRequest(phone, sent.phone_code_hash, code))
    peer = await client.get_input_entity(channel)
    for line in sys.stdin:  # one round each
        count, size, digest = 0, 0, b''
        begun, spent = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
        async for m in client.iter_messages(peer, wait_time=0):
            count += 1
            if keep != 'nothing':
                kept = m.to_json().encode() if keep == 'json' else bytes(m)
                digest = hashlib.sha256(kept).digest()
                size += len(kept)
        wall, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_SELF)
        print(json.dumps({'count': count, 'bytes': size, 'last': digest.hex(), 'wall': wall,
                          'cpu': after.ru_utime + after.ru_stime - spent.ru_utime - spent.ru_stime}), flush=True)
    await client.disconnect()


if __name__ == '__main__':
    if len(sys.argv) != 6 or sys.argv[5] not in ('nothing', 'tl', 'json'):
        sys.exit(__doc__)
    asyncio.run(main(*sys.argv[1:]))
