//! What CEL's parser and interpreter complain of, in words for the person who wrote the condition.

use super::condition::ConditionError;
use crate::limits::CONDITION_NESTING;
use cel::parser::ParseError;
use cel::{ExecutionError, ParseErrors};

/// Every complaint of the parser's own begins so; the others are of literals and macros.
const SYNTAX: &str = "Syntax error: ";

/// The first complaint, at its column.
pub fn syntax(text: &str, errors: &ParseErrors) -> ConditionError {
    if errors.errors.iter().any(|error| error.msg.contains("Recursion limit")) {
        return ConditionError::whole(format!(
            "the condition nests deeper than {CONDITION_NESTING} levels; write lists: x in [\"a\", \"b\"]"
        ));
    }
    // What else is complained of, such as an expression without its end, follows from the text not being CEL.
    let grammatical = errors.errors.iter().find(|error| error.msg.starts_with(SYNTAX));
    match grammatical.or(errors.errors.first()) {
        None => ConditionError::whole("the condition cannot be read".to_owned()),
        Some(error) => {
            let column = column_of(text, error);
            ConditionError { message: complaint(text, column, &error.msg), column }
        }
    }
}

/// Counted from the start of the text, in characters. The parser gives a line and a column.
fn column_of(text: &str, error: &ParseError) -> Option<usize> {
    let line = usize::try_from(error.pos.0).ok()?.checked_sub(1)?;
    let column = usize::try_from(error.pos.1).ok()?.checked_sub(1)?;
    let before: usize = text.split_inclusive('\n').take(line).map(|line| line.chars().count()).sum();
    // Macros count bytes, and everything else characters.
    let of_a_macro = error.expr_id == 0 && !error.msg.starts_with(SYNTAX);
    let inside = if of_a_macro {
        let line = text.split_inclusive('\n').nth(line)?;
        line.get(..column)?.chars().count()
    } else {
        column
    };
    Some(before + inside + 1)
}

fn complaint(text: &str, column: Option<usize>, message: &str) -> String {
    if text.trim().is_empty() {
        return "the condition is empty; leave it out to take every event".to_owned();
    }
    let Some(message) = message.strip_prefix(SYNTAX) else {
        return match message {
            "invalid argument to has() macro" => "has() takes h.Name; for other names write \"Name\" in h".to_owned(),
            other => other.to_owned(),
        };
    };
    // What the parser would have liked instead is a list of all its tokens.
    let message = message.split(" expecting ").next().unwrap_or(message);
    if message.contains("<EOF>") {
        let missing = message.strip_prefix("missing ").and_then(|rest| rest.split(" at ").next());
        return match missing {
            Some(token) => format!("the condition ends where {token} is missing"),
            None => "the condition ends too early".to_owned(),
        };
    }
    let rest: String = text.chars().skip(column.unwrap_or(1) - 1).collect();
    let word: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').take(40).collect();
    match (rest.chars().next(), word.to_ascii_lowercase().as_str()) {
        (Some('='), _) => "a single = means nothing here; equality is written ==".to_owned(),
        (Some('&' | '|'), _) => "and is written &&, or is written ||, each between two conditions".to_owned(),
        (Some('"' | '\''), _) if message.starts_with("token recognition") => {
            "the text that begins here has no closing quote, or an escape that does not exist (\\\\ is a backslash)"
                .to_owned()
        }
        (_, "and") => "and is written &&".to_owned(),
        (_, "or") => "or is written ||".to_owned(),
        (_, "not") => "not is written !".to_owned(),
        (Some(first), "") => format!("{first:?} is not expected here"),
        _ => format!("{word} is not expected here"),
    }
}

/// Why evaluating failed on an event.
pub fn failure(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchOverload(overload) => {
            let operator = overload.function().trim_matches(['_', '@']);
            let types = overload.argument_types().join(" and ");
            let mend = if overload.argument_types().iter().any(|name| name == "string") {
                "; headers are text, and int(...) makes a number of one"
            } else {
                ""
            };
            format!("{operator} does not go with {types}{mend}")
        }
        ExecutionError::FunctionError { function, message } => format!("{function}(): {message}"),
        other => other.to_string(),
    }
}
