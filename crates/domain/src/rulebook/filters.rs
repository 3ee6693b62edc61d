//! What the language offers: a closed list of filters, tests and functions, each bounded.
//!
//! Fuel counts steps of the interpreter, not what one step makes; so every filter that can make much out of little pays
//! for it from one budget per evaluation ([`WORK`]). Growth by operators is bounded when the rulebook is read
//! ([`super::check`]).

use std::fmt::{self, Write as _};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use minijinja::value::{Kwargs, Rest, Value, ValueOrKwargs, from_args};
use minijinja::{Environment, Error, ErrorKind, State, filters, tests};

use super::context::DATE_FORMAT;
use crate::names;

/// Bytes that the filters of one evaluation may make.
const WORK: usize = 4 << 20;
/// Longest `range(…)`.
const LONGEST_RANGE: usize = 10_000;

struct Work(usize);

fn wrong(sentence: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, sentence)
}

fn pay(state: &mut State<'_, '_>, bytes: usize) -> Result<(), Error> {
    let work = state.get_or_insert_extension_with(|| Work(WORK));
    match work.0.checked_sub(bytes) {
        Some(left) => {
            work.0 = left;
            Ok(())
        }
        None => Err(wrong(format!("it makes more than {} MiB of text", WORK >> 20))),
    }
}

macro_rules! table {
    ($names:ident, $install:ident, $add:ident, $($name:literal => $function:expr,)*) => {
        pub(super) const $names: &[&str] = &[$($name),*];
        fn $install(environment: &mut Environment<'static>) {
            $(environment.$add($name, $function);)*
        }
    };
}

table! { FILTERS, install_filters, add_filter,
    "letters" => letters,
    "first_line" => first_line,
    "date" => date,
    "safe" => filters::safe,
    "escape" => filters::escape,
    "e" => filters::escape,
    "lower" => filters::lower,
    "upper" => filters::upper,
    "title" => filters::title,
    "capitalize" => filters::capitalize,
    "replace" => replace,
    "length" => filters::length,
    "count" => filters::length,
    "dictsort" => filters::dictsort,
    "items" => filters::items,
    "reverse" => filters::reverse,
    "trim" => filters::trim,
    "join" => join,
    "split" => filters::split,
    "lines" => filters::lines,
    "default" => filters::default,
    "d" => filters::default,
    "round" => filters::round,
    "abs" => filters::abs,
    "int" => filters::int,
    "float" => filters::float,
    "attr" => filters::attr,
    "first" => filters::first,
    "last" => filters::last,
    "min" => filters::min,
    "max" => filters::max,
    "sort" => filters::sort,
    "list" => filters::list,
    "string" => filters::string,
    "bool" => filters::bool,
    "batch" => batch,
    "slice" => slice,
    "sum" => filters::sum,
    "indent" => indent,
    "select" => filters::select,
    "reject" => filters::reject,
    "selectattr" => filters::selectattr,
    "rejectattr" => filters::rejectattr,
    "map" => filters::map,
    "groupby" => filters::groupby,
    "unique" => filters::unique,
    "chain" => filters::chain,
    "zip" => filters::zip,
    "pprint" => filters::pprint,
    "format" => format,
    "tojson" => tojson,
}

table! { TESTS, install_tests, add_test,
    "undefined" => tests::is_undefined,
    "defined" => tests::is_defined,
    "none" => tests::is_none,
    "safe" => tests::is_safe,
    "escaped" => tests::is_safe,
    "boolean" => tests::is_boolean,
    "odd" => tests::is_odd,
    "even" => tests::is_even,
    "divisibleby" => is_divisibleby,
    "number" => tests::is_number,
    "integer" => tests::is_integer,
    "int" => tests::is_integer,
    "float" => tests::is_float,
    "string" => tests::is_string,
    "sequence" => tests::is_sequence,
    "iterable" => tests::is_iterable,
    "mapping" => tests::is_mapping,
    "startingwith" => tests::is_startingwith,
    "endingwith" => tests::is_endingwith,
    "lower" => tests::is_lower,
    "upper" => tests::is_upper,
    "sameas" => tests::is_sameas,
    "eq" => tests::is_eq,
    "equalto" => tests::is_eq,
    "==" => tests::is_eq,
    "ne" => tests::is_ne,
    "!=" => tests::is_ne,
    "lt" => tests::is_lt,
    "lessthan" => tests::is_lt,
    "<" => tests::is_lt,
    "le" => tests::is_le,
    "<=" => tests::is_le,
    "gt" => tests::is_gt,
    "greaterthan" => tests::is_gt,
    ">" => tests::is_gt,
    "ge" => tests::is_ge,
    ">=" => tests::is_ge,
    "in" => tests::is_in,
    "true" => tests::is_true,
    "false" => tests::is_false,
}

table! { FUNCTIONS, install_functions, add_function,
    "range" => range,
    "dict" => minijinja::functions::dict,
}

// The library's own versions of filters that are bounded here; the check refuses these names in a rulebook.
table! { _INNER, install_inner, add_filter,
    "\0replace" => filters::replace,
    "\0join" => filters::join,
    "\0batch" => filters::batch,
    "\0slice" => filters::slice,
    "\0indent" => filters::indent,
    "\0format" => filters::format,
    "\0tojson" => filters::tojson,
}

pub(super) fn install(environment: &mut Environment<'static>) {
    install_filters(environment);
    install_tests(environment);
    install_functions(environment);
    install_inner(environment);
}

/// The library's own divides by zero.
fn is_divisibleby(number: i128, by: i128) -> bool {
    number.checked_rem(by) == Some(0)
}

