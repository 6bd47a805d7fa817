//! Conditions: a CEL expression over one event, each header resolved when the expression comes to it.
//!
//! A condition is compiled once: every `h["Name"]` becomes an identifier of its own (see `rewrite`), which CEL's
//! interpreter then asks `Lookup` for. Nothing is put into a map beforehand, so an event of sixty headers costs no more
//! than one of three.

use super::rewrite::{self, HEADER, HEADERS, PATTERN};
use super::{Headers, explain};
use crate::limits::{CONDITION_BYTES, CONDITION_NESTING, PATTERN_COMPILED_BYTES};
use cel::common::ast::{CallExpr, Expr, LiteralValue};
use cel::common::traits::{Container, Indexer};
use cel::common::types::{self, CelBool, CelString, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::context::VariableResolver;
use cel::parser::Expression;
use cel::{Context, Env, ExecutionError, Value};
use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

/// Bytes of stack for the thread that compiles. The parser takes some 100 KB for each level of nesting when it is built
/// without optimisation; a caller's thread may have 2 MiB in all, and a stack that overflows ends the process.
const COMPILER_STACK_BYTES: usize = 32 * 1024 * 1024;

/// Why a text is no condition, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionError {
    pub message: String,
    /// In characters from the start of the text, which is 1; `None` when the whole of it is meant.
    pub column: Option<usize>,
}

impl ConditionError {
    /// An error of the whole condition.
    pub fn whole(message: String) -> ConditionError {
        ConditionError { message, column: None }
    }
}

impl fmt::Display for ConditionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(column) = self.column {
            write!(f, "column {column}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for ConditionError {}

/// A condition over `name`, `subclass`, `sender`, `node` and `h["Any-Header"]`, all of them text.
pub struct Condition {
    text: String,
    expression: Expression,
    patterns: Vec<Pattern>,
}

impl Condition {
    /// Compile `text`; `node` is what its variable of that name stands for.
    pub fn compile(text: &str, node: &str) -> Result<Condition, ConditionError> {
        if text.len() > CONDITION_BYTES {
            return Err(ConditionError::whole(format!(
                "the condition has {} bytes, and at most {CONDITION_BYTES} are taken; make several of it",
                text.len()
            )));
        }
        let (text, node) = (text.to_owned(), node.to_owned());
        let compiler = std::thread::Builder::new()
            .name("condition".to_owned())
            .stack_size(COMPILER_STACK_BYTES)
            .spawn(move || compile(text, &node))
            .map_err(|error| {
                ConditionError::whole(format!("no thread to compile the condition with ({error}); free some memory"))
            })?;
        // The generated parser unwraps in many places: a panic of its is an error of the condition, not of the node.
        compiler.join().unwrap_or_else(|_| {
            Err(ConditionError::whole("the condition cannot be read; write it in a simpler way".to_owned()))
        })
    }

    /// The text that was compiled.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the condition holds for an event; the reason when it fails on it.
    pub fn evaluate(&self, headers: &dyn Headers) -> Result<bool, String> {
        // The interpreter has panics of its own for trees that its parser does not make. Headers are hostile, and on
        // the receiving thread a panic that they found would end the node.
        match catch_unwind(AssertUnwindSafe(|| self.answer(headers))) {
            Ok(Ok(Answer::Bool(answer))) => Ok(answer),
            Ok(Ok(Answer::Other(kind))) => Err(not_a_bool(&kind)),
            Ok(Err(error)) => Err(explain::failure(&error)),
            Err(_) => Err("the condition could not be evaluated on this event".to_owned()),
        }
    }

    fn answer(&self, headers: &dyn Headers) -> Result<Answer, ExecutionError> {
        let lookup = Lookup { headers: HeaderMap(headers), patterns: &self.patterns };
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        context.set_variable_resolver(&lookup);
        let value = Value::resolve_val(&self.expression, &context)?;
        Ok(match value.downcast_ref::<CelBool>() {
            Some(answer) => Answer::Bool(*answer.inner()),
            None => Answer::Other(value.get_type().name().to_owned()),
        })
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Condition").field(&self.text).finish()
    }
}

/// What an expression came to; of anything but a bool, the name of its type.
enum Answer {
    Bool(bool),
    Other(String),
}

fn not_a_bool(kind: &str) -> String {
    format!("the condition gives {kind}, not true or false; compare it with something")
}

fn compile(text: String, node: &str) -> Result<Condition, ConditionError> {
    let parser = ENVIRONMENT.parser().max_recursion_depth(CONDITION_NESTING as u16);
    let (mut expression, positions) =
        parser.parse_with_source_info(&text).map_err(|errors| explain::syntax(&text, &errors))?;
    let patterns = rewrite::rewrite(&mut expression, &text, &positions, node)?;
    let condition = Condition { text, expression, patterns };
    // A condition that is no question at all mostly shows on any event, so also on one without headers.
    match condition.answer(&NoHeaders) {
        Ok(Answer::Other(kind)) => Err(ConditionError::whole(not_a_bool(&kind))),
        _ => Ok(condition),
    }
}

/// The standard library of CEL without its optional values, and `matches` over patterns compiled beforehand.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib().with_optional_support(false);
    env.add_overload("matches", "matches_pattern", vec![types::STRING_TYPE, PATTERN_TYPE], matches)
        .expect("the crate is built without its own matches");
    env.add_member_overload("matches", "string_matches_pattern", types::STRING_TYPE, vec![PATTERN_TYPE], matches)
        .expect("the crate is built without its own matches");
    Arc::new(env)
});

