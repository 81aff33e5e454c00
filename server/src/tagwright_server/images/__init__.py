"""From the bytes a caller sent to the square of pixels a network looks at: the only room that sees untrusted pixels."""
