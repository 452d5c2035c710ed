"""A client of an ASGI application without a socket, for tests that are not asynchronous."""

import asyncio

import anyio
import httpx


class Client:
    """Send requests to an application, one at a time or many at once in one event loop."""

    def __init__(self, app):
        self.app = app

    def send_all(self, requests):
        """Return the responses to requests, all under way at once: (method, url, content)."""

        async def sent():
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
                coming = (client.request(method, url, **kw) for method, url, kw in requests)
                return await asyncio.gather(*coming)

        return anyio.run(sent)

    def send(self, method, url, **content):
        return self.send_all([(method, url, content)])[0]

    def get(self, url, **content):
        return self.send("GET", url, **content)

    def post(self, url, body, **content):
        return self.send("POST", url, json=body, **content)
