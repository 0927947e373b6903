//! A program that runs in our place: the signals that would end us reach it, and we stay to tell what became of it.

use std::{
    io,
    process::{Child, Command, ExitStatus},
    sync::{Arc, Mutex, PoisonError},
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid},
};
use tokio::{
    runtime::Handle,
    signal::unix::{Signal as Received, SignalKind, signal},
};

/// Runs the command to its end, and `meanwhile` beside it. It has to be called on a runtime of several threads.
pub(crate) fn run<T>(
    command: &mut Command,
    meanwhile: impl FnOnce(&mut Child) -> io::Result<T>,
) -> io::Result<(ExitStatus, T)> {
    tokio::task::block_in_place(|| {
        // Before it starts: none is missed in between.
        let mut signals = Signals::listen()?;
        let mut child = command.spawn()?;
        let pid = Pid::from_child(&child);
        // Its number is another one's once we have waited for it.
        let ended = Arc::new(Mutex::new(false));
        let seen = Arc::clone(&ended);
        let passing_on = Handle::current().spawn(async move {
            loop {
                let Some(signal) = signals.next().await else { continue };
                let ended = seen.lock().unwrap_or_else(PoisonError::into_inner);
                // Who has ended meanwhile can't be told, and need not be.
                let _ = if *ended { Ok(()) } else { kill_process(pid, signal) };
            }
        });
        let told = meanwhile(&mut child)?;
        let end = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while matches!(waitid(WaitId::Pid(pid), end), Err(Errno::INTR)) {}
        *ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        passing_on.abort();
        Ok((child.wait()?, told))
    })
}

struct Signals {
    terminate: Received,
    hang_up: Received,
    interrupt: Received,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The next signal to pass on; none for Ctrl-C, which a terminal sends to the program itself too: told twice, `pulumi`
    /// breaks off without tidying up.
    async fn next(&mut self) -> Option<Signal> {
        tokio::select! {
            _ = self.terminate.recv() => Some(Signal::TERM),
            _ = self.hang_up.recv() => Some(Signal::HUP),
            _ = self.interrupt.recv() => None,
        }
    }
}
