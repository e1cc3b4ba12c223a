//! A throw-away cluster does what is asked of it, and nothing of it is left behind.

use crate::support;
use std::{
    env, fs,
    io::{BufRead, BufReader},
    os::unix::fs::MetadataExt,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use howdah::{
    base::process,
    cluster::{Cluster, ClusterError, Options, Server, Stop, Via},
};

#[test]
fn it_answers_over_socket_and_tcp_and_leaves_nothing() {
    let cluster = support::cluster();
    assert_eq!(cluster.psql("select 1; select 'a', 'b'").expect("answered"), "1\na|b");
    assert_eq!(cluster.psql("show data_checksums").expect("answered"), "on");
    assert_eq!(cluster.psql("show password_encryption").expect("answered"), "scram-sha-256");
    assert!(fs::metadata(cluster.data_dir()).expect("there").uid() != 0);

    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for via in [Via::Unix, Via::Tcp] {
        let port: String = runtime.block_on(async {
            let client = support::connect(&cluster, via).await;
            client.query_one("show port", &[]).await.expect("answered").get(0)
        });
        assert_eq!(port, cluster.port().to_string());
    }

    let (folder, pids) = (cluster.folder().to_owned(), cluster.pids());
    assert!(pids.len() > 3, "postmaster and helpers: {pids:?}");
    drop(cluster);
    assert!(!folder.exists());
    assert!(!pids.iter().any(|&pid| process::alive(pid)));
}

#[test]
fn nobody_enters_without_the_password() {
    let cluster = support::cluster();
    let mut settings = cluster.settings(Via::Unix);
    settings.password("wrong");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let refused = runtime.block_on(settings.connect(tokio_postgres::NoTls)).err().expect("refused");
    assert_eq!(refused.code(), Some(&tokio_postgres::error::SqlState::INVALID_PASSWORD));
    assert!(
        !format!("{:?} {}", *cluster, cluster.conninfo(Via::Tcp))
            .contains(cluster.password().expose())
    );
}

#[test]
fn an_error_in_sql_is_told() {
    let error = support::cluster().psql("select 1/0; select 2").expect_err("it fails");
    assert!(error.to_string().contains("division by zero"), "{error}");
}

#[test]
fn stop_kill_and_restart_keep_the_data_and_the_port() {
    let cluster = support::cluster();
    cluster.psql("create table t as select 1 as n").expect("made");
    let port = cluster.port();

    cluster.stop(Stop::Fast).expect("stopped");
    assert!(!cluster.running() && cluster.pids().is_empty());
    assert!(cluster.psql("select 1").is_err());
    cluster.start().expect("started");
    cluster.start().expect("starting twice is nothing");

    cluster.stop(Stop::Immediate).expect("stopped");
    cluster.start().expect("recovered");

    let pids = cluster.pids();
    cluster.kill().expect("killed");
    assert!(!pids.iter().any(|&pid| process::alive(pid)));
    assert!(matches!(cluster.kill(), Err(ClusterError::NotRunning)));
    cluster.start().expect("recovered");

    cluster.restart().expect("restarted");
    assert_eq!(cluster.port(), port);
    assert_eq!(cluster.psql("select n from t").expect("answered"), "1");
    assert!(cluster.log_tail(50).contains("ready to accept connections"));
}

#[test]
fn a_hung_server_is_silent_then_goes_on() {
    let cluster = support::cluster();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let client = support::connect(&cluster, Via::Tcp).await;
        cluster.hang().expect("hung");
        let silent =
            tokio::time::timeout(Duration::from_millis(300), client.query_one("select 1", &[]));
        assert!(silent.await.is_err(), "a hung server does not answer");
        let pids = cluster.pids();
        for pid in &pids {
            assert_eq!(process::find(*pid).expect("alive").state, 'T', "{pid} of {pids:?}");
        }
        cluster.resume();
        let one = tokio::time::timeout(Duration::from_secs(5), client.query_one("select 1", &[]));
        assert_eq!(one.await.expect("in time").expect("answered").get::<_, i32>(0), 1);
    });
}

