"""The read side of the public API: leads, tags, sources and suppressions of one business."""
