//! The list of hosts: in which order, how long each, and when to go on to the next.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rand::seq::SliceRandom as _;
use tokio::{net::lookup_host, time::timeout};

use super::{
    attempt::{Connection, Goal},
    error::ConnectError,
    progress::{Progress, Stage},
    socket::Address,
};
use crate::{
    base::text::Text,
    resilience::conninfo::{Host, Place, Settings, TargetSession},
};

/// Connects to the first host that will do. The deadline covers everything: resolving names, TCP, TLS,
/// login and the check of the session, over all hosts. `connect_timeout` bounds each address within it.
///
/// Names are resolved by the system's resolver on a blocking thread, which the deadline abandons but
/// cannot stop: a runtime that shuts down meanwhile should use `shutdown_background`.
pub async fn connect(settings: &Settings, deadline: Duration) -> Result<Connection, ConnectError> {
    let journey = Journey {
        settings,
        progress: Progress::default(),
        at: Mutex::new(Text::default()),
        failures: Mutex::new(Vec::new()),
    };
    if let Ok(outcome) = timeout(deadline, journey.travel()).await {
        return outcome;
    }
    let stuck = ConnectError::TimedOut {
        host: journey.at.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        stage: journey.progress.stage(),
        after: deadline,
    };
    journey.fail(stuck);
    Err(journey.sum())
}

/// What is known on the way; it outlives the future that the deadline drops.
struct Journey<'a> {
    settings: &'a Settings,
    progress: Progress,
    at: Mutex<Text>,
    failures: Mutex<Vec<ConnectError>>,
}

impl Journey<'_> {
    async fn travel(&self) -> Result<Connection, ConnectError> {
        let mut hosts: Vec<&Host> = self.settings.hosts.iter().collect();
        if self.settings.load_balance {
            hosts.shuffle(&mut rand::rng());
        }
        if let Some(outcome) = self.round(&hosts, self.settings.target).await {
            return outcome;
        }
        // A second round, in which any server will do.
        if self.settings.target == TargetSession::PreferStandby
            && let Some(outcome) = self.round(&hosts, TargetSession::Any).await
        {
            return outcome;
        }
        Err(self.sum())
    }

    /// Tries every host; `None` when the list is exhausted.
    async fn round(
        &self,
        hosts: &[&Host],
        target: TargetSession,
    ) -> Option<Result<Connection, ConnectError>> {
        for host in hosts {
            *self.at.lock().unwrap_or_else(PoisonError::into_inner) =
                Text::foreign(&host.to_string());
            let addresses = match self.addresses(host).await {
                Ok(addresses) => addresses,
                Err(error) => {
                    self.fail(error);
                    continue;
                }
            };
            for address in addresses {
                let goal = Goal {
                    settings: self.settings,
                    host,
                    address,
                    target,
                    progress: self.progress.clone(),
                };
                match self.bounded(&goal).await {
                    Ok(connection) => return Some(Ok(connection)),
                    Err(error) => {
                        let go_on = error.next_host_may_help();
                        let next_address = !matches!(error, ConnectError::WrongSession { .. });
                        self.fail(error);
                        if !go_on {
                            return Some(Err(self.sum()));
                        }
                        if !next_address {
                            break;
                        }
                    }
                }
            }
        }
        None
    }

    async fn bounded(&self, goal: &Goal<'_>) -> Result<Connection, ConnectError> {
        let Some(limit) = self.settings.connect_timeout else { return goal.connect().await };
        timeout(limit, goal.connect()).await.unwrap_or_else(|_| {
            Err(ConnectError::TimedOut {
                host: Text::foreign(&goal.host.to_string()),
                stage: self.progress.stage(),
                after: limit,
            })
        })
    }

    async fn addresses(&self, host: &Host) -> Result<Vec<Address>, ConnectError> {
        let (name, address) = match &host.place {
            Place::Unix(_) => return Ok(host.socket().map(Address::Unix).into_iter().collect()),
            Place::Tcp { name, address } => (name.clone().unwrap_or_default(), *address),
        };
        if let Some(address) = address {
            return Ok(vec![Address::Tcp((address, host.port).into())]);
        }
        self.progress.enter(Stage::Resolve);
        let unresolved = |reason: &str| ConnectError::Unresolved {
            host: Text::foreign(&name),
            reason: Text::foreign(reason),
        };
        let mut found: Vec<_> = lookup_host((name.as_str(), host.port))
            .await
            .map_err(|error| unresolved(&error.to_string()))?
            .map(Address::Tcp)
            .collect();
        if found.is_empty() {
            return Err(unresolved("it has no address"));
        }
        if self.settings.load_balance {
            found.shuffle(&mut rand::rng());
        }
        Ok(found)
    }

    fn fail(&self, error: ConnectError) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        // The addresses of one host, and a second round, often fail alike.
        if !failures.contains(&error) {
            failures.push(error);
        }
    }

    /// All failures as one error.
    fn sum(&self) -> ConnectError {
        let mut failures =
            std::mem::take(&mut *self.failures.lock().unwrap_or_else(PoisonError::into_inner));
        match failures.len() {
            1 => failures.remove(0),
            _ => ConnectError::NoHost(failures),
        }
    }
}
