"""Attaching memray to a Python process that already runs, without breakpoints and without a debugger's program.

Breakpoints are what kills a target whose debugger goes away: the next thread that meets one dies of SIGTRAP. So there are
none here. One thread is stopped for some milliseconds where a call is known to be safe, is made to call, and goes on:

- *at rest*: it waits in a system call such as `epoll_wait`, so it is not within `malloc` nor the dynamic loader. It loads
  memray's own injection library, whose thread then asks for the interpreter like any other. An idle target needs no nudge.
- *running*, where none waits: the code is queued with `Py_AddPendingCall`, and the main thread runs it between two
  bytecodes. That can be taken back at any time: the code lies in a page of ours, which is overwritten.

From Python 3.14 on a third way is tried before these: the interpreter is asked by `sys.remote_exec`, and nothing is stopped.

Every stop has a deadline, after which registers are put back and the thread is let go. (`gdb` before 14 cannot call
functions at all on CPUs with AMX: its buffer for the extended registers is too small.)
"""
