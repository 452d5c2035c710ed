"""A client of an ASGI application without a socket, for tests that are not asynchronous."""

import anyio
import httpx


class Client:
    """Send one request at a time to an application."""

    def __init__(self, app):
        self.app = app

    def send(self, method, url, **content):
        async def sent():
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
                return await client.request(method, url, **content)

        return anyio.run(sent)

    def get(self, url, **content):
        return self.send("GET", url, **content)

    def post(self, url, body, **content):
        return self.send("POST", url, json=body, **content)
