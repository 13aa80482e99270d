//! Reads TOML by hand, because a mistake needs its line and all of them are wanted at once.
//!
//! A [`Table`] remembers which keys it was asked for; what nobody asked for is an unknown key, so
//! the format is written down once, where it is read.

use std::cell::RefCell;
use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Mistake, names};

/// A place in `zone.toml`: the offset of its first byte.
#[derive(Clone, Copy, Debug)]
pub(super) struct At(usize);

/// A string of `zone.toml`, and where it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a> {
    pub(super) text: &'a str,
    pub(super) at: At,
}

/// A value of `zone.toml`, and where it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item<'a> {
    pub(super) value: &'a DeValue<'a>,
    pub(super) at: At,
}

impl<'a> Item<'a> {
    fn of(value: &'a Spanned<DeValue<'a>>) -> Self {
        Self { value: value.get_ref(), at: At(value.span().start) }
    }

    /// The elements, where the value is an array.
    pub(super) fn elements(self) -> Option<impl Iterator<Item = Item<'a>>> {
        Some(self.value.as_array()?.iter().map(Item::of))
    }

    /// The string, where the value is one.
    pub(super) fn text(self) -> Option<Text<'a>> {
        Some(Text { text: self.value.as_str()?, at: self.at })
    }
}

/// The mistakes found so far. Interior mutability, because every table reports to the one list.
#[derive(Debug)]
pub(super) struct Report {
    file: String,
    line_starts: Vec<usize>,
    mistakes: RefCell<Vec<Mistake>>,
}

impl Report {
    pub(super) fn new(file: &str, text: &str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = breaks.map(|(at, _)| at.saturating_add(1));
        Self {
            file: file.to_owned(),
            line_starts: std::iter::once(0).chain(starts).collect(),
            mistakes: RefCell::default(),
        }
    }

    /// Notes a mistake in `zone.toml`.
    pub(super) fn add(&self, at: At, message: impl Into<String>) {
        let line = self.line_starts.partition_point(|start| *start <= at.0);
        self.add_line(line, message);
    }

    /// Notes a mistake on a line of `zone.toml`.
    pub(super) fn add_line(&self, line: usize, message: impl Into<String>) {
        self.add_to(&self.file, line, message);
    }

    /// Notes a mistake in another file.
    pub(super) fn add_to(&self, file: &str, line: usize, message: impl Into<String>) {
        let mistake = Mistake { file: file.to_owned(), line, message: message.into() };
        self.mistakes.borrow_mut().push(mistake);
    }

    /// Notes what is wrong with the file's syntax.
    pub(super) fn add_syntax(&self, error: &toml::de::Error) {
        let at = At(error.span().map_or(0, |span| span.start));
        // The parser's sentence may have several lines, and a mistake has one.
        let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
        self.add(at, format!("not TOML: {message}"));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.mistakes.borrow().is_empty()
    }

    /// Everything found, by file and line, each once.
    pub(super) fn into_mistakes(self) -> Vec<Mistake> {
        let mut mistakes = self.mistakes.into_inner();
        let main = self.file;
        mistakes.sort_by(|a, b| {
            let order =
                |mistake: &Mistake| (mistake.file != main, mistake.file.clone(), mistake.line);
            order(a).cmp(&order(b))
        });
        mistakes.dedup();
        mistakes
    }
}

