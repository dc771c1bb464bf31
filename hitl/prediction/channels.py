"""Which channel of an image is segmented."""

from __future__ import annotations

from annotations.volume import ImageInfo
from hitl.project.errors import HitlError


class ChannelError(HitlError):
    """A channel that the image does not have, or none named where there are several."""


def channel_index(info: ImageInfo, channel: str | None) -> int:
    """Return the number of the channel to segment.

    Raises
    ------
    ChannelError
        Several channels and none named, or one named that is not there.
    """
    names = info.channels
    listed = ", ".join(f"{number} ({name})" for number, name in enumerate(names))
    if channel is None:
        if len(names) == 1:
            return 0
        raise ChannelError(
            f"{info.path.name} has {len(names)} channels: {listed}; say --channel NAME or NUMBER"
        )
    if channel in names:
        return names.index(channel)
    if channel.isdecimal() and int(channel) < len(names):
        return int(channel)
    raise ChannelError(f"{info.path.name} has no channel {channel!r}; it has {listed}")
