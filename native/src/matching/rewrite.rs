//! The second half of compiling a condition: names checked, headers made identifiers, cost bounded.
//!
//! The parser takes any CEL. Here everything that a condition cannot mean is refused, at its column, and
//!
//! | written | becomes |
//! | --- | --- |
//! | `h["Name"]`, `h.Name` | the identifier `@h:Name`, which no one can write, resolved when it is come to |
//! | `name`, `subclass`, `sender` | the same, of their headers |
//! | `node` | its text |
//! | `has(h.Name)` | `"Name" in h` |
//! | `h[expression]`, `"Name" in h` | the same over the identifier `@h` |
//! | `x.matches("pattern")` | `x.matches(@p:0)`, the pattern compiled once |

use super::condition::{ConditionError, Pattern, is_function, is_type};
use crate::limits::{CONDITION_ADDITIONS, CONDITION_NESTING, CONDITION_STEPS, PATTERN_BYTES};
use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, LiteralValue, SourceInfo, operators};
use cel::parser::Expression;

/// In front of a header's name.
pub const HEADER: &str = "@h:";
/// All headers.
pub const HEADERS: &str = "@h";
/// In front of a pattern's index.
pub const PATTERN: &str = "@p:";

const VARIABLES: &str = "name, subclass, sender, node and h[\"Any-Header\"]";

/// Rewrite `expression`, which `text` was parsed to; the patterns that it refers to.
pub fn rewrite(
    expression: &mut Expression,
    text: &str,
    positions: &SourceInfo,
    node: &str,
) -> Result<Vec<Pattern>, ConditionError> {
    let mut rewriter = Rewriter { text, positions, node, bound: Vec::new(), patterns: Vec::new(), additions: 0 };
    let steps = rewriter.visit(expression, 0)?;
    if steps > CONDITION_STEPS {
        return Err(ConditionError::whole(format!(
            "the condition can take {steps} steps an event, and at most {CONDITION_STEPS} are taken; shorten its lists"
        )));
    }
    Ok(rewriter.patterns)
}

struct Rewriter<'t> {
    text: &'t str,
    positions: &'t SourceInfo,
    node: &'t str,
    /// The variables of the `exists` and `all` that this is in.
    bound: Vec<String>,
    patterns: Vec<Pattern>,
    additions: usize,
}

/// The number of nodes that evaluating what was visited can visit.
type Steps = Result<usize, ConditionError>;