fn letters(text: &str) -> String {
    names::letters(text)
}

/// The first line that is not blank, without the blanks around it.
fn first_line(text: &str) -> String {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().to_owned()
}

/// Writes an RFC 3339 text or epoch milliseconds by a `strftime` form, in UTC.
fn date(state: &State<'_, '_>, value: &Value, form: Option<&str>) -> Result<String, Error> {
    let instant = if let Some(text) = value.as_str() {
        text.trim().parse::<Timestamp>().ok()
    } else {
        value.as_i64().and_then(|millis| Timestamp::from_millisecond(millis).ok())
    };
    let instant = instant.ok_or_else(|| {
        wrong(format!(
            "`date` takes a time such as event.occurred_at, or epoch milliseconds; this is {}",
            shortened(value)
        ))
    })?;
    let configured = state.lookup(DATE_FORMAT);
    let configured = configured.as_ref().and_then(Value::as_str);
    write_date(instant, form.or(configured).unwrap_or("%Y%m%d"))
        .map_err(|why| wrong(format!("`date` can't use its form: {why}")))
}

pub(super) fn write_date(instant: Timestamp, form: &str) -> Result<String, String> {
    let time = jiff::fmt::strtime::BrokenDownTime::from(&instant.to_zoned(TimeZone::UTC));
    time.to_string(form).map_err(|error| error.to_string())
}

/// A value in a sentence.
pub(super) fn shortened(value: &Value) -> String {
    let mut short = Bounded { text: String::new(), room: 80 };
    let whole = write!(short, "{value}").is_ok();
    let text = short.text.replace('\n', " ");
    if whole { format!("`{text}`") } else { format!("`{text}…`") }
}

/// Takes so much text and no more.
pub(super) struct Bounded {
    pub(super) text: String,
    pub(super) room: usize,
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        if part.len() <= self.room {
            self.room -= part.len();
            self.text.push_str(part);
            return Ok(());
        }
        let mut end = self.room;
        while !part.is_char_boundary(end) {
            end -= 1;
        }
        self.text.push_str(&part[..end]);
        self.room = 0;
        Err(fmt::Error)
    }
}

fn size(value: &Value) -> usize {
    if let Some(text) = value.as_str() {
        return text.len();
    }
    let mut bounded = Bounded { text: String::new(), room: WORK };
    match write!(bounded, "{value}") {
        Ok(()) => bounded.text.len(),
        Err(_) => WORK,
    }
}

fn range(lower: isize, upper: Option<isize>, step: Option<isize>) -> Result<Value, Error> {
    let (from, to) = upper.map_or((0, lower), |upper| (lower, upper));
    let length = from.abs_diff(to) / step.unwrap_or(1).unsigned_abs().max(1);
    if length > LONGEST_RANGE {
        return Err(wrong(format!("`range` gives at most {LONGEST_RANGE} numbers")));
    }
    minijinja::functions::range(lower, upper, step)
}

fn replace(state: &mut State<'_, '_>, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = args.into_values();
    if let [value, from, to, ..] = args.as_slice() {
        let (text, from) = (value.to_str(), from.to_str());
        if let (Some(text), Some(from)) = (text, from) {
            let found = text.matches(&*from).count();
            pay(state, text.len().saturating_add(found.saturating_mul(size(to))))?;
        }
    }
    state.apply_filter("\0replace", &args)
}

fn join(state: &mut State<'_, '_>, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = args.into_values();
    if let Some(value) = args.first() {
        let between = args.get(1).map_or(0, size);
        for item in value.try_iter()? {
            pay(state, size(&item).saturating_add(between))?;
        }
    }
    state.apply_filter("\0join", &args)
}

/// A number given by place or by name.
fn number(args: &[Value], place: usize, name: &str) -> Result<usize, Error> {
    let (given, named): (&[Value], Kwargs) = from_args(args)?;
    let number = given.get(place).and_then(Value::as_usize);
    Ok(number.or(named.get::<Option<usize>>(name)?).unwrap_or_default())
}

fn batch(state: &mut State<'_, '_>, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = args.into_values();
    pay(state, number(&args, 1, "count")?.saturating_mul(32))?;
    state.apply_filter("\0batch", &args)
}

fn slice(state: &mut State<'_, '_>, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = args.into_values();
    pay(state, number(&args, 1, "count")?.saturating_mul(64))?;
    state.apply_filter("\0slice", &args)
}

fn indent(state: &mut State<'_, '_>, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = args.into_values();
    let text = args.first().and_then(Value::to_str).unwrap_or_default();
    let width = number(&args, 1, "width")?.max(4);
    pay(state, text.len().saturating_add(text.lines().count().saturating_mul(width)))?;
    state.apply_filter("\0indent", &args)
}

fn format(state: &mut State<'_, '_>, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = args.into_values();
    let form = args.first().and_then(Value::to_str).unwrap_or_default();
    if form.contains('*') {
        return Err(wrong("`format` takes its widths from the text, not from `*`"));
    }
    let widths = form
        .split(|c: char| !c.is_ascii_digit())
        .filter(|digits| !digits.is_empty())
        .map(|digits| digits.parse().unwrap_or(usize::MAX));
    let sizes = args.iter().map(size);
    pay(state, widths.chain(sizes).fold(0, usize::saturating_add))?;
    state.apply_filter("\0format", &args)
}

fn tojson(state: &mut State<'_, '_>, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = args.into_values();
    if number(&args, 1, "indent").unwrap_or_default() > 8 {
        return Err(wrong("`tojson` indents by at most 8"));
    }
    pay(state, args.first().map_or(0, size))?;
    state.apply_filter("\0tojson", &args)
}
