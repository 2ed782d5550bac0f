//! The report as text and as JSON.

use super::finding::{Finding, Outcome};

/// One line for each finding, in columns, with its correction below.
pub fn text(findings: &[Finding], colour: bool) -> String {
    let widths = findings.iter().map(|finding| place(finding).chars().count());
    let width = widths.max().unwrap_or(0);
    let mut text = String::new();
    for finding in findings {
        let (word, paint) = match finding.outcome {
            Outcome::Ok => ("ok", "32"),
            Outcome::Warn => ("warn", "33"),
            Outcome::Fault => ("FAULT", "1;31"),
        };
        let word = format!("{word:<5}");
        let word = if colour {
            format!("\u{1b}[{paint}m{word}\u{1b}[0m")
        } else {
            word
        };
        let what = one_line(&finding.what);
        text.push_str(&format!("{word}  {:<width$}  {what}\n", place(finding)));
        if let Some(mend) = &finding.mend {
            text.push_str(&format!("       mend: {}\n", one_line(mend)));
        }
    }
    text.push_str(&sum(findings));
    text
}

/// A list of objects.
pub fn json(findings: &[Finding]) -> String {
    serde_json::to_string_pretty(findings).unwrap_or_else(|_| "[]".to_owned()) + "\n"
}

fn place(finding: &Finding) -> String {
    match &finding.backend {
        Some(backend) => format!("{backend}: {}", finding.check),
        None => finding.check.clone(),
    }
}

fn sum(findings: &[Finding]) -> String {
    let count = |outcome| {
        let of_it = findings.iter().filter(|finding| finding.outcome == outcome);
        of_it.count()
    };
    let several = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let (faults, warnings) = (count(Outcome::Fault), count(Outcome::Warn));
    match (faults, warnings) {
        (0, 0) => "\nall is well\n".to_owned(),
        (0, _) => format!("\nit can serve; {}\n", several(warnings, "warning")),
        _ => format!(
            "\n{}, {}\n",
            several(faults, "fault"),
            several(warnings, "warning")
        ),
    }
}

/// Output of other programs may have several lines and control characters.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace(char::is_control, "")
}

#[cfg(test)]
mod tests {
    use super::{json, text};
    use crate::cli::doctor::finding::Reporter;

    #[test]
    fn a_report_is_in_columns_and_says_how_to_mend() {
        let mut findings = Reporter::collect(None, |reporter| reporter.ok("node.data_dir", "is\nthere"));
        findings.extend(Reporter::collect(Some("a"), |reporter| {
            reporter.warn("space", "little", "make room");
            reporter.fault("group", "none\u{1b}[0m", "vgcreate a /dev/sdb");
        }));
        let expected = "\
ok     node.data_dir  is there
warn   a: space       little
       mend: make room
FAULT  a: group       none[0m
       mend: vgcreate a /dev/sdb

1 fault, 1 warning
";
        assert_eq!(text(&findings, false), expected);
        assert!(text(&findings, true).contains("\u{1b}[1;31mFAULT\u{1b}[0m  a: group"));
        let list: serde_json::Value = serde_json::from_str(&json(&findings)).unwrap();
        assert_eq!(list[0]["backend"], serde_json::Value::Null);
        assert_eq!(list[2]["outcome"], "fault");
        assert_eq!(list[2]["mend"], "vgcreate a /dev/sdb");
    }
}
