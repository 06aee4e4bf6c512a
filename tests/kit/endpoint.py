"""A server in OpenAI's chat form on this machine: the embedded model answers, or whatever a test wants to go wrong."""

import base64
import datetime
import io
import json
import socket
import ssl
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import torch
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from PIL import Image

from savs_harvest.models.loading import load_checkpoint
from savs_harvest.models.prompts import prepare
from savs_harvest.models.specs import find_model

DAY = datetime.timedelta(days=1)


@cache
def tiny():
    return load_checkpoint(find_model("tiny"), "cpu")


def tiny_logits(pictures, question):
    """Return the log-probabilities of tiny's next token."""
    loaded = tiny()
    with torch.inference_mode():
        return loaded.model(**prepare(loaded.processor, pictures, question)).logits[0, -1].log_softmax(-1)


def parts_of(body):
    """Return the pictures and the question of a request."""
    (message,) = body["messages"]
    urls = [part["image_url"]["url"] for part in message["content"] if part["type"] == "image_url"]
    assert all(url.startswith("data:image/png;base64,") for url in urls)
    pictures = [Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) for url in urls]
    return pictures, "".join(part["text"] for part in message["content"] if part["type"] == "text")


def completion(text, model="served", first=(), usage=(100, 2), reason="stop"):
    """Return a reply in OpenAI's form."""
    logprobs = {"content": [{"token": text, "top_logprobs": [{"token": t, "logprob": v} for t, v in first]}]}
    return {
        "id": "1",
        "object": "chat.completion",
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": reason,
                "logprobs": logprobs if first else None,
            }
        ],
        **({"usage": dict(zip(("prompt_tokens", "completion_tokens"), usage, strict=True))} if usage else {}),
    }


def tiny_reply(body):
    """Return what tiny says of a request: its likeliest token."""
    pictures, question = parts_of(body)
    logits = tiny_logits([picture.convert("RGB") for picture in pictures], question)
    words = tiny().processor.tokenizer.convert_ids_to_tokens(range(len(logits)))
    order = logits.argsort(descending=True)[:20].tolist()
    first = [(words[token], float(logits[token])) for token in order] if body.get("logprobs") else ()
    return completion(words[order[0]], first=first)


def quick_reply(body, **options):
    """Answer at once: yes or no, by the pixels and the words of a request, with log-probabilities where asked."""
    pictures, question = parts_of(body)
    number = sum(map(int, np.asarray(pictures[0].convert("L")).ravel())) if pictures else 0
    said = ("No.", "yes", "I cannot say")[(number + len(question)) % 3]
    first = [("yes", -0.5), ("No", -1.5)] if body.get("logprobs") else ()
    return completion(said, first=first, **options)


@dataclass
class Fault:
    """What a server does instead of answering: a code with a body and headers, or cutting the line, after a while."""

    code: int = 0
    body: object = ""
    headers: dict = field(default_factory=dict)
    after: float = 0.0


@dataclass
class Served:
    """A server that runs: what it is asked, by the words of the requests; what it says, and what it does instead."""

    reply: Callable = tiny_reply
    fault: Callable = lambda served, body, headers: None
    bodies: list = field(default_factory=list)
    headers: list = field(default_factory=list)
    answered: Counter = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""

    @property
    def times(self):
        """How often each request was sent."""
        return Counter(json.dumps(body["messages"]) for body in self.bodies)


def self_signed(folder, host):
    """Write a certificate, and its key, that only itself vouches for; return the file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + DAY)
    signed = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), False).sign(key, SHA256())
    plain = serialization.NoEncryption()
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "server.pem").write_bytes(secret + signed.public_bytes(serialization.Encoding.PEM))
    return folder / "server.pem"


@contextmanager
def serving(certificate=None, **options):
    """Serve on a free port of this machine while the block is open, by https with a certificate."""
    served = Served(**options)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert self.path == "/v1/chat/completions", self.path
            with served.lock:
                served.bodies.append(body)
                served.headers.append({name.lower(): value for name, value in self.headers.items()})
                fault = served.fault(served, body, self.headers)
                found = None if fault else served.reply(body)
            if fault:
                return self._fail(fault)
            self._send(200, found)
            with served.lock:
                served.answered[json.dumps(body["messages"])] += 1

        def _fail(self, fault):
            time.sleep(fault.after)
            if fault.code:
                return self._send(fault.code, fault.body, fault.headers)
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        def _send(self, code, found, headers=()):
            text = json.dumps(found).encode()
            try:
                self.send_response(code)
                for name, value in {
                    "Content-Type": "application/json",
                    "Content-Length": len(text),
                    **dict(headers),
                }.items():
                    self.send_header(name, str(value))
                self.end_headers()
                self.wfile.write(text)
            except OSError:  # who asked has gone
                self.close_connection = True

        def log_message(self, *words):
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request, client_address):
            if not isinstance(sys.exc_info()[1], OSError):
                super().handle_error(request, client_address)

    server = Server(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_port}/v1"
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        served.url = f"https://localhost:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