#[test]
fn a_hung_cluster_can_be_dropped() {
    let cluster = support::cluster();
    cluster.hang().expect("hung");
    let (folder, pids) = (cluster.folder().to_owned(), cluster.pids());
    assert!(pids.len() > 3);
    drop(cluster);
    assert!(!folder.exists());
    assert!(!pids.iter().any(|&pid| process::alive(pid)));
}

#[test]
fn orphans_of_a_killed_postmaster_are_ended_too() {
    let cluster = support::cluster();
    let pids = cluster.pids();
    cluster.hang().expect("hung");
    // Frozen, they cannot notice that their postmaster is gone.
    process::signal(pids[0], process::Signal::KILL);
    assert!(process::wait_gone(&pids[..1], Duration::from_secs(5)));
    assert!(process::alive(pids[1]));
    drop(cluster);
    assert!(!pids.iter().any(|&pid| process::alive(pid)));
}

#[test]
fn settings_and_rules_take_effect() {
    let cluster = support::cluster_with(&[("max_connections", "17")]);
    assert_eq!(cluster.psql("show max_connections").expect("answered"), "17");
    cluster.set("work_mem", "5MB").expect("set");
    assert_eq!(cluster.psql("show work_mem").expect("answered"), "5MB");
    cluster.write_hba("local all all reject\n").expect("written");
    let refused = cluster.psql("select 1").expect_err("refused");
    assert!(refused.to_string().contains("pg_hba.conf rejects"), "{refused}");
    cluster.write_hba("local all all trust\n").expect("written");
    assert_eq!(cluster.psql("select 1").expect("answered"), "1");
}

#[test]
fn a_taken_port_is_told_and_leaves_nothing() {
    let first = support::cluster();
    let options = Options { port: Some(first.port()), ..support::options() };
    let error = Cluster::start(&options).expect_err("taken");
    assert!(matches!(error, ClusterError::PortTaken(port) if port == first.port()), "{error}");
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let settings = vec![("shared_buffers".to_owned(), "a lot".to_owned())];
    let options = Options { settings, ..support::options() };
    let error = Cluster::start(&options).expect_err("nonsense").to_string();
    assert!(error.contains("invalid value for parameter \"shared_buffers\""), "{error}");
}

#[test]
fn another_process_can_open_a_kept_one() {
    let kept = support::cluster().keep();
    let opened = Server::open(kept.folder()).expect("opened");
    assert_eq!(opened.psql("select 1").expect("answered"), "1");
    assert_eq!(opened.postmaster(), kept.postmaster());
    howdah::cluster::server::end_all(kept.folder());
    assert!(!kept.running());
    fs::remove_dir_all(kept.folder()).expect("removed");
}

/// Tells this test's second self that it is to start a cluster and be killed.
const SECOND_SELF: &str = "HOWDAH_TEST_KILLED_OWNER";

#[test]
fn nothing_is_left_of_a_cluster_whose_owner_is_killed() {
    if env::var_os(SECOND_SELF).is_some() {
        let cluster = support::cluster();
        println!("\nfolder {}", cluster.folder().display());
        loop {
            std::thread::park();
        }
    }
    let mut owner = Command::new(env::current_exe().expect("our own program"))
        .args([
            "--exact",
            "sandbox_cluster::nothing_is_left_of_a_cluster_whose_owner_is_killed",
            "--nocapture",
        ])
        .env(SECOND_SELF, "")
        .stdout(Stdio::piped())
        .spawn()
        .expect("our second self");
    let said = BufReader::new(owner.stdout.take().expect("a pipe")).lines();
    let folder = said
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("folder ").map(PathBuf::from))
        .expect("a cluster");
    let server = Server::open(&folder).expect("a server");
    let pids = server.pids();
    assert!(!pids.is_empty());
    owner.kill().expect("killed");
    owner.wait().expect("collected");
    support::eventually("the guard has put it away", Duration::from_secs(20), || {
        !folder.exists() && !pids.iter().any(|&pid| process::alive(pid))
    });
}
