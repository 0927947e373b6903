//! A program that runs in our place: the signals that would end us reach it, and we stay to tell what became of it.

use std::{
    io,
    process::{Command, ExitStatus},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::AsyncReadExt as _,
    process::Child,
    runtime::Handle,
    signal::unix::{Signal as Received, SignalKind, signal},
};

/// How much of the program's output is in memory at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// Runs the command to its end; `read` sees what it writes where its standard output is piped. It has to be called on a
/// runtime of several threads.
pub(crate) fn run(command: Command, read: impl FnMut(&[u8])) -> io::Result<ExitStatus> {
    tokio::task::block_in_place(|| Handle::current().block_on(ended(command, read)))
}

async fn ended(command: Command, mut read: impl FnMut(&[u8])) -> io::Result<ExitStatus> {
    // Before it starts: none is missed in between.
    let mut signals = Signals::listen()?;
    let mut child = tokio::process::Command::from(command).spawn()?;
    if let Some(mut stdout) = child.stdout.take() {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            tokio::select! {
                bytes = stdout.read(&mut piece) => match piece.get(..bytes?) {
                    None | Some([]) => break,
                    Some(bytes) => read(bytes),
                },
                signal = signals.next() => pass_on(&child, signal)?,
            }
        }
    }
    loop {
        tokio::select! {
            status = child.wait() => return status,
            signal = signals.next() => pass_on(&child, signal)?,
        }
    }
}

fn pass_on(child: &Child, signal: Option<Signal>) -> io::Result<()> {
    // Without an id it has ended, and there is nobody to tell.
    let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    match (pid, signal) {
        (Some(pid), Some(signal)) => Ok(kill_process(pid, signal)?),
        _ => Ok(()),
    }
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

    /// The next signal to pass on; none for Ctrl-C, which a terminal sends to the program itself too: told twice, `pulumi` breaks off
    /// without tidying up.
    async fn next(&mut self) -> Option<Signal> {
        tokio::select! {
            _ = self.terminate.recv() => Some(Signal::TERM),
            _ = self.hang_up.recv() => Some(Signal::HUP),
            _ = self.interrupt.recv() => None,
        }
    }
}
