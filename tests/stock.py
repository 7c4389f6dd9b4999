"""A shop with something to sell: the demo's products, in any database."""

from __future__ import annotations

from bootstrap import service
from bootstrap.container import Container
from bootstrap.settings import read_settings
from gyeolje_demo.samples import load_samples


async def stock(database_url: str) -> None:
    """Bring the schema up to date, and fill the catalogue if it is empty."""
    container = Container(settings=read_settings({}, GYEOLJE_GATEWAY="fake", GYEOLJE_DATABASE_URL=database_url))
    async with service.opened(container):
        await load_samples(container.use_cases())