impl Rewriter<'_> {
    fn visit(&mut self, node: &mut Expression, depth: usize) -> Steps {
        if depth >= CONDITION_NESTING {
            return Err(ConditionError::whole(format!(
                "the condition nests deeper than {CONDITION_NESTING} levels; write lists: x in [\"a\", \"b\"]"
            )));
        }
        if self.headers_access(node)? {
            return self.visit_arguments(node, depth);
        }
        let id = node.id;
        match &mut node.expr {
            Expr::Literal(_) => Ok(1),
            Expr::Ident(name) => {
                if let Some(replaced) = self.variable(name, id)? {
                    node.expr = replaced;
                }
                Ok(1)
            }
            Expr::Call(_) => self.call(node, depth),
            Expr::List(list) => sum(list.elements.iter_mut().map(|element| self.visit(element, depth + 1))),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension, id, depth),
            Expr::Select(select) => self.refuse(id, format!("only h has fields, and this is .{}", select.field)),
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {
                self.refuse(id, "a condition has no use for maps and messages; only lists are taken".to_owned())
            }
        }
    }

    /// Rewrite the ways of reading `h`; whether `node` was one, whose arguments are still to be visited.
    fn headers_access(&mut self, node: &mut Expression) -> Result<bool, ConditionError> {
        let id = node.id;
        let replaced = match &mut node.expr {
            Expr::Select(select) if self.is_headers(&select.operand) => {
                let field = std::mem::take(&mut select.field);
                if select.test { call(operators::IN, vec![text(id, field), all_headers(id)]) } else { header(&field) }
            }
            Expr::Call(index) if index.func_name == operators::INDEX && self.is_headers(&index.args[0]) => {
                match &index.args[1].expr {
                    Expr::Literal(LiteralValue::String(name)) => header(name.inner()),
                    Expr::Literal(_) => {
                        return self.refuse(index.args[1].id, "a header's name is text: h[\"Name\"]".to_owned());
                    }
                    _ => call(operators::INDEX, vec![all_headers(id), std::mem::take(&mut index.args[1])]),
                }
            }
            Expr::Call(within) if within.func_name == operators::IN && self.is_headers(&within.args[1]) => {
                call(operators::IN, vec![std::mem::take(&mut within.args[0]), all_headers(id)])
            }
            _ => return Ok(false),
        };
        node.expr = replaced;
        Ok(true)
    }

    fn is_headers(&self, node: &Expression) -> bool {
        matches!(&node.expr, Expr::Ident(name) if name == "h" && !self.bound.iter().any(|bound| bound == "h"))
    }

    /// Visit what stands beside the identifiers that `headers_access` made.
    fn visit_arguments(&mut self, node: &mut Expression, depth: usize) -> Steps {
        let Expr::Call(call) = &mut node.expr else {
            return Ok(1);
        };
        let made = |argument: &Expression| matches!(&argument.expr, Expr::Ident(name) if name == HEADERS);
        let written = call.args.iter_mut().filter(|argument| !made(argument));
        sum(written.map(|argument| self.visit(argument, depth + 1)))
    }

    /// What an identifier becomes; `None` when it stays.
    fn variable(&self, name: &str, id: u64) -> Result<Option<Expr>, ConditionError> {
        if self.bound.iter().any(|bound| bound == name) {
            return Ok(None);
        }
        Ok(Some(match name.strip_prefix('.').unwrap_or(name) {
            "name" => header("Event-Name"),
            "subclass" => header("Event-Subclass"),
            "sender" => header("Multicast-Sender"),
            "node" => literal(self.node.to_owned()),
            "h" => return self.refuse(id, "h is read as h[\"Name\"], or asked as \"Name\" in h".to_owned()),
            other if is_type(other) => return Ok(None),
            other => {
                let quoted = "a text stands in quotes, and the variables are";
                return self.refuse(id, format!("unknown name {other}; {quoted} {VARIABLES}"));
            }
        }))
    }

    fn call(&mut self, node: &mut Expression, depth: usize) -> Steps {
        let id = node.id;
        let Expr::Call(call) = &mut node.expr else {
            return Ok(1);
        };
        let function = call.func_name.as_str();
        if function == operators::ADD {
            self.additions += 1;
            if self.additions > CONDITION_ADDITIONS {
                return self.refuse(id, format!("more than {CONDITION_ADDITIONS} additions; a condition needs fewer"));
            }
        }
        if function.starts_with(|first: char| first.is_ascii_alphabetic()) {
            if !is_function(function, call.target.is_some()) {
                let message = unknown_function(function, call.target.is_some());
                return Err(ConditionError { message, column: self.column_of_function(id, function) });
            }
            if function == "matches" {
                self.pattern(call)?;
            }
        }
        let target = call.target.iter_mut().map(|target| &mut **target);
        let parts = target.chain(call.args.iter_mut());
        let is_pattern = |part: &Expression| matches!(&part.expr, Expr::Ident(name) if name.starts_with(PATTERN));
        sum(parts.filter(|part| !is_pattern(part)).map(|part| self.visit(part, depth + 1)))
    }

    /// Compile the pattern of `x.matches("pattern")` or `matches(x, "pattern")`.
    fn pattern(&mut self, call: &mut CallExpr) -> Result<(), ConditionError> {
        let Some(argument) = call.args.last_mut() else {
            return Ok(());
        };
        let Expr::Literal(LiteralValue::String(pattern)) = &argument.expr else {
            // A pattern out of an event would be whatever its sender likes, compiled anew for each event.
            return self.refuse(argument.id, "matches takes a pattern that is written out, in quotes".to_owned());
        };
        if pattern.len() > PATTERN_BYTES {
            let message = format!("the pattern has {} bytes, and at most {PATTERN_BYTES} are taken", pattern.len());
            return self.refuse(argument.id, message);
        }
        match Pattern::compile(pattern) {
            Err(message) => self.refuse(argument.id, message),
            Ok(pattern) => {
                argument.expr = Expr::Ident(format!("{PATTERN}{}", self.patterns.len()));
                self.patterns.push(pattern);
                Ok(())
            }
        }
    }

    /// `exists`, `exists_one` and `all` over a list that is written out: so the number of steps is known.
    fn comprehension(&mut self, fold: &mut ComprehensionExpr, id: u64, depth: usize) -> Steps {
        if matches!(fold.accu_init.expr, Expr::List(_)) {
            return self
                .refuse(id, "map and filter make lists, and a condition is a bool; use exists or all".to_owned());
        }
        let Expr::List(list) = &fold.iter_range.expr else {
            return self.refuse(id, "exists and all take a list that is written out: [\"a\", \"b\"]".to_owned());
        };
        let rounds = list.elements.len();
        let range = self.visit(&mut fold.iter_range, depth + 1)?;
        let bound_outside = self.bound.len();
        self.bound.push(fold.accu_var.clone());
        self.bound.push(fold.iter_var.clone());
        self.bound.extend(fold.iter_var2.clone());
        // What the macro itself made is a handful of nodes that anything it holds stays under.
        let inside = [&mut fold.accu_init, &mut fold.loop_cond, &mut fold.loop_step, &mut fold.result];
        let round = sum(inside.into_iter().map(|part| self.visit(part, depth + 1)));
        self.bound.truncate(bound_outside);
        Ok(range.saturating_add(rounds.saturating_mul(round?)))
    }

    fn refuse<T>(&self, id: u64, message: String) -> Result<T, ConditionError> {
        Err(ConditionError { message, column: self.column(id) })
    }

    /// Where the name of a call stands; the node's own place is the parenthesis behind it.
    fn column_of_function(&self, id: u64, name: &str) -> Option<usize> {
        let (open, _) = self.positions.offset_for(id)?;
        let before = self.text.get(..open as usize)?.trim_end();
        Some(before.strip_suffix(name).unwrap_or(before).chars().count() + 1)
    }

    /// Where a node stands, in characters. The parser counts bytes.
    fn column(&self, id: u64) -> Option<usize> {
        let (start, _) = self.positions.offset_for(id)?;
        Some(self.text.get(..start as usize)?.chars().count() + 1)
    }
}

