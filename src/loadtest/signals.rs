//! Signals that ask for an end, so that what was started is ended too and what was written is removed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use tokio::signal::unix::{SignalKind, signal};

/// Counts SIGINT, SIGTERM and SIGHUP for as long as the process lives.
#[derive(Clone, Debug)]
pub struct Signals(Arc<AtomicU32>);

impl Signals {
    /// Begins to count, in a thread of its own.
    ///
    /// # Errors
    /// A sentence, when the system lets nobody listen.
    pub fn watch() -> Result<Self, String> {
        let deaf = |error: std::io::Error| format!("signals cannot be received: {error}");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(deaf)?;
        let (mut interrupt, mut terminate, mut hangup) = {
            let _entered = runtime.enter();
            let listen = |kind| signal(kind).map_err(deaf);
            (
                listen(SignalKind::interrupt())?,
                listen(SignalKind::terminate())?,
                listen(SignalKind::hangup())?,
            )
        };
        let count = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&count);
        std::thread::spawn(move || {
            runtime.block_on(async {
                loop {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                        _ = hangup.recv() => {}
                    }
                    counted.fetch_add(1, Relaxed);
                }
            });
        });
        Ok(Signals(count))
    }

    /// Signals so far.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.load(Relaxed)
    }

    /// An error once a signal came.
    ///
    /// # Errors
    /// A sentence.
    pub fn check(&self) -> Result<(), String> {
        if self.count() == 0 {
            Ok(())
        } else {
            Err("ended by a signal".to_owned())
        }
    }
}
