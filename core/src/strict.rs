//! JSON from outside, read strictly: one object, no duplicate names at any depth (also not through
//! escapes, J08), a limit on depth (J10) and on size, numbers that are numbers (J14).
//!
//! `serde_json` alone keeps the last of two equal names, which lets two parsers read two documents.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::limits;

/// Reads one JSON object.
///
/// # Errors
///
/// What is wrong with it, for the record.
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let nodes = Cell::new(0);
    let value = Strict { depth: 1, nodes: &nodes }
        .deserialize(&mut reader)
        .map_err(|error| error.to_string())?;
    reader.end().map_err(|error| error.to_string())?;
    match value {
        Value::Object(object) => Ok(object),
        _ => Err("not a JSON object".to_owned()),
    }
}

#[derive(Clone, Copy)]
struct Strict<'a> {
    depth: usize,
    nodes: &'a Cell<usize>,
}

impl Strict<'_> {
    fn count<E: Error>(self) -> Result<(), E> {
        let nodes = self.nodes.get().saturating_add(1);
        self.nodes.set(nodes);
        if nodes > limits::JSON_NODES { Err(E::custom("too many members")) } else { Ok(()) }
    }

    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth >= limits::JSON_DEPTH.saturating_add(1) {
            return Err(E::custom("nested too deeply"));
        }
        Ok(Self { depth: self.depth.saturating_add(1), nodes: self.nodes })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.count()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = seq.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(inner)?;
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a name occurs twice"));
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> String {
        format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth))
    }

    #[test]
    fn j08_refuses_duplicate_names_also_escaped_and_nested() {
        assert!(object(br#"{"sub":"a","aud":"b"}"#).is_ok());
        for text in [
            r#"{"sub":"a","sub":"b"}"#,
            r#"{"sub":"a","s\u0075b":"b"}"#,
            r#"{"x":{"y":1,"y":1}}"#,
            r#"{"x":[{"y":1,"y":1}]}"#,
        ] {
            assert!(object(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn j10_holds_the_depth_limit_at_its_edge() {
        assert!(object(nested(limits::JSON_DEPTH - 1).as_bytes()).is_ok());
        assert!(object(nested(limits::JSON_DEPTH).as_bytes()).is_err());
        assert!(object(nested(100_000).as_bytes()).is_err());
    }

    #[test]
    fn j14_refuses_what_is_no_finite_number() {
        for text in ["{\"exp\":1e400}", "{\"exp\":NaN}", "{\"exp\":-Infinity}", "{\"exp\":01}"] {
            assert!(object(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_single_object() {
        for text in
            [&b"[]"[..], b"\"a\"", b"{} {}", b"{\"a\":1,}", b"\xff", b"{\"a\":\"\xff\"}", b""]
        {
            assert!(object(text).is_err());
        }
    }
}
