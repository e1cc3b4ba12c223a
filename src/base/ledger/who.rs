//! Who acts, as far as this machine can tell, and as whom they name themselves.

use std::{env, fs};

use serde::{Deserialize, Serialize};

use crate::base::{
    account::{account_name, user_name},
    process,
    text::Text,
};

/// Who acts. All but the name that was given is what the machine says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// The account that the process runs as.
    pub user: Text,
    /// Its number.
    pub uid: u32,
    /// The account that called sudo or doas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind_sudo: Option<Text>,
    /// The account that logged in, as the kernel's audit remembers it through su and sudo; only Linux.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Text>,
    /// Where the SSH session comes from: `SSH_CONNECTION`, that is the client's address and port, then the
    /// server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<Text>,
    /// The name that the person gave. Asserted, not observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Text>,
}

impl Who {
    /// Who runs this process; `name` is what they call themselves.
    pub fn current(name: Option<&str>) -> Self {
        let uid = rustix::process::geteuid().as_raw();
        Self {
            user: user_name().unwrap_or_else(|| uid.to_string()).into(),
            uid,
            behind_sudo: variable("SUDO_USER").or_else(|| variable("DOAS_USER")),
            login: login(),
            ssh: variable("SSH_CONNECTION").or_else(ssh_of_an_ancestor),
            name: name.filter(|name| !name.is_empty()).map(Text::one_line),
        }
    }

    /// The person alone of [`Who::in_words`], `anna` of `anna (postgres, ssh 203.0.113.7)`: another terminal
    /// does not make another person.
    pub fn person(words: &str) -> &str {
        words.split(" (").next().unwrap_or_default().trim()
    }

    /// In few words: `anna (postgres, sudo by anna, ssh 203.0.113.7)`.
    pub fn in_words(&self) -> String {
        let mut known = Vec::new();
        if self.name.is_some() {
            known.push(self.user.to_string());
        }
        let behind = self.behind_sudo.as_ref().or(self.login.as_ref());
        if let Some(behind) = behind.filter(|behind| **behind != self.user) {
            known.push(format!("really {behind}"));
        }
        if let Some(ssh) = &self.ssh {
            known.push(format!("ssh {}", ssh.split(' ').next().unwrap_or_default()));
        }
        let head = self.name.as_ref().unwrap_or(&self.user);
        if known.is_empty() { head.to_string() } else { format!("{head} ({})", known.join(", ")) }
    }
}

fn variable(name: &str) -> Option<Text> {
    env::var(name).ok().filter(|value| !value.is_empty()).map(|value| Text::one_line(&value))
}

/// proc(5): the audit user id; 4294967295 when nobody logged in.
fn login() -> Option<Text> {
    let id: u32 = fs::read_to_string("/proc/self/loginuid").ok()?.trim().parse().ok()?;
    let name = |id| account_name(id).unwrap_or_else(|| format!("uid {id}"));
    (id != u32::MAX).then(|| name(id).into())
}

/// sudo takes `SSH_CONNECTION` away; the shell that it was called from still has it.
fn ssh_of_an_ancestor() -> Option<Text> {
    let mut pid = process::find(std::process::id() as i32)?.parent;
    while pid > 1 {
        let variables = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let found = variables.split(|byte| *byte == 0).find_map(|variable| {
            let value = variable.strip_prefix(b"SSH_CONNECTION=")?;
            Some(Text::one_line(&String::from_utf8_lossy(value)))
        });
        if found.is_some() {
            return found;
        }
        pid = process::find(pid)?.parent;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_the_process_is_known_and_a_given_name_is_cleaned() {
        let who = Who::current(Some("An\u{1b}[31mna"));
        assert_eq!(who.uid, rustix::process::geteuid().as_raw());
        assert!(!who.user.is_empty());
        assert_eq!(who.name.as_deref(), Some("An^[[31mna"));
        assert_eq!(Who::current(Some("")).name, None);
    }

    #[test]
    fn words_name_who_is_behind() {
        let who = Who {
            user: "postgres".into(),
            behind_sudo: Some("anna".into()),
            ssh: Some("203.0.113.7 51234 10.0.0.1 22".into()),
            ..Who::default()
        };
        assert_eq!(who.in_words(), "postgres (really anna, ssh 203.0.113.7)");
        let named = Who { name: Some("Anna K.".into()), behind_sudo: None, ssh: None, ..who };
        assert_eq!(named.in_words(), "Anna K. (postgres)");
    }
}
