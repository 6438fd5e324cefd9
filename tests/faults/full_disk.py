"""File layer of a disk that is full from its k-th write on; executed in the process of a command."""

import builtins
import errno
import io
import os
from typing import Any

import legalrr.store


def install(folder: str, first: int) -> None:
    """Let writes below `folder` fail with ENOSPC from number `first` on, counted from 1.

    Their number is written to the file `writes`.
    A write is one to a file, the creation of a file or folder, and a rename. The first failing write to a file writes
    half of its bytes.
    """
    opened, made, replaced = io.open, os.mkdir, os.replace
    count, counter = 0, os.open("writes", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def below(path: Any) -> bool:
        return isinstance(path, str | os.PathLike) and os.path.abspath(path).startswith(folder + os.sep)

    def is_full() -> bool:
        nonlocal count
        count += 1
        os.pwrite(counter, b"%d" % count, 0)
        return count >= first

    def fail(path: object = None) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    class File(io.FileIO):
        def write(self, data: Any) -> int:
            if not below(self.name) or not is_full():
                return super().write(data)
            if count == first:
                super().write(memoryview(data).cast("B")[: memoryview(data).nbytes // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def __init__(self, file: Any, mode: str = "r", *arguments: Any) -> None:
            if set(mode) & set("wxa") and below(file) and not os.path.exists(file) and is_full():
                fail(file)
            super().__init__(file, mode, *arguments)

    def open_file(file: Any, mode: str = "r", buffering: int = -1, *arguments: Any, **options: Any) -> Any:
        if not set(mode) & set("wxa") or not below(file):
            return opened(file, mode, buffering, *arguments, **options)
        buffer = io.BufferedWriter(File(file, mode.replace("b", "").replace("t", "")))
        return buffer if "b" in mode else io.TextIOWrapper(buffer, *arguments, **options)

    def make_folder(path: Any, *arguments: Any, **options: Any) -> None:
        if below(path) and not os.path.isdir(path) and is_full():
            fail(path)
        made(path, *arguments, **options)

    def replace(source: Any, target: Any, **options: Any) -> None:
        if below(target) and is_full():
            fail(source)
        replaced(source, target, **options)

    io.open = builtins.open = open_file  # type: ignore[assignment]
    os.mkdir, os.replace = make_folder, replace  # type: ignore[assignment]
    legalrr.store.FileIO = File  # type: ignore[misc]