/// A table of `zone.toml`.
#[derive(Debug)]
pub(super) struct Table<'a> {
    pub(super) report: &'a Report,
    /// What names it.
    pub(super) at: At,
    label: String,
    entries: &'a DeTable<'a>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Table<'a> {
    /// The whole document.
    pub(super) fn root(report: &'a Report, entries: &'a DeTable<'a>) -> Self {
        Self { report, at: At(0), label: String::new(), entries, asked: RefCell::default() }
    }

    fn beneath(&self, label: String, at: At, entries: &'a DeTable<'a>) -> Self {
        Self { report: self.report, at, label, entries, asked: RefCell::default() }
    }

    /// Notes a mistake about something in this table.
    pub(super) fn mistake(&self, at: At, message: impl std::fmt::Display) {
        if self.label.is_empty() {
            self.report.add(at, message.to_string());
        } else {
            self.report.add(at, format!("{}: {message}", self.label));
        }
    }

    /// The value under `key`, with where the key is.
    pub(super) fn item(&self, key: &'static str) -> Option<Item<'a>> {
        self.asked.borrow_mut().push(key);
        let (name, value) = self.entries.get_key_value(key)?;
        Some(Item { value: value.get_ref(), at: At(name.span().start) })
    }

    /// The string under `key`.
    pub(super) fn text(&self, key: &'static str) -> Option<Text<'a>> {
        let item = self.item(key)?;
        let text = item.text();
        if text.is_none() {
            self.ill_typed(key, item, "a string");
        }
        text
    }

    /// The string under `key`, which must be there.
    pub(super) fn needed(&self, key: &'static str) -> Option<Text<'a>> {
        if !self.entries.contains_key(key) {
            self.missing(key);
        }
        self.text(key)
    }

    /// The truth value under `key`, `false` where there is none.
    pub(super) fn flag(&self, key: &'static str) -> Option<bool> {
        let item = self.item(key)?;
        let flag = item.value.as_bool();
        if flag.is_none() {
            self.ill_typed(key, item, "`true` or `false`");
        }
        flag
    }

    /// The integer under `key`, which must lie in `range`.
    pub(super) fn number(&self, key: &'static str, range: &RangeInclusive<i64>) -> Option<i64> {
        let item = self.item(key)?;
        let Some(integer) = item.value.as_integer() else {
            self.ill_typed(key, item, "an integer");
            return None;
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let (low, high) = (range.start(), range.end());
            self.mistake(item.at, format!("`{key}` must be from {low} to {high}"));
        }
        number
    }

    /// The strings under `key`: an array, which may be empty.
    pub(super) fn texts(&self, key: &'static str) -> Option<Vec<Text<'a>>> {
        let item = self.item(key)?;
        let Some(elements) = item.elements() else {
            self.ill_typed(key, item, "an array of strings");
            return None;
        };
        Some(self.only_texts(key, elements))
    }

    /// The strings under `key`: one, or an array of them.
    pub(super) fn one_or_more(&self, key: &'static str) -> Option<Vec<Text<'a>>> {
        let item = self.item(key)?;
        match (item.text(), item.elements()) {
            (Some(text), _) => Some(vec![text]),
            (None, Some(elements)) => Some(self.only_texts(key, elements)),
            (None, None) => {
                self.ill_typed(key, item, "a string or an array of strings");
                None
            }
        }
    }

    fn only_texts(&self, key: &str, elements: impl Iterator<Item = Item<'a>>) -> Vec<Text<'a>> {
        let text = |element: Item<'a>| {
            if element.text().is_none() {
                self.ill_typed(key, element, "strings only");
            }
            element.text()
        };
        elements.filter_map(text).collect()
    }

    /// What the string under `key` stands for.
    pub(super) fn choice<T: Copy>(&self, key: &'static str, all: &[(&str, T)]) -> Option<T> {
        self.chosen(key, self.text(key)?, all)
    }

    /// What `text`, found under `key`, stands for.
    pub(super) fn chosen<T: Copy>(&self, key: &str, text: Text, all: &[(&str, T)]) -> Option<T> {
        let found = all.iter().find(|(name, _)| *name == text.text);
        if found.is_none() {
            let names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
            let hint = names::hint(text.text, names.iter().copied());
            let listed = names::listed(names, "or");
            self.mistake(text.at, format!("`{key}` must be {listed}, not `{}`{hint}", text.text));
        }
        found.map(|(_, value)| *value)
    }

    /// The table under `key`.
    pub(super) fn table(&self, key: &'static str) -> Option<Table<'a>> {
        let item = self.item(key)?;
        let label = match self.label.as_str() {
            "" => format!("`{key}`"),
            outer => format!("{outer}, `{key}`"),
        };
        let table = item.value.as_table().map(|entries| self.beneath(label, item.at, entries));
        if table.is_none() {
            self.ill_typed(key, item, "a table");
        }
        table
    }

    /// The tables under `key`, each with the id that it is called by. `word` names one of them.
    pub(super) fn tables(&self, key: &'static str, word: &str) -> Vec<(Text<'a>, Table<'a>)> {
        let Some(table) = self.table(key) else { return Vec::new() };
        let one = |(id, item): (Text<'a>, Item<'a>)| {
            let label = format!("{word} `{}`", names::shown(id.text));
            if let Some(entries) = item.value.as_table() {
                return Some((id, self.beneath(label, id.at, entries)));
            }
            self.mistake(id.at, format!("{label} must be a table, not {}", kind(item)));
            None
        };
        table.pairs().filter_map(one).collect()
    }

    /// The tables of the array under `key`.
    pub(super) fn rows(&self, key: &'static str) -> Vec<Table<'a>> {
        let Some(item) = self.item(key) else { return Vec::new() };
        let Some(elements) = item.elements() else {
            self.ill_typed(key, item, "an array of tables");
            return Vec::new();
        };
        let row = |element: Item<'a>| {
            let Some(entries) = element.value.as_table() else {
                self.ill_typed(key, element, "tables only");
                return None;
            };
            Some(self.beneath(self.label.clone(), element.at, entries))
        };
        elements.filter_map(row).collect()
    }

    /// Every entry, whatever its key.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (Text<'a>, Item<'a>)> {
        pairs(self.entries)
    }

    /// Notes that `key` is missing.
    pub(super) fn missing(&self, key: &str) {
        self.mistake(self.at, format!("`{key}` is missing"));
    }

    /// Notes that `item`, found under `key`, is not what it must be.
    pub(super) fn ill_typed(&self, key: &str, item: Item, wanted: &str) {
        self.mistake(item.at, format!("`{key}` must be {wanted}, not {}", kind(item)));
    }

    /// Notes every key that nobody asked for. Call it when everything has been read.
    pub(super) fn finish(&self) {
        let asked = self.asked.borrow();
        for (name, _) in self.pairs().filter(|(name, _)| !asked.contains(&name.text)) {
            let hint = names::hint(name.text, asked.iter().copied());
            self.mistake(name.at, format!("unknown key `{}`{hint}", names::shown(name.text)));
        }
    }
}

/// Every entry of a table.
pub(super) fn pairs<'a>(entries: &'a DeTable<'a>) -> impl Iterator<Item = (Text<'a>, Item<'a>)> {
    entries.iter().map(|(name, value)| {
        let text = Text { text: name.get_ref().as_ref(), at: At(name.span().start) };
        (text, Item::of(value))
    })
}

/// A value's type, for people.
fn kind(item: Item) -> &'static str {
    match item.value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a truth value",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
