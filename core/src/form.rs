//! `application/x-www-form-urlencoded`, read strictly (RFC 6749 appendix B): valid percent-encoding,
//! UTF-8, no control characters, no repeated name but `resource` and `audience` (RFC 6749 §3.2).

use crate::limits;
use crate::refusal::{Reason, Refusal};

/// The fields of a form, decoded. An empty value counts as absent (RFC 6749 §3.1).
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Decodes a body.
    ///
    /// # Errors
    ///
    /// A form that is malformed, too large, or repeats a parameter.
    pub fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let malformed = |what: &str| Refusal::request(Reason::FormMalformed, what);
        let mut fields: Vec<(String, String)> = Vec::new();
        for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            if fields.len() >= limits::FORM_FIELDS {
                return Err(malformed("too many fields"));
            }
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let name = decode(halves.next().unwrap_or_default());
            let value = decode(halves.next().unwrap_or_default());
            let (Some(name), Some(value)) = (name, value) else {
                return Err(malformed("not percent-encoded UTF-8 without control characters"));
            };
            let repeatable = matches!(name.as_str(), "resource" | "audience");
            if !repeatable && fields.iter().any(|(other, _)| *other == name) {
                return Err(Refusal::request(
                    Reason::ParameterRepeated,
                    format!("`{}` is repeated", printable(&name)),
                ));
            }
            fields.push((name, value));
        }
        Ok(Self(fields))
    }

    /// The first parameter that is none of these.
    ///
    /// # Errors
    ///
    /// There is one.
    pub fn only(&self, known: &[&str]) -> Result<(), Refusal> {
        match self.0.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, _)) => {
                let what = format!("`{}` is no parameter here", printable_word(name));
                Err(Refusal::request(Reason::ParameterBad, what))
            }
        }
    }

    /// The value of a parameter, unless it is absent or empty.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, value)| key == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }

    /// Every value of a repeatable parameter that is not empty.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that must be there.
    ///
    /// # Errors
    ///
    /// It is absent or empty.
    pub fn required(&self, name: &'static str) -> Result<&str, Refusal> {
        self.text(name).ok_or_else(|| {
            Refusal::request(Reason::ParameterMissing, format!("`{name}` is missing"))
        })
    }
}

/// Decodes one name or value; `None` where it is not what it should be.
#[must_use]
pub fn decode(text: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter().copied();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                u8::try_from(high.checked_mul(16)?.checked_add(low)?).ok()?
            }
            byte => byte,
        });
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.chars().any(char::is_control)).then_some(text)
}

/// A caller's text as the record may hold it: short, without anything that is not visible, and not
/// if it looks like a token, which somebody may have put into the wrong parameter (S01).
#[must_use]
pub fn printable(text: &str) -> String {
    if text.contains("eyJ") {
        return "not shown: it looks like a token".to_owned();
    }
    text.chars()
        .take(80)
        .map(|letter| if letter.is_ascii_graphic() || letter == ' ' { letter } else { '?' })
        .collect()
}

/// A caller's word where only certain words mean anything. One that could not be any of them may
/// be a secret in the wrong parameter, and is not shown (S01).
#[must_use]
pub fn printable_word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_lowercase() || matches!(byte, b':' | b'-' | b'_' | b'.');
    let known = text.starts_with("urn:") || text.len() <= 24;
    if known && text.bytes().all(plain) { printable(text) } else { "not shown".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(body: &[u8]) -> Option<Reason> {
        Form::parse(body).err().map(|refusal| refusal.reason)
    }

    #[test]
    fn decodes_and_treats_empty_as_absent() {
        let form = Form::parse(b"a=x+y%2Fz&b=&resource=1&resource=2&&c").ok();
        let form = form.as_ref();
        assert_eq!(form.and_then(|form| form.text("a")), Some("x y/z"));
        assert_eq!(form.and_then(|form| form.text("b")), None);
        assert_eq!(form.map(|form| form.all("resource").count()), Some(2));
        assert_eq!(form.and_then(|form| form.required("c").ok().map(str::to_owned)), None);
    }

    #[test]
    fn x08_refuses_what_is_malformed_or_repeated() {
        assert_eq!(reason(b"a=1&a=2"), Some(Reason::ParameterRepeated));
        assert_eq!(reason(b"a=1&a="), Some(Reason::ParameterRepeated));
        for body in [&b"a=%"[..], b"a=%4", b"a=%zz", b"a=%ff", b"a=%00", b"a=%0d%0a", b"a=\x80"] {
            assert_eq!(reason(body), Some(Reason::FormMalformed), "{body:?}");
        }
    }

    #[test]
    fn holds_the_field_limit_at_its_edge() {
        let body = |n: usize| (0..n).map(|i| format!("f{i}=1")).collect::<Vec<_>>().join("&");
        assert_eq!(reason(body(limits::FORM_FIELDS).as_bytes()), None);
        assert_eq!(reason(body(limits::FORM_FIELDS + 1).as_bytes()), Some(Reason::FormMalformed));
    }
}
