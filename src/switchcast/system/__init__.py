"""What the kernel tells of this host and its network. Everything here reads; nothing changes anything."""
