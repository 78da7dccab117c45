"""The framing that hooks and daemon speak."""
