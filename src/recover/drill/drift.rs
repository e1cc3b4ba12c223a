//! Tables that have fewer rows than in the proof before. A page of zeros, or a DELETE without WHERE, breaks no
//! checksum and no structure: only the comparison sees it, and only while the older backup is still there.

use std::collections::BTreeMap;

use crate::recover::{
    Repository, Result,
    checkup::{Check, Counted, Verdict},
    proof::Proof,
};

/// The check's name.
pub const NAME: &str = "rows against the proof before";
/// At most so many tables are named.
const SHOWN: usize = 20;

/// Compares the counts of a proof with those of the newest one before it. Rows may be gone for good reasons:
/// what is found is told, and judged by a person.
pub fn check(repository: &Repository, proof: &Proof) -> Result<Check> {
    let before = before(repository, proof)?;
    Ok(match before {
        Some(before) => compare(&before, proof),
        None => Check {
            name: NAME.to_owned(),
            verdict: Verdict::NotDone,
            seen: String::new(),
            findings: vec!["this is the first proof with counts".to_owned()],
            seconds: 0.0,
        },
    })
}

/// The newest proof that has counts; one that cannot be read has none.
fn before(repository: &Repository, proof: &Proof) -> Result<Option<Proof>> {
    let proofs = repository.proofs()?;
    let earlier = proofs.iter().rev().filter_map(|key| repository.read_json::<Proof>(key).ok());
    Ok(earlier.into_iter().find(|earlier| earlier.at < proof.at && !earlier.tables.is_empty()))
}

fn compare(before: &Proof, proof: &Proof) -> Check {
    let name = |table: &Counted| (table.database.clone(), table.schema.clone(), table.name.clone());
    let now: BTreeMap<_, u64> =
        proof.tables.iter().map(|table| (name(table), table.rows)).collect();
    let mut fewer = Vec::new();
    let mut compared = 0;
    for table in &before.tables {
        let Some(rows) = now.get(&name(table)) else { continue };
        compared += 1;
        if *rows < table.rows {
            fewer.push(format!(
                "{}: {}.{} has {rows} rows, and had {} in the proof of {}",
                table.database, table.schema, table.name, table.rows, before.backup
            ));
        }
    }
    let more = fewer.len().saturating_sub(SHOWN);
    fewer.truncate(SHOWN);
    if more > 0 {
        fewer.push(format!("and {more} more"));
    }
    let verdict = match (compared, fewer.is_empty()) {
        (0, _) => Verdict::NotDone,
        (_, true) => Verdict::Passed,
        (_, false) => Verdict::Noted,
    };
    let seen = format!("{compared} tables");
    Check { name: NAME.to_owned(), verdict, seen, findings: fewer, seconds: 0.0 }
}
