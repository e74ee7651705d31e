"""What a user would write in Python: starlette, uvicorn and asyncpg, one process.

    starlette_app.py PORT SECRET

Verifies GitHub's signature over the bytes of the body and answers after the
INSERT.  uvloop and httptools, which are in C, are used.
"""
import hashlib
import hmac
import os
import sys

import asyncpg
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

port, secret = int(sys.argv[1]), sys.argv[2].encode()
INSERT = "INSERT INTO webhook_events (id, topic, payload) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING"


async def start():
    app.state.pool = await asyncpg.create_pool(
        host=os.environ["PGHOST"], user=os.environ["PGUSER"], database=os.environ["PGDATABASE"],
        min_size=32, max_size=32)


async def receive(request):
    body = await request.body()
    expected = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, request.headers.get("x-hub-signature-256", "")):
        return JSONResponse({"status": "unauthorized"}, status_code=401)
    await app.state.pool.execute(
        INSERT, request.headers["x-github-delivery"], request.headers["x-github-event"], body.decode())
    return JSONResponse({"status": "stored"})


app = Starlette(routes=[Route("/hooks/{name}", receive, methods=["POST"])], on_startup=[start])
uvicorn.run(app, host="127.0.0.1", port=port, loop="uvloop", http="httptools", backlog=4096,
            access_log=False, log_level="warning")
