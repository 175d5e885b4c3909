//! Ctrl-C and SIGTERM: remembered, so that the demo stops in order instead of in the middle of something.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use nix::sys::signal::{SigSet, Signal};

static ASKED: AtomicBool = AtomicBool::new(false);

/// From now on the signals no longer end this process. Programs that it starts get them as ever.
pub(crate) fn watch() -> Result<()> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.thread_block()?;
    std::thread::spawn(move || {
        if signals.wait().is_ok() {
            ASKED.store(true, Ordering::SeqCst);
        }
    });
    Ok(())
}

/// Fails when somebody asked to stop.
pub(crate) fn check() -> Result<()> {
    if ASKED.load(Ordering::SeqCst) {
        bail!("stopped by Ctrl-C");
    }
    Ok(())
}

/// Waits a moment: tasks have no event loop.
#[expect(clippy::disallowed_methods, reason = "the one place where tasks sleep")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Waits until somebody asks to stop.
pub(crate) fn wait() {
    while check().is_ok() {
        pause(Duration::from_millis(100));
    }
}