fn sum(steps: impl Iterator<Item = Steps>) -> Steps {
    steps.into_iter().try_fold(1_usize, |total, more| Ok(total.saturating_add(more?)))
}

fn header(name: &str) -> Expr {
    Expr::Ident(format!("{HEADER}{name}"))
}

fn all_headers(id: u64) -> Expression {
    Expression { id, expr: Expr::Ident(HEADERS.to_owned()) }
}

fn literal(text: String) -> Expr {
    Expr::Literal(LiteralValue::String(text.into()))
}

fn text(id: u64, text: String) -> Expression {
    Expression { id, expr: literal(text) }
}

fn call(function: &str, args: Vec<Expression>) -> Expr {
    Expr::Call(CallExpr { func_name: function.to_owned(), target: None, args })
}

fn unknown_function(name: &str, on_something: bool) -> String {
    if is_function(name, !on_something) {
        let right = if on_something { format!("{name}(x)") } else { format!("x.{name}(y)") };
        return format!("{name} is written {right}");
    }
    let letters = name.replace('_', "");
    let known = ["startsWith", "endsWith", "contains", "matches", "size", "int", "double", "string"];
    match known.iter().find(|known| known.eq_ignore_ascii_case(&letters)) {
        Some(known) => format!("unknown function {name}; it is written {known}"),
        None => {
            format!("unknown function {name}; there are startsWith, endsWith, contains, matches, size, int, double")
        }
    }
}