/// Whether a name stands for a type, as in `type(x) == string`.
pub fn is_type(name: &str) -> bool {
    evaluate_alone(Expr::Ident(name.to_owned())).is_ok()
}

/// Whether the environment has a function of this name: called on something (`a.f()`), or by itself (`f(a)`).
pub fn is_function(name: &str, on_something: bool) -> bool {
    let target = Expression { id: 0, expr: Expr::Literal(LiteralValue::Boolean(true.into())) };
    let call =
        CallExpr { func_name: name.to_owned(), target: on_something.then(|| Box::new(target)), args: Vec::new() };
    !matches!(evaluate_alone(Expr::Call(call)), Err(ExecutionError::UndeclaredReference(_)))
}

/// Asks the environment itself what it knows, so that no list of ours has to agree with it.
fn evaluate_alone(expr: Expr) -> Result<(), ExecutionError> {
    let expression = Expression { id: 0, expr };
    let context = Context::with_env(Arc::clone(&ENVIRONMENT));
    Value::resolve_val(&expression, &context).map(|_| ())
}

/// Answers the interpreter's questions for the identifiers that `rewrite` made.
struct Lookup<'a> {
    headers: HeaderMap<'a>,
    patterns: &'a [Pattern],
}

impl VariableResolver for Lookup<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        if let Some(header) = variable.strip_prefix(HEADER) {
            return Some(self.headers.value(header));
        }
        if let Some(index) = variable.strip_prefix(PATTERN) {
            return Some(CowVal::Borrowed(self.patterns.get(index.parse::<usize>().ok()?)?));
        }
        (variable == HEADERS).then_some(CowVal::Borrowed(&self.headers))
    }
}

/// `h` where its key is not written out: `h[expression]` and `"Name" in h`.
#[derive(Clone, Copy)]
struct HeaderMap<'a>(&'a dyn Headers);

static HEADER_MAP_TYPE: Type = Type::new_unspecified_type("headers");

impl<'a> HeaderMap<'a> {
    /// A header's value; the empty string when there is no such header.
    fn value<'b, 'v>(&self, name: &str) -> CowVal<'b, 'v>
    where
        'a: 'v,
    {
        CowVal::owned(CelString::from(self.0.text(name).unwrap_or(Cow::Borrowed(""))))
    }
}

impl fmt::Debug for HeaderMap<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("h")
    }
}

impl Val for HeaderMap<'_> {
    fn get_type(&self) -> &Type {
        &HEADER_MAP_TYPE
    }

    fn cel_type() -> &'static Type {
        &HEADER_MAP_TYPE
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(*self)
    }
}

impl Indexer for HeaderMap<'_> {
    fn get<'b, 'v>(&'b self, name: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        header_name(name).map(|name| self.value(name))
    }

    fn steal<'v>(self: Box<Self>, name: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        header_name(name).map(|name| self.value(name).into_owned())
    }
}

impl Container for HeaderMap<'_> {
    fn contains(&self, name: &dyn Val) -> Result<bool, ExecutionError> {
        header_name(name).map(|name| self.0.raw(name.as_bytes()).is_some())
    }
}

fn header_name(name: &dyn Val) -> Result<&str, ExecutionError> {
    match name.downcast_ref::<CelString>() {
        Some(name) => Ok(name.inner()),
        None => {
            Err(ExecutionError::UnexpectedType { got: name.get_type().name().to_owned(), want: "string".to_owned() })
        }
    }
}

/// A regular expression that was written out in a condition, compiled with it.
#[derive(Clone, Debug)]
pub struct Pattern(regex::Regex);

const PATTERN_TYPE: Type = Type::new_unspecified_type("pattern");
static PATTERN_TYPE_OF_ALL: Type = PATTERN_TYPE;

impl Pattern {
    pub fn compile(pattern: &str) -> Result<Pattern, String> {
        let built = regex::RegexBuilder::new(pattern).size_limit(PATTERN_COMPILED_BYTES).build();
        built.map(Pattern).map_err(|error| match error {
            // Drawn on several lines, the last of which says what is wrong.
            regex::Error::Syntax(drawing) => {
                let last = drawing.lines().last().unwrap_or_default();
                format!("no regular expression: {}", last.trim_start_matches("error: "))
            }
            _ => format!("the pattern needs more than {PATTERN_COMPILED_BYTES} bytes compiled; repeat less in it"),
        })
    }
}

impl Val for Pattern {
    fn get_type(&self) -> &Type {
        &PATTERN_TYPE_OF_ALL
    }

    fn cel_type() -> &'static Type {
        &PATTERN_TYPE_OF_ALL
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Pattern {}

fn matches<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [text, pattern] = arguments.as_slice() else {
        return Err(ExecutionError::invalid_argument_count(2, arguments.len()));
    };
    match (text.downcast_ref::<CelString>(), pattern.downcast_ref::<Pattern>()) {
        (Some(text), Some(pattern)) => Ok(CowVal::owned(CelBool::from(pattern.0.is_match(text.inner())))),
        _ => Err(ExecutionError::function_error("matches", "takes text and a pattern")),
    }
}

/// An event without headers.
struct NoHeaders;

impl Headers for NoHeaders {
    fn raw(&self, _name: &[u8]) -> Option<&[u8]> {
        None
    }
}
