"""Creates what a deployment needs, for the local stack on one machine and for tests."""

from __future__ import annotations

import asyncio

from ..errors import TransportError
from ..labels import dead_letter_queue_name, placement_queue_name, webhook_dead_queue_name, webhook_queue_name
from ..settings import Settings
from . import schema
from .transport import ThreadTransport, Transport, error_code

#: Limit for a new table to become ACTIVE, which takes seconds in an empty account.
TABLE_WAIT_SECONDS = 120
TABLE_POLL_SECONDS = 0.25


async def provision(transport: Transport, settings: Settings) -> None:
    """Create queues, tables and, if the settings name one, the bucket. Existing ones stay as they are.

    Raises TransportError, and TimeoutError where a table does not become active.
    """
    await asyncio.gather(
        _table(transport, schema.jobs_table(settings.jobs_table)),
        _table(transport, schema.registry_table(settings.registry_table)),
        _queue(transport, dead_letter_queue_name(settings.prefix), schema.dead_letter_queue_attributes(settings)),
        *(
            _queue(
                transport,
                placement_queue_name(settings.prefix, cell, settings.cells),
                schema.placement_queue_attributes(settings),
            )
            for cell in range(settings.cells)
        ),
        _webhook_queues(transport, settings),
        *([_bucket(transport, settings.bucket)] if settings.bucket else []),
    )


def provision_now(settings: Settings) -> None:
    """Do the same for programs without an event loop, over its own transport."""

    async def run() -> None:
        transport = ThreadTransport(region=settings.region)
        try:
            await provision(transport, settings)
        finally:
            await transport.close()

    asyncio.run(run())


async def _queue(transport: Transport, name: str, attributes: dict[str, str]) -> None:
    try:
        await transport.call("sqs", "create_queue", QueueName=name, Attributes=attributes)
    except TransportError as error:
        # A queue of that name exists with other attributes.
        if error_code(error) not in ("QueueAlreadyExists", "QueueNameExists"):
            raise


async def _webhook_queues(transport: Transport, settings: Settings) -> None:
    dead = webhook_dead_queue_name(settings.prefix)
    await _queue(transport, dead, schema.webhook_dead_queue_attributes())
    url = (await transport.call("sqs", "get_queue_url", QueueName=dead))["QueueUrl"]
    answer = await transport.call("sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=["QueueArn"])
    attributes = schema.webhook_queue_attributes(answer["Attributes"]["QueueArn"])
    await _queue(transport, webhook_queue_name(settings.prefix), attributes)


async def _table(transport: Transport, parameters: dict[str, object]) -> None:
    name = parameters["TableName"]
    try:
        await transport.call("dynamodb", "create_table", **parameters)
    except TransportError as error:
        if error_code(error) != "ResourceInUseException":
            raise
    async with asyncio.timeout(TABLE_WAIT_SECONDS):
        while True:
            table = await transport.call("dynamodb", "describe_table", TableName=name)
            if table["Table"]["TableStatus"] == "ACTIVE":
                break
            await asyncio.sleep(TABLE_POLL_SECONDS)
    ttl = {"AttributeName": schema.TTL_ATTRIBUTE, "Enabled": True}
    try:
        await transport.call("dynamodb", "update_time_to_live", TableName=name, TimeToLiveSpecification=ttl)
    except TransportError as error:
        # AWS rejects enabling TTL where it is already enabled.
        if error_code(error) != "ValidationException":
            raise


async def _bucket(transport: Transport, name: str) -> None:
    try:
        await transport.call("s3", "create_bucket", Bucket=name)
    except TransportError as error:
        if error_code(error) not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
            raise
