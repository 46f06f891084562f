"""What asyncio code of several packages needs."""
