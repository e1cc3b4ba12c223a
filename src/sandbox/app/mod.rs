//! A demo application: a small bank that lives on our own resilience library.
//!
//! It runs as a child process of the demo, does pgbench's TPC-B-like transaction at a steady but
//! natural rate, serves its metrics, lets its circuit breaker be controlled, and gets into trouble when told to.

mod http;
mod load;
mod process;
mod store;
mod trouble;

use std::{
    io::{self, BufRead, Write},
    process::ExitCode,
    sync::Arc,
};

use process::Listening;
pub use process::{AppOptions, AppProcess, SUBCOMMAND};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

use super::incident::Incident;
use crate::{
    cluster::server::HOST,
    resilience::control::{Control, Door},
};
use store::Store;
use trouble::Trouble;

/// What the parts of an application share.
struct App {
    options: AppOptions,
    store: Store,
    trouble: Trouble,
}

impl App {
    async fn incident(&self, name: &str) -> Result<(), String> {
        let incident: Incident = name.parse().map_err(|error| format!("{error}"))?;
        match incident {
            Incident::PoolExhausted => {
                self.trouble.exhaust(&self.store, self.options.pool_size).await;
            }
            Incident::LongLock => self.trouble.lock(&self.store).await,
            Incident::SlowQueries => self.trouble.slow_down(true),
            Incident::Clear => self.trouble.clear().await,
            _ => return Err(format!("{incident} is not for an application")),
        }
        Ok(())
    }
}

/// What the application's process does: reads its options from standard input, serves and works
/// until that input ends or it is told to end.
pub fn app_main() -> ExitCode {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let Ok(runtime) = runtime else { return ExitCode::FAILURE };
    let result = runtime.block_on(run());
    // Calls in flight may be waiting for a server that never answers.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Its standard error is a file in the sandbox folder.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let options: AppOptions = serde_json::from_str(&line)?;
    let store = Store::new(&options)?;
    let app = Arc::new(App { options, store, trouble: Trouble::default() });
    let door = Door::Unix(app.options.control.clone());
    let control = Control::open(&door, vec![app.store.database().clone()]).await?;
    let listener = TcpListener::bind((HOST, 0)).await?;
    let listening = Listening { port: listener.local_addr()?.port() };
    writeln!(io::stdout(), "{}", serde_json::to_string(&listening)?)?;

    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        () = http::serve(listener, Arc::clone(&app)) => {}
        () = control.serve() => {}
        () = load::run(&app) => {}
        _ = owner_gone() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Ready when standard input ends: the owner writes nothing after the options.
fn owner_gone() -> oneshot::Receiver<()> {
    let (sender, gone) = oneshot::channel();
    // A thread of its own: the runtime's own reader of standard input would have to be waited for.
    std::thread::spawn(move || {
        // An input that cannot be read is as good as ended.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        drop(sender);
    });
    gone
}
