"""Bytes to events and back. No I/O, no clock, no asyncio."""
