//! What an application does when it is told to get into trouble, and out of it again.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::mpsc, task::JoinSet};

use super::store::Store;

/// The troubles of one application.
#[derive(Default)]
pub(super) struct Trouble {
    slow: AtomicBool,
    held: Mutex<Held>,
}

/// Tasks that hold something until they are ended.
#[derive(Default)]
struct Held {
    leases: JoinSet<()>,
    lock: JoinSet<()>,
}

/// An incident counts as begun when it took hold, or after this time: with the server down it takes
/// hold when that is back.
const TAKES_HOLD: Duration = Duration::from_secs(2);
const TRY_AGAIN: Duration = Duration::from_millis(100);

impl Trouble {
    /// True while queries are to be slow.
    pub(super) fn slow(&self) -> bool {
        self.slow.load(Ordering::Relaxed)
    }

    /// Makes a part of the queries slow, or no longer.
    pub(super) fn slow_down(&self, slow: bool) {
        self.slow.store(slow, Ordering::Relaxed);
    }

    /// Borrows all `leases` of the pool and keeps them.
    pub(super) async fn exhaust(&self, store: &Store, leases: usize) {
        let (sender, mut taken) = mpsc::channel::<()>(leases);
        {
            let mut held = self.held();
            if !held.leases.is_empty() {
                return;
            }
            for _ in 0..leases {
                let (store, sender) = (store.clone(), sender.clone());
                held.leases.spawn(async move {
                    let _lease = loop {
                        match store.lease("report nobody closed").await {
                            Ok(lease) => break lease,
                            Err(_) => tokio::time::sleep(TRY_AGAIN).await,
                        }
                    };
                    drop(sender);
                    std::future::pending::<()>().await;
                });
            }
        }
        drop(sender);
        // The channel ends when the last holder has its lease. Or later, by itself.
        let _ = tokio::time::timeout(TAKES_HOLD, taken.recv()).await;
    }

    /// Locks every branch in a transaction that is never finished, over a connection of its own.
    pub(super) async fn lock(&self, store: &Store) {
        let (sender, mut taken) = mpsc::channel::<()>(1);
        {
            let mut held = self.held();
            if !held.lock.is_empty() {
                return;
            }
            let store = store.clone();
            held.lock.spawn(async move {
                let mut sender = Some(sender);
                loop {
                    // Returns only when the connection is lost.
                    let _ = store.hold_branches(|| drop(sender.take())).await;
                    tokio::time::sleep(TRY_AGAIN).await;
                }
            });
        }
        let _ = tokio::time::timeout(TAKES_HOLD, taken.recv()).await;
    }

    /// Ends everything, and returns when all is given back.
    pub(super) async fn clear(&self) {
        self.slow_down(false);
        let mut held = std::mem::take(&mut *self.held());
        held.leases.shutdown().await;
        held.lock.shutdown().await;
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
