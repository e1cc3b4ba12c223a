//! The words of a plan that is only shown, as they are printed and as a guide reads them back: one file for both.

/// What stands below a plan that is only shown.
pub const ONLY_A_PLAN: &str = "Nothing was touched: this is the plan. --apply carries it out.";

/// The word before the mark.
const PLAN: &str = "plan ";

/// The line that names a plan by what it says.
pub fn named(mark: &str) -> String {
    format!("{PLAN:<10} {mark}\n")
}

/// A plan as it was printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Printed<'a> {
    /// What it says. How a person would go on by hand is not part of it.
    pub lines: Vec<&'a str>,
    /// Its mark, if it has one.
    pub mark: Option<&'a str>,
}

/// Reads what a command printed that only shows its plan.
pub fn read(printed: &str) -> Printed<'_> {
    let mut plan = Printed::default();
    for line in printed.lines() {
        // In SQL it is a comment, in a table it stands below the values.
        if line.trim_start_matches(['-', ' ']) == ONLY_A_PLAN {
            continue;
        }
        match line.strip_prefix(PLAN) {
            Some(mark) => plan.mark = Some(mark.trim()),
            None => plan.lines.push(line),
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_back() {
        let printed = format!(
            "from       a --apply b\n-- {ONLY_A_PLAN}\n           {ONLY_A_PLAN}\n{}",
            named("12ab")
        );
        let plan = read(&printed);
        assert_eq!(plan, Printed { lines: vec!["from       a --apply b"], mark: Some("12ab") });
        assert_eq!(read("nothing to do").mark, None);
    }
}
