"""PostgreSQL's settings for bulk work, by the memory and the disk that the machine really has."""

import shutil
from pathlib import Path

import psutil

_MIB = 1 << 20
_GIB = 1 << 30
_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def memory_bytes() -> int:
    """Return the memory this process may use: the machine's, or its container's limit when that is less."""
    memory = int(psutil.virtual_memory().total)
    for path in _CGROUP_LIMITS:
        try:
            memory = min(memory, int(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):  # no such limit here, or the word "max"
            continue
    return memory


def bulk_settings(*, memory: int, free_disk: int, shared_memory: int) -> dict[str, str]:
    """Return the settings for a few sessions that rewrite much and may lose their last half second.

    Parameters
    ----------
    memory : int
        Bytes of memory of the machine.
    free_disk : int
        Bytes free where the data lie.
    shared_memory : int
        Bytes of ``/dev/shm``; 0 where there is none.
    """
    settings = {
        "shared_buffers": _mib(memory // 6, 128 * _MIB, 4 * _GIB),
        "effective_cache_size": _mib(memory // 2, 256 * _MIB, 64 * _GIB),
        # A build sorts in up to four sessions at once, a few sorts in each.
        "work_mem": _mib(memory // 96, 16 * _MIB, 256 * _MIB),
        "maintenance_work_mem": _mib(memory // 24, 64 * _MIB, 1 * _GIB),
        # Checkpoints far apart: each one makes every page be logged whole once more.
        "max_wal_size": _mib(min(8 * _GIB, free_disk // 8), 256 * _MIB, 8 * _GIB),
        "min_wal_size": "256MB",
        "checkpoint_timeout": "15min",
        # Whole pages are logged mostly when what was just built is read: compressing them is 3 % of a build.
        "wal_compression": "off",
        # Nobody replicates from here; a table filled in the transaction that empties it is then not logged.
        "wal_level": "minimal",
        "max_wal_senders": "0",
        # A crash of the machine may lose what was committed in the last half second, never tear it: rows and
        # their coverage commit together, so what is lost is fetched again. A crash of PostgreSQL alone after
        # the log was handed to the system loses nothing.
        "synchronous_commit": "off",
        # Compiling wide window queries costs more than they take.
        "jit": "off",
        "max_connections": "100",
        "random_page_cost": "1.1",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] ",
        "log_min_duration_statement": "-1",
    }
    if shared_memory < 512 * _MIB:  # a container's 64 MiB: parallel plans would fail in it
        settings["dynamic_shared_memory_type"] = "mmap"
    return settings


def settings_here(data: Path) -> dict[str, str]:
    """Return `bulk_settings` for this machine and the disk of `data`."""
    try:
        shared_memory = shutil.disk_usage("/dev/shm").free  # noqa: S108  # only asked how large it is
    except OSError:
        shared_memory = 0
    return bulk_settings(
        memory=memory_bytes(), free_disk=shutil.disk_usage(data).free, shared_memory=shared_memory
    )


def _mib(size: int, least: int, most: int) -> str:
    return f"{max(least, min(size, most)) // _MIB}MB"
