//! How deep and how long a policy may be, found before Cedar's parser sees it (P04).
//!
//! The parser and everything after it walk expressions by recursion, so the depth of a policy is
//! the depth of a stack, and a stack that overflows takes the process along. Brackets, operators and
//! accesses are counted in the text, without its strings and comments.

/// What a policy may have at most. A debug build overflows a thread of 2 MiB at three times this.
const NESTING: usize = 16;
/// Operators of one policy: `&&`, `||`, comparisons, arithmetic, `!`, `if`, `has`, `like`, `is`, `in`.
const OPERATORS: usize = 64;
/// Accesses of one policy: `.`.
const ACCESSES: usize = 256;

/// What has been counted of the policy at hand.
#[derive(Default)]
struct Counts {
    nesting: usize,
    operators: usize,
    accesses: usize,
}

/// What a file's text says of its policies before anybody parses it.
#[derive(Default)]
pub(super) struct Scan {
    /// The line on which each policy begins, in order.
    pub(super) lines: Vec<usize>,
    /// The line and the complaint, for each policy that is too deep or too long.
    pub(super) faults: Vec<(usize, String)>,
}

/// Scans a policy file.
pub(super) fn scan(text: &str) -> Scan {
    let mut scan = Scan::default();
    let mut begun = false;
    let mut counts = Counts::default();
    let mut said = false;
    let mut letters = text.chars().peekable();
    let mut line = 1_usize;
    let mut word = String::new();
    while let Some(letter) = letters.next() {
        if letter == '\n' {
            line = line.saturating_add(1);
        }
        match letter {
            '/' if letters.peek() == Some(&'/') => {
                while letters.next_if(|letter| *letter != '\n').is_some() {}
                continue;
            }
            '"' => skip_string(&mut letters, &mut line),
            _ => {}
        }
        if !begun && !letter.is_whitespace() {
            begun = true;
            scan.lines.push(line);
        }
        if letter.is_alphanumeric() || letter == '_' {
            word.push(letter);
            continue;
        }
        if matches!(word.as_str(), "if" | "has" | "like" | "is" | "in") {
            counts.operators = counts.operators.saturating_add(1);
        }
        word.clear();
        match letter {
            '(' | '[' | '{' => counts.nesting = counts.nesting.saturating_add(1),
            ')' | ']' | '}' => counts.nesting = counts.nesting.saturating_sub(1),
            '&' | '|' | '=' | '<' | '>' | '+' | '-' | '*' | '!' => {
                letters.next_if(|next| matches!(next, '&' | '|' | '='));
                counts.operators = counts.operators.saturating_add(1);
            }
            '.' => counts.accesses = counts.accesses.saturating_add(1),
            ';' => {
                counts = Counts::default();
                said = false;
                begun = false;
            }
            _ => {}
        }
        if let Some(complaint) = complaint(&counts).filter(|_| !said) {
            scan.faults.push((line, complaint));
            said = true;
        }
    }
    scan
}

fn complaint(counts: &Counts) -> Option<String> {
    let (what, most) = if counts.nesting > NESTING {
        ("levels of brackets", NESTING)
    } else if counts.operators > OPERATORS {
        ("operators", OPERATORS)
    } else if counts.accesses > ACCESSES {
        ("accesses", ACCESSES)
    } else {
        return None;
    };
    Some(format!("the policy has more than {most} {what}: split it"))
}

/// Reads to the end of a string, whose escapes may hold a quotation mark.
fn skip_string(letters: &mut std::iter::Peekable<std::str::Chars<'_>>, line: &mut usize) {
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => {
                letters.next();
            }
            '"' => return,
            '\n' => *line = line.saturating_add(1),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(text: &str) -> Vec<(usize, String)> {
        scan(&format!("permit (principal, action, resource)\nwhen {{ {text} }};")).faults
    }

    #[test]
    fn p04_limits_hold_at_their_edges() {
        let brackets = |n: usize| format!("{}true{}", "(".repeat(n), ")".repeat(n));
        assert!(condition(&brackets(NESTING.saturating_sub(1))).is_empty());
        assert_eq!(condition(&brackets(NESTING)).len(), 1);
        let operators = |n: usize| vec!["true"; n.saturating_add(1)].join(" && ");
        assert!(condition(&operators(OPERATORS)).is_empty());
        assert_eq!(condition(&operators(OPERATORS.saturating_add(1)))[0].0, 2);
        assert_eq!(
            condition(&format!("context{}", ".a".repeat(ACCESSES.saturating_add(1)))).len(),
            1
        );
    }

    #[test]
    fn policies_begin_where_they_begin() {
        let text = "// a; b\n\n@id(\"a;b\")\npermit (principal, action, resource);\n // c\n  forbid (principal, action, resource);";
        assert_eq!(scan(text).lines, [3, 6]);
    }

    #[test]
    fn p04_strings_and_comments_do_not_count() {
        let long = "(((((((((((((((((((((((((&&".repeat(10);
        assert!(condition(&format!("\"{long}\\\"{long}\" == \"\" // {long}\n")).is_empty());
    }
}
